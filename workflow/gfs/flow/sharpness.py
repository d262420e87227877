"""The GFS sharpness of any torch loss, with what is known of its error."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from gfs.arguments import require_positive
from gfs.curvature import Loss, Sharpness, sharpness
from gfs.flow.solution import FlowSolution, gradient_flow_solution
from gfs.precision import exact

# The loss, in units of the flow's tolerance, at which the sharpness is taken too.
_EARLIER = 4.0
# The eigenvalues that others are only compared with need no more than this.
_ROUGH = 1e-3


@dataclass(frozen=True)
class GFSSharpness:
    """The sharpness of a gradient flow solution and three estimates of its error, all in units of the sharpness.

    Attributes:
        value: the largest Hessian eigenvalue at the solution; NaN unless ``status`` is ``converged``.
        integration_error: what it changes by if the flow is integrated more coarsely (see
            :func:`gfs.flow.gradient_flow_solution`).
        stopping_error: what it changes by from four times the loss tolerance to the tolerance. Where one slow direction
            is left, the distance to the end is proportional to the root of the loss, and what is still to come equals
            what came on this way; where many are, more is to come. For a flow that starts below that: twice what it
            changes by until the loss is a quarter of what it is at the end.
        eigenvalue_error: the residual of the eigenvalue; some eigenvalue lies within it.
        status: ``converged``, or why there is no value: that of the flow, ``eigenvalue not converged``, or ``negative
            curvature`` where the largest eigenvalue is not positive.
        solution: the flow's end.
        top: the eigenvalue and its vector, if the flow converged.
    """

    value: float
    integration_error: float
    stopping_error: float
    eigenvalue_error: float
    status: str
    solution: FlowSolution
    top: Sharpness | None = field(repr=False)

    @property
    def error(self) -> float:
        """The sum of the three."""
        return self.integration_error + self.stopping_error + self.eigenvalue_error


@exact()
def gfs_sharpness(loss: Loss, parameters: Tensor, *, seed: int = 0, **flow: Any) -> GFSSharpness:
    """Return ``phi(w) = lambda_max(Hessian L(GFS(w)))`` (Section 1) of ``parameters``, shape (P,).

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the weights w.
        seed: of the Lanczos start vectors, of rk4's steps and of the sharpness.
        **flow: options of :func:`gfs.flow.gradient_flow_solution` but ``passing``, such as ``loss_tolerance``.

    Raises:
        TypeError, ValueError: as there.

    >>> w = torch.tensor([2.0, 1.0], dtype=torch.float64)
    >>> found = gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, loss_tolerance=1e-10)
    >>> found.status, f"{found.value:.2f} +- {found.error:.2f}"
    ('converged', '3.61 +- 0.01')
    >>> abs(found.value - 13**0.5) < found.error  # exact, by the closed form in gfs.scalar
    True
    >>> gfs_sharpness(lambda w: (w.prod() - 1) ** 2 / 2, w, max_gradients=3).status
    'budget'
    """
    tolerance = flow.get("loss_tolerance", 1e-5)
    require_positive(loss_tolerance=tolerance)
    earlier = _EARLIER * tolerance
    solution = gradient_flow_solution(loss, parameters, seed=seed, passing=[earlier], **flow)
    nothing = GFSSharpness(math.nan, math.nan, math.nan, math.nan, solution.status, solution, None)
    if not solution.converged:
        return nothing
    try:
        top = sharpness(loss, solution.parameters, seed=seed)
        if not top.converged:
            return _with_status(nothing, "eigenvalue not converged", top)
        if not top.value > 0:
            return _with_status(nothing, "negative curvature", top)

        def change(other: Tensor | None) -> float:
            if other is None:
                return math.nan
            found = sharpness(loss, other, start=top.vector, seed=seed, tolerance=_ROUGH)
            return abs(found.value - top.value) if found.converged else math.nan

        (passed,) = solution.passed
        began_below = torch.equal(passed, parameters)
        stopping = 2 * change(_later(loss, solution, seed, flow)) if began_below else change(passed)
        return GFSSharpness(top.value, change(solution.coarser), stopping, top.residual, "converged", solution, top)
    except FloatingPointError:
        return _with_status(nothing, "not finite", None)


def _later(loss: Loss, solution: FlowSolution, seed: int, flow: dict[str, Any]) -> Tensor | None:
    """Where the loss is a quarter of what it is at the solution; None if the flow does not get there."""
    if solution.loss == 0:
        return solution.parameters
    options = {
        **flow,
        "loss_tolerance": solution.loss / _EARLIER,
        "estimate_error": False,
        "seed": seed,
        "report": None,
    }
    later = gradient_flow_solution(loss, solution.parameters, **options)
    return later.parameters if later.converged else None


def _with_status(nothing: GFSSharpness, status: str, top: Sharpness | None) -> GFSSharpness:
    return GFSSharpness(math.nan, math.nan, math.nan, math.nan, status, nothing.solution, top)
