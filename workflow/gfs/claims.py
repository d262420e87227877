"""What the paper states, each claim held against a number that is computed from the tables.

A claim is a relation (``<=``, ``>=`` or ``=``) between a measured number and an expected one; beside it stands why the
tolerance is what it is. Where nothing measures a claim yet, or the results leave nothing to judge it by (a flow without
an end, a sharpness that never came to 2/eta), the verdict is ``not attempted`` and ``note`` says why.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Verdict = Literal["holds", "fails", "not attempted"]
Relation = Literal["<=", ">=", "="]

PAPER = "kreisler2023"


@dataclass(frozen=True)
class Claim:
    """One statement of the paper.

    Attributes:
        id: a short name that stays.
        figure: the figure, theorem, lemma or section that it is from.
        statement: what is said, in our words.
        relation, expected, tolerance: it holds if ``measured <= expected + tolerance``, ``measured >= expected -
            tolerance`` or ``|measured - expected| <= tolerance``.
        measure: computes the measured number from a table; NaN where the table has nothing to measure it by.
        table: the figure whose table ``measure`` takes.
    """

    id: str
    figure: str
    statement: str
    relation: Relation = "="
    expected: float = math.nan
    tolerance: float = math.nan
    measure: Callable[[pd.DataFrame], float] | None = None
    table: str | None = None

    def verdict(self, measured: float) -> Verdict:
        """Return whether ``measured`` agrees; with NaN there is nothing to judge by."""
        if math.isnan(measured):
            return "not attempted"
        within = {
            "<=": measured <= self.expected + self.tolerance,
            ">=": measured >= self.expected - self.tolerance,
            "=": abs(measured - self.expected) <= self.tolerance,
        }
        return "holds" if within[self.relation] else "fails"


def evaluate(tables: Mapping[str, tuple[str | Path, pd.DataFrame]], scale: str) -> list[dict[str, Any]]:
    """Return every claim as a mapping with the keys ``id``, ``paper``, ``figure``, ``statement``, ``expected``,
    ``measured``, ``tolerance``, ``verdict``, ``scale``, ``source`` and ``note``.

    Args:
        tables: for each figure the path of its experiment's table and the table.
        scale: the configuration's name for its set of values.
    """
    return [_evaluated(claim, tables, scale) for claim in CLAIMS]


def _evaluated(claim: Claim, tables: Mapping[str, tuple[str | Path, pd.DataFrame]], scale: str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": claim.id,
        "paper": PAPER,
        "figure": claim.figure,
        "statement": claim.statement,
        "expected": None,
        "measured": None,
        "tolerance": None,
        "verdict": "not attempted",
        "scale": scale,
        "source": None,
        "note": "nothing measures it yet",
    }
    if claim.measure is None or claim.table is None or claim.table not in tables:
        return row
    path, table = tables[claim.table]
    measured = float(claim.measure(table))
    return row | {
        "expected": f"{claim.relation} {claim.expected:g}",
        "measured": None if math.isnan(measured) else measured,
        "tolerance": claim.tolerance,
        "verdict": claim.verdict(measured),
        "source": str(path),
        "note": "the results leave nothing to judge it by" if math.isnan(measured) else None,
    }


def markdown(results: list[dict[str, Any]]) -> str:
    """Return the claims as a Markdown table."""
    count = {verdict: sum(row["verdict"] == verdict for row in results) for verdict in ("holds", "fails")}
    attempted = count["holds"] + count["fails"]
    lines = [
        "# Claims",
        "",
        f"Scale: {results[0]['scale'] if results else 'none'}. Of {len(results)} claims {attempted} were attempted: "
        f"{count['holds']} hold, {count['fails']} fail.",
        "",
        "| id | from | statement | expected | measured | tolerance | verdict |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in results:
        cells = [row["id"], row["figure"], row["statement"], _cell(row["expected"]), _cell(row["measured"])]
        lines.append("| " + " | ".join([*cells, _cell(row["tolerance"]), row["verdict"]]) + " |")
    return "\n".join(lines) + "\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# What is measured. Each takes an experiment's table; over several runs the worst one counts. NaN: nothing to judge by.

# Fewer measured points than this at the edge of stability say nothing of a median.
_LEAST_AT_EDGE = 10


def largest_gfs_rise(table: pd.DataFrame) -> float:
    """Largest ``phi(t) / min_{s<t} phi(s) - 1`` over the checkpoints of all runs: a creeping rise adds up."""
    return _worst(table, _largest_gfs_rise, max)


def share_of_gfs_decreases(table: pd.DataFrame) -> float:
    """Share of consecutive checkpoints between which phi falls, smallest over the runs."""
    return _worst(table, _share_of_gfs_decreases, min)


def largest_final_gfs(table: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, largest over the runs; infinite if a run diverged."""
    return _worst(table, _final_gfs, max)


