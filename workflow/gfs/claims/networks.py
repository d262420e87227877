"""Networks (Section 4.2): the same statements for each of the figures that shows some."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

from gfs.agreement import NETWORK_END
from gfs.claims.claim import Claim
from gfs.claims.measures import (
    farthest_final_gfs,
    largest_gfs_rise,
    loss_reduction,
    median_sharpness_at_edge,
    share_of_loss_increases,
    smallest_initial_gfs,
)
from gfs.rises import above_least

# With errors above this, a rise beyond them says nothing.
_LARGEST_MEDIAN_ERROR = 0.1


def largest_rise_beyond_error(table: pd.DataFrame) -> float:
    """Largest ``(phi(t) - error(t)) / (phi(s) + error(s)) - 1``, s < t, over the checkpoints of all runs.

    NaN if a flow has no solution, or the errors of a run's phi are above 10 percent in the median.
    """
    values = [_rise_beyond_error(run) for _, run in table.groupby(["experiment", "run"])]
    return math.nan if not values or any(map(math.isnan, values)) else max(values)


def _rise_beyond_error(run: pd.DataFrame) -> float:
    points = run[run["gfs_status"].notna()].sort_values("iteration")
    phi, error = points["gfs_sharpness"].to_numpy(), points["gfs_error"].to_numpy()
    if len(phi) < 2 or not np.median(error / phi) <= _LARGEST_MEDIAN_ERROR:
        return math.nan
    return float(np.max(above_least(phi, error)))


def each(measure: Callable[[pd.DataFrame], float]) -> Callable[[pd.DataFrame], str]:
    """Return a remark that gives the measure for each experiment of the table."""

    def remark(table: pd.DataFrame) -> str:
        return "; ".join(f"{name}: {measure(part):.4g}" for name, part in table.groupby("experiment", sort=False))

    return remark


def rises_and_errors(table: pd.DataFrame) -> str:
    parts = []
    for name, part in table.groupby("experiment", sort=False):
        errors = (part["gfs_error"] / part["gfs_sharpness"]).dropna()
        undecided = " (too large to judge by)" if math.isnan(largest_rise_beyond_error(part)) else ""
        parts.append(
            f"{name}: rises by {max(largest_gfs_rise(part), 0.0):.2g}, error {errors.median():.1g} in the median"
            f"{undecided}, above 0.1 at {(errors > _LARGEST_MEDIAN_ERROR).sum()} of {len(errors)} points"
        )
    return "rises whatever the errors: " + "; ".join(parts)


def _claims(figure: str, prefix: str, networks: str) -> tuple[Claim, ...]:
    table = f"figure{int(figure):02}"
    return (
        # Eigenvalue, integration and stopping have an error each, estimated per point; beyond it nothing may rise.
        Claim(f"{prefix}-gfs-monotone", figure, f"GFS sharpness falls along gradient descent on {networks} (largest "
              "relative rise above any earlier value, beyond the errors of both)", "<=", 0.0, 0.0,
              largest_rise_beyond_error, table, rises_and_errors),
        Claim(f"{prefix}-starts-above", figure, "GFS sharpness starts above 2/eta (in units of 2/eta)", ">=", 1.0, 0.0,
              smallest_initial_gfs, table, each(smallest_initial_gfs)),
        # 'About' and 'hovers' are no numbers in the text; 10 percent is our reading, and what machines may differ by.
        Claim(f"{prefix}-ends-at-threshold", figure, "GFS sharpness ends at about 2/eta (in units of 2/eta)", "=", 1.0,
              NETWORK_END, farthest_final_gfs, table, each(farthest_final_gfs)),
        Claim(f"{prefix}-sharpness-hovers", figure, "The sharpness hovers at 2/eta once there (median, in units of "
              "2/eta)", "=", 1.0, 0.1, median_sharpness_at_edge, table, each(median_sharpness_at_edge)),
        # As for scalar networks.
        Claim(f"{prefix}-loss-oscillates", figure, "Meanwhile the training loss is not monotone: share of steps that "
              "raise it", ">=", 0.01, 0.0, share_of_loss_increases, table, each(share_of_loss_increases)),
        # A run ends at some ten-thousandth of its first loss; a hundredth is our reading of 'decreasing'.
        Claim(f"{prefix}-loss-falls", figure, "Over long times the training loss decreases (last over the largest)",
              "<=", 0.0, 0.01, loss_reduction, table, each(loss_reduction)),
    )  # fmt: skip


CLAIMS: tuple[Claim, ...] = (
    *_claims("6", "network", "a fully connected network with hardtanh, VGG-11 and ResNet-20"),
    *_claims("12", "activation", "fully connected networks with tanh and ReLU"),
    *_claims("13", "svhn", "the networks of figure 6 on other data (the paper: SVHN)"),
)
