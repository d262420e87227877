"""Gradient flow of any torch loss, integrated to its solution (Section 1; Appendix B.4).

- :mod:`gfsharp.flow.solution`: ``gradient_flow_solution``, the loop that both methods share, and how it ends.
- :mod:`gfsharp.flow.rkc`: second-order Runge-Kutta-Chebyshev steps, the default; :mod:`gfsharp.flow.chebyshev` has
  their coefficients.
- :mod:`gfsharp.flow.tail`: the same with exponential steps where the flow is nearly linear; :mod:`gfsharp.flow.krylov`
  has those.
- :mod:`gfsharp.flow.rk4`: the paper's method.
- :mod:`gfsharp.flow.sharpness`: ``gfs_sharpness``, the sharpness of the solution with an estimate of its error;
  :mod:`gfsharp.flow.limit` tells flows that have no limit, as with cross-entropy.
"""

from gfsharp.derivatives import loss_and_gradient
from gfsharp.flow.sharpness import GFSSharpness, gfs_sharpness
from gfsharp.flow.solution import FlowSolution, gradient_flow_solution

__all__ = ["FlowSolution", "GFSSharpness", "gfs_sharpness", "gradient_flow_solution", "loss_and_gradient"]