def farthest_final_gfs(table: pd.DataFrame) -> float:
    """Last phi in units of 2/eta, the farthest from 1 over the runs; infinite if a run diverged."""
    return _worst(table, _final_gfs, _farthest_from_one)


def smallest_initial_gfs(table: pd.DataFrame) -> float:
    """First phi in units of 2/eta, smallest over the runs."""
    return _worst(table, lambda run: _gfs(run)[0] / _threshold(run), min)


def gfs_change_before_crossing(table: pd.DataFrame) -> float:
    """Relative change of phi until the sharpness first exceeds 2/eta, largest over the runs; NaN if it never does or
    does so at the start."""
    return _worst(table, _change_before_crossing, max)


def share_of_loss_increases(table: pd.DataFrame) -> float:
    """Share of steps since the sharpness first exceeded 2/eta that raise the loss, smallest over the runs."""
    return _worst(table, _share_of_loss_increases, min)


def loss_reduction(table: pd.DataFrame) -> float:
    """Last loss over the largest on the way, largest over the runs; infinite if a run diverged."""
    return _worst(table, lambda run: _unless_diverged(run, run["loss"].iloc[-1] / run["loss"].max()), max)


def final_gap_of_sharpnesses(table: pd.DataFrame) -> float:
    """``|sharpness - phi| / phi`` at the last iterate, largest over the runs."""
    return _worst(table, lambda run: abs(run["sharpness"].iloc[-1] / run["gfs_sharpness"].iloc[-1] - 1), max)


def median_sharpness_at_edge(table: pd.DataFrame) -> float:
    """Median sharpness in units of 2/eta after it first exceeded 2/eta, the farthest from 1 over the runs."""
    return _worst(table, _median_sharpness_at_edge, _farthest_from_one)


def _worst(table: pd.DataFrame, of_run: Callable[[pd.DataFrame], float], worst: Callable[..., float]) -> float:
    runs = [run.sort_values("iteration") for _, run in table.groupby(["experiment", "run"])]
    values = [float(of_run(run)) for run in runs]
    return math.nan if not values or any(math.isnan(value) for value in values) else worst(values)


def _farthest_from_one(values: list[float]) -> float:
    return max(values, key=lambda value: abs(value - 1))


def _gfs(run: pd.DataFrame) -> Floats:
    """GFS sharpness at the checkpoints of a run, NaN where it was not found; at least two values."""
    values = run.loc[run["gfs_status"].notna(), "gfs_sharpness"].to_numpy()
    return values if len(values) > 1 else np.full(2, math.nan)


def _largest_gfs_rise(run: pd.DataFrame) -> float:
    values = _gfs(run)
    return float(np.max(values[1:] / np.minimum.accumulate(values)[:-1])) - 1


def _share_of_gfs_decreases(run: pd.DataFrame) -> float:
    changes = np.diff(_gfs(run))
    return float(np.mean(changes < 0)) if np.isfinite(changes).all() else math.nan


def _threshold(run: pd.DataFrame) -> float:
    return float(run["threshold"].iloc[0])


def _unless_diverged(run: pd.DataFrame, value: float) -> float:
    return math.inf if run["status"].iloc[-1] == "diverged" else value


def _final_gfs(run: pd.DataFrame) -> float:
    return _unless_diverged(run, _gfs(run)[-1] / _threshold(run))


def _crossing(run: pd.DataFrame) -> int | None:
    above = run.loc[run["sharpness"] > run["threshold"], "iteration"]
    return int(above.iloc[0]) if len(above) else None


