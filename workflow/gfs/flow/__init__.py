"""Gradient flow of any torch loss, integrated to its solution (Section 1; Appendix B.4).

- :mod:`gfs.flow.solution`: ``gradient_flow_solution``, the loop that both methods share, and how it ends.
- :mod:`gfs.flow.rkc`: second-order Runge-Kutta-Chebyshev steps, the default; :mod:`gfs.flow.chebyshev` has their
  coefficients.
- :mod:`gfs.flow.tail`: the same with exponential steps where the flow is nearly linear; :mod:`gfs.flow.krylov` has
  those.
- :mod:`gfs.flow.rk4`: the paper's method.
- :mod:`gfs.flow.sharpness`: ``gfs_sharpness``, the sharpness of the solution with an estimate of its error.
"""

from gfs.flow.gradients import loss_and_gradient
from gfs.flow.sharpness import GFSSharpness, gfs_sharpness
from gfs.flow.solution import FlowSolution, gradient_flow_solution

__all__ = ["FlowSolution", "GFSSharpness", "gfs_sharpness", "gradient_flow_solution", "loss_and_gradient"]
