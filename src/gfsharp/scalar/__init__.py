"""Scalar networks (Section 3): ``L(w) = (pi(w) - 1)^2 / 2`` with ``pi(w) = prod_i w_i``.

Everything here is vectorised over leading axes: weights have shape ``(..., D)``, depth D last, and are taken in
float64. A step size ``eta`` is a number or an array that broadcasts against the leading axes. Where a value does not
exist it is NaN, and the rest of the batch is as it would be alone, to rounding. The paper's experiments with these
functions are in the modules :mod:`~replication.studies.scalar.plane` (figures 2c, 3, 9),
:mod:`~replication.studies.scalar.bifurcation` (4, 10, 11), :mod:`~replication.studies.scalar.stable_set` (7) and
:mod:`~replication.studies.scalar.theorems`.
"""

from gfsharp.scalar.invariant_set import in_invariant_set
from gfsharp.scalar.network import balances, gd_step, gradient, hessian, loss, product, sharpness
from gfsharp.scalar.solution import gfs_sharpness, gpgd_step, gradient_flow_point, gradient_flow_solution

__all__ = [
    "balances",
    "gd_step",
    "gfs_sharpness",
    "gpgd_step",
    "gradient",
    "gradient_flow_point",
    "gradient_flow_solution",
    "hessian",
    "in_invariant_set",
    "loss",
    "product",
    "sharpness",
]