def _change_before_crossing(run: pd.DataFrame) -> float:
    crossing = _crossing(run)
    if crossing is None:
        return math.nan
    values = run.loc[(run["iteration"] <= crossing) & run["gfs_status"].notna(), "gfs_sharpness"].to_numpy()
    return float(np.max(np.abs(values / values[0] - 1))) if len(values) > 1 else math.nan


def _at_edge(run: pd.DataFrame) -> pd.DataFrame:
    crossing = _crossing(run)
    return run.iloc[:0] if crossing is None else run[run["iteration"] >= crossing]


def _share_of_loss_increases(run: pd.DataFrame) -> float:
    losses = _at_edge(run)["loss"].to_numpy()
    if len(losses) <= _LEAST_AT_EDGE or run["status"].iloc[-1] == "diverged":
        return math.nan
    return float(np.mean(np.diff(losses) > 0))


def _median_sharpness_at_edge(run: pd.DataFrame) -> float:
    measured = _at_edge(run)["sharpness"].dropna()
    return float(measured.median()) / _threshold(run) if len(measured) >= _LEAST_AT_EDGE else math.nan


CLAIMS: tuple[Claim, ...] = (
    # Scalar networks. Rounding of phi is some 1e-15; 1e-12 leaves room and no more.
    Claim("scalar-gfs-monotone", "2b", "GFS sharpness never rises along gradient descent on a scalar network (largest "
          "relative rise above any earlier value)", "<=", 0.0, 1e-12, largest_gfs_rise, "figure02"),
    Claim("scalar-starts-above", "2b", "GFS sharpness starts above 2/eta (in units of 2/eta)", ">=", 1.0, 0.0,
          smallest_initial_gfs, "figure02"),
    Claim("scalar-ends-below", "2b", "The GFS sharpness ends below 2/eta (in units of 2/eta)", "<=", 1.0, 0.0,
          largest_final_gfs, "figure02"),
    # 'Just below' is not a number in the paper's text; 5 percent is our reading of it.
    Claim("scalar-ends-close", "2b, 8", "... and close to it (in units of 2/eta)", "=", 1.0, 0.05,
          farthest_final_gfs, "figure02"),
    # No number in the text: one step in a hundred is more than chance would give a monotone loss, which has none.
    Claim("scalar-loss-oscillates", "2a", "At the edge of stability the loss is not monotone: share of steps that "
          "raise it", ">=", 0.01, 0.0, share_of_loss_increases, "figure02"),
    # The loss falls by what the experiment's stopping loss asks for; a millionth is our reading of 'to zero'.
    Claim("scalar-loss-converges", "2a", "The loss goes to zero all the same (last loss over the largest)", "<=", 0.0,
          1e-6, loss_reduction, "figure02"),
    # At loss L the two differ by O(sqrt(L)), 1e-4 times a constant at the stopping loss.
    Claim("sharpness-equals-gfs", "1 (Section 1)", "Sharpness and GFS sharpness agree where gradient descent has "
          "converged (relative difference)", "<=", 0.0, 1e-3, final_gap_of_sharpnesses, "figure02"),
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
    # Networks. Against float64 at half the step, float32 RK4 at 1/sharpness is off by up to 7e-4 in GFS sharpness on
    # the digits, so two checkpoints may seem to differ by twice that. Stopping at a loss of 1e-5 instead of 1e-7 lowers
    # it by 2e-3 to 4e-3, but alike at neighbouring checkpoints.
    Claim("network-gfs-monotone", "6", "GFS sharpness falls along gradient descent on a network (largest relative rise "
          "above any earlier value)", "<=", 0.0, 2e-3, largest_gfs_rise, "figure06"),
    Claim("network-starts-above", "6", "GFS sharpness starts above 2/eta (in units of 2/eta)", ">=", 1.0, 0.0,
          smallest_initial_gfs, "figure06"),
    # 'About' and 'hovers' are no numbers in the text; 5 percent is our reading of both.
    Claim("network-ends-at-threshold", "6", "GFS sharpness falls until about 2/eta (in units of 2/eta)", "=", 1.0, 0.05,
          farthest_final_gfs, "figure06"),
    Claim("network-sharpness-hovers", "6", "The sharpness hovers at 2/eta once there (median, in units of 2/eta)", "=",
          1.0, 0.05, median_sharpness_at_edge, "figure06"),
    # As for scalar networks.
    Claim("network-loss-oscillates", "6", "Meanwhile the training loss is not monotone: share of steps that raise it",
          ">=", 0.01, 0.0, share_of_loss_increases, "figure06"),
    # Listed in the paper, not measured yet.
    Claim("scalar-plane", "1", "In the plane (D = 2) the gradient flow solutions of the iterates slide along the curve "
          "of minima towards lower sharpness"),
    Claim("invariant-set-sufficient", "2c", "Starting in the positive invariant set, GFS sharpness is monotone"),
    Claim("invariant-set-large", "2c", "The set covers a large part of the starts for which GFS sharpness is monotone"),
    Claim("nonmonotone-early", "2c", "Where it is not monotone, that happens in the first few iterations"),
    Claim("final-sharpness-by-start", "3", "Starts with GFS sharpness above 2/eta and product near 1 end close to "
          "2/eta; starts with a large loss end well below"),
    Claim("bifurcation", "4", "The products along gradient descent nearly coincide with GPGD's periodic points"),
    Claim("stable-set-disjoint", "7", "At depth 3 the minima are a component of Damian et al.'s stable set apart from "
          "the rest"),
    Claim("high-loss-counterexample", "9", "A start whose loss is about 5.1 when GFS sharpness crosses 2/eta ends far "
          "below 2/eta"),
    Claim("gpgd-beats-approximation", "10", "GPGD follows the trajectory closely, the approximation of Zhu et al. only "
          "qualitatively"),
    Claim("chaos-in-invariant-set", "11", "The positive invariant set contains points at which gradient descent is "
          "chaotic"),
    Claim("theorem-3.2-invariance", "Theorem 3.2", "Gradient descent does not leave the positive invariant set"),
    Claim("theorem-3.2-monotone", "Theorem 3.2", "In the set, GFS sharpness never rises"),
    Claim("theorem-3.3-bound", "Theorem 3.3", "From GFS sharpness (2 - delta)/eta and loss O(delta^2) on, it stays "
          "above 2 (1 - delta)/eta"),
    Claim("theorem-3.3-rate", "Theorem 3.3", "... and the loss decays exponentially"),
    Claim("theorem-3.3-convergence", "Theorem 3.3", "... and the iterates converge"),
    Claim("lemma-3.7", "Lemma 3.7", "Less unbalanced at equal product implies log-majorised magnitudes"),
    Claim("lemma-3.9.1", "Lemma 3.9", "The sum of 1/w_i^2 is log-Schur-convex"),
    Claim("lemma-3.9.2", "Lemma 3.9", "The product after a step is log-Schur-convex where it is at most 1 before"),
    Claim("lemma-3.9.3", "Lemma 3.9", "Minus the product after a step is log-Schur-convex where it is above 1 before"),
    Claim("lemma-3.10", "Lemma 3.10", "A step from the set makes the network less unbalanced"),
    Claim("lemma-3.11", "Lemma 3.11", "A step from the set keeps every sign"),
    Claim("lemma-3.12", "Lemma 3.12", "The change of GFS sharpness in one step is bounded below"),
    Claim("lemma-3.13", "Lemma 3.13", "Below the threshold GPGD converges exponentially, the error changing sign"),
    Claim("lemma-3.14", "Lemma 3.14", "Two GPGD steps bound the loss of two gradient descent steps"),
    Claim("lemma-I.1", "Lemma I.1", "The positive invariant set grows as the step size falls"),
    Claim("appendix-A-gradient", "Appendix A", "Near zero loss the gradient has a component along the top eigenvector"),
    Claim("appendix-A-half", "Appendix A", "At product 1/2 the Hessian is diagonal"),
    Claim("regression-eight-runs", "5b", "Eight runs behave alike"),
    Claim("regression-all-runs", "5c", "Over all runs the normalised change of GFS sharpness is always below a small "
          "number, the few positive values early"),
    Claim("vgg11", "6", "The same for VGG-11 with batch norm"),
    Claim("resnet20", "6", "The same for ResNet-20 with batch norm"),
    Claim("fc-tanh", "12", "The same for a fully connected network with tanh"),
    Claim("fc-relu", "12", "The same for a fully connected network with ReLU"),
    Claim("svhn", "13", "The same for the networks of figure 6 on SVHN"),
)  # fmt: skip
