"""Squared regression (Section 4.1)."""

from __future__ import annotations

from gfs.claims.claim import Claim
from gfs.claims.measures import (
    farthest_final_gfs,
    gfs_change_before_crossing,
    largest_gfs_rise,
    share_of_gfs_decreases,
    smallest_initial_gfs,
)

CLAIMS: tuple[Claim, ...] = (
    # Squared regression. The paper's own bound on the normalised change is lost; 1e-4, of the whole rise, is ours.
    Claim("regression-gfs-monotone", "5a", "GFS sharpness falls along gradient descent in squared regression (largest "
          "relative rise above any earlier value)", "<=", 0.0, 1e-4, largest_gfs_rise, "figure05"),
    # 'Constant' to the eye: a tenth of the fall that follows.
    Claim("regression-gfs-flat-first", "5a", "GFS sharpness is constant until the sharpness crosses 2/eta (largest "
          "relative change)", "<=", 0.0, 0.01, gfs_change_before_crossing, "figure05"),
    Claim("regression-starts-above", "5a", "GFS sharpness starts above 2/eta (in units of 2/eta)", ">=", 1.0, 0.0,
          smallest_initial_gfs, "figure05"),
    # 'Approximately' is no number in the text; 2 percent is a fifth of the fall.
    Claim("regression-ends-at-threshold", "5a", "GFS sharpness converges to about 2/eta (in units of 2/eta)", "=", 1.0,
          0.02, farthest_final_gfs, "figure05"),
    # The paper gives the share of negative changes over all its runs; the number is lost, 'most' is ours to read.
    Claim("regression-decreases", "5c", "Most changes of GFS sharpness are negative (share; one run so far, panel c "
          "is to come)", ">=", 0.9, 0.0, share_of_gfs_decreases, "figure05"),
    # Listed in the paper, not measured yet.
    Claim("regression-eight-runs", "5b", "Eight runs behave alike"),
    Claim("regression-all-runs", "5c", "Over all runs the normalised change of GFS sharpness is always below a small "
          "number, the few positive values early"),
)  # fmt: skip
