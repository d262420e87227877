"""Equation 7 as a convex problem for general solvers: cvxpy, and scipy.optimize as the paper had it."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class ConeProgram:
    """``minimise KL(P || p) + KL(Q || q)`` subject to ``X (P - Q) = y`` in cvxpy, compiled once for all p and q."""

    def __init__(self, X: Floats, y: Floats) -> None:
        import cvxpy as cp

        self.samples, dimension = X.shape
        self.grown = cp.Variable(dimension, nonneg=True)
        self.shrunk = cp.Variable(dimension, nonneg=True)
        self.log_p = cp.Parameter(dimension)
        self.log_q = cp.Parameter(dimension)
        self.constraint = X @ (self.grown - self.shrunk) == y
        # KL(P || p) = sum_i P_i log(P_i / p_i) - P_i + p_i; the constant p_i is left out.
        objective = (
            -cp.sum(cp.entr(self.grown)) - self.log_p @ self.grown - cp.sum(self.grown)
            - cp.sum(cp.entr(self.shrunk)) - self.log_q @ self.shrunk - cp.sum(self.shrunk)
        )  # fmt: skip
        self.problem = cp.Problem(cp.Minimize(objective), [self.constraint])

    def solve(self, p: Floats, q: Floats) -> tuple[Floats, Floats, Floats]:
        import cvxpy as cp

        self.log_p.value, self.log_q.value = np.log(p), np.log(q)
        with warnings.catch_warnings():
            # Clarabel says when these tolerances are out of its reach; the certificate decides whether that matters.
            warnings.filterwarnings("ignore", "Solution may be inaccurate")
            self.problem.solve(solver=cp.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12, max_iter=500)
        if self.problem.status not in (cp.OPTIMAL, cp.OPTIMAL_INACCURATE):
            return np.full_like(p, np.nan), np.full_like(q, np.nan), np.full(self.samples, np.nan)
        values = (self.grown.value, self.shrunk.value, -self.constraint.dual_value)
        grown, shrunk, nu = (np.asarray(value, dtype=np.float64) for value in values)
        return grown, shrunk, nu
