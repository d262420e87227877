"""The dual of equation 7, one variable per sample, by Newton's method: batched, and along a trajectory.

    minimise over nu:  f(nu) = sum_i p_i e^{z_i} + q_i e^{-z_i} - <b, nu>,   z = A^T nu

Its minimum gives ``P = p e^z``, ``Q = q e^-z`` with ``A (P - Q) = b``. Along a trajectory of gradient descent the
solution moves little from one iterate to the next: what p and q change by is known, so that nu is guessed to second
order, and the inverse of one Hessian serves many iterates. The trajectory is cut into chains that go on side by side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_MAX_STEPS = 200
_HALVINGS = 60

# Chains that go on side by side: enough that NumPy's overhead per call is small beside its work.
_CHAINS = 96
_CHORD_STEPS = 30
# Residual of A (P - Q) = b, relative to the terms that cancel in it, at which a chain's iterate is done.
_RESIDUAL = 1e-13
# Residual, likewise, at which a solution that Newton's method has ended at is one.
_SOLVED = 1e-10
# What the logarithm of the floor below p and q falls by at a time.
_FALL = 2.0
# A step that leaves more of the residual than this asks for a new Hessian.
_CONTRACTION = 0.2


@dataclass(frozen=True)
class Dual:
    """The dual for interpolation ``A beta = b``.

    Attributes:
        rows: A with orthonormal rows, shape (r, d).
        targets: b, shape (r,).
    """

    rows: Floats
    targets: Floats

    def value(self, p: Floats, q: Floats, nu: Floats) -> Floats:
        """Return f, shape (...), for p and q of shape (..., d) and nu of shape (..., r)."""
        z = nu @ self.rows
        return np.sum(p * np.exp(z) + q * np.exp(-z), axis=-1) - nu @ self.targets

    def solve(self, p: Floats, q: Floats) -> Floats:
        """Return the minimum for each row of p and q, shape (n, d), from nu = 0; shape (n, r).

        Each Newton step is halved until f, which is convex, falls by a quarter of what its slope promises. Where that
        does not end at the minimum, as from p and q that are tiny, ``_from_a_floor`` looks for it. Where p or q is
        not finite nu stays zero, where f has no minimum it ends somewhere: a certificate has to tell.
        """
        finite = _finite(p, q)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            nu = self._descend(p, q, np.zeros((len(p), len(self.targets))), finite)
            missed = np.flatnonzero(finite & ~(self._residual(np.log(p), np.log(q), nu) <= _SOLVED))
            if len(missed):
                nu[missed] = self._from_a_floor(np.log(p[missed]), np.log(q[missed]), nu[missed])
        return nu

    def _from_a_floor(self, log_p: Floats, log_q: Floats, otherwise: Floats) -> Floats:
        """Return the minima for p and q that may be tiny, by their logarithms: minus infinity for those that are zero.

        What is below a floor is raised to it, first to the size of b, where Newton's method starts well. The floor
        falls by a factor of ``e^2`` at a time. As log p and log q of what is on it change by -s, nu changes by
        ``s H^-1 A (P - Q)``, of the part of P and Q that is on it.

        Args:
            otherwise: what is returned where this finds no minimum either, shape (n, r).
        """
        found = otherwise.copy()
        rows, nu = np.arange(len(found)), np.zeros_like(found)
        floor = np.log(np.max(np.abs(self.targets), initial=0.0) or 1.0)
        lowest = np.minimum(*(np.where(np.isfinite(log), log, np.inf).min(axis=-1) for log in (log_p, log_q)))
        while len(rows):
            p, q = _raised(log_p[rows], floor), _raised(log_q[rows], floor)
            nu = self._descend_logs(p, q, nu)
            solved = self._residual(p, q, nu) <= _SOLVED
            arrived = solved & (floor <= lowest[rows])
            found[rows[arrived]] = nu[arrived]
            going_on = solved & ~arrived
            rows, nu = rows[going_on], nu[going_on]
            grown, shrunk = self._squares(p[going_on], q[going_on], nu)
            on_floor = np.where(log_p[rows] < floor, grown, 0.0) - np.where(log_q[rows] < floor, shrunk, 0.0)
            nu = nu + _FALL * _solve_positive(self._hessian(grown + shrunk), on_floor @ self.rows.T)
            floor -= _FALL
        return found

    def _descend_logs(self, log_p: Floats, log_q: Floats, nu: Floats) -> Floats:
        """Return :meth:`_descend` from nu, for p and q that are so small that ``p e^z`` is computed from log p + z."""
        grown, shrunk = self._squares(log_p, log_q, nu)
        return nu + self._descend(grown, shrunk, np.zeros_like(nu), _finite(grown, shrunk))

    def _squares(self, log_p: Floats, log_q: Floats, nu: Floats) -> tuple[Floats, Floats]:
        z = nu @ self.rows
        return np.exp(log_p + z), np.exp(log_q - z)

    def _residual(self, log_p: Floats, log_q: Floats, nu: Floats) -> Floats:
        """Return ``|A (P - Q) - b|`` relative to the terms that cancel in it, shape (n,)."""
        grown, shrunk = self._squares(log_p, log_q, nu)
        size = np.linalg.norm(self.targets) + np.linalg.norm(grown + shrunk, axis=-1)
        missing = np.linalg.norm((grown - shrunk) @ self.rows.T - self.targets, axis=-1)
        return np.where(size > 0, missing / np.where(size > 0, size, 1.0), 0.0)

    def _descend(self, p: Floats, q: Floats, nu: Floats, finite: NDArray[np.bool_]) -> Floats:
        """Take Newton steps from nu where p and q are finite."""
        nu = nu.copy()
        active = np.flatnonzero(finite)
        for _ in range(_MAX_STEPS):
            step, decrement, sums = self._newton_step(p[active], q[active], nu[active])
            length = self._line_search(p[active], q[active], nu[active], step, decrement)
            nu[active] += length[:, None] * step
            # decrement^2 / 2 estimates the distance to the minimum; a zero length means that rounding has won.
            going_on = (decrement > 1e-28 * sums) & (length > 0)
            active = active[going_on]
            if not len(active):
                break
        return nu

    def solve_along(self, p: Floats, q: Floats) -> Floats:
        """Return :meth:`solve` for the consecutive iterates of one trajectory, shape (n, d), faster."""
        count = len(p)
        if not count:
            return self.solve(p, q)
        length = -(-count // _CHAINS)
        # The last chain is filled up with the last iterate.
        places = np.minimum(np.arange(-(-count // length))[:, None] * length + np.arange(length), count - 1)
        solutions = np.empty((count, len(self.targets)))
        nu = self.solve(p[places[:, 0]], q[places[:, 0]])
        solutions[places[:, 0]] = nu
        inverse: Floats | None = None
        for k in range(1, length):
            here, before = places[:, k], places[:, k - 1]
            guess = nu + _log_change(p[before], q[before], p[here], q[here]) @ self.rows.T
            nu, inverse, done = self._chord(p[here], q[here], guess, inverse)
            if not done.all():
                nu[~done] = self.solve(p[here[~done]], q[here[~done]])
            solutions[here] = nu
        return solutions

    def _newton_step(self, p: Floats, q: Floats, nu: Floats) -> tuple[Floats, Floats, Floats]:
        z = nu @ self.rows
        grown, shrunk = p * np.exp(z), q * np.exp(-z)
        slope = (grown - shrunk) @ self.rows.T - self.targets
        step = -_solve_positive(self._hessian(grown + shrunk), slope)
        return step, -np.sum(slope * step, axis=-1), np.sum(grown + shrunk, axis=-1)

    def _line_search(self, p: Floats, q: Floats, nu: Floats, step: Floats, decrement: Floats) -> Floats:
        here = self.value(p, q, nu)
        # Of the terms that f is the difference of: near f = 0 that is far more than of f.
        rounding = 4e-16 * (2 * np.sum(np.abs(nu * self.targets), axis=-1) + np.abs(here))
        length = np.ones(len(nu))
        for _ in range(_HALVINGS):
            with np.errstate(over="ignore", invalid="ignore"):
                there = self.value(p, q, nu + length[:, None] * step)
            enough = there <= here - 0.25 * length * decrement + rounding
            if enough.all():
                return length
            length = np.where(enough, length, length / 2)
        return np.where(enough, length, 0.0)

    def _hessian(self, sums: Floats) -> Floats:
        return (self.rows * sums[:, None, :]) @ self.rows.T

    def _chord(
        self, p: Floats, q: Floats, nu: Floats, inverse: Floats | None
    ) -> tuple[Floats, Floats | None, NDArray[np.bool_]]:
        """Iterate with the inverse of an old Hessian while it contracts; return nu, the inverse and who is done."""
        last = np.full(len(nu), np.inf)
        # Far off, where P and Q are huge, what is small beside them is not small.
        largest = 1e-9 * (np.linalg.norm(self.targets) + np.linalg.norm((p - q) @ self.rows.T, axis=-1))
        done = np.zeros(len(nu), dtype=bool)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            for _ in range(_CHORD_STEPS):
                growth = np.exp(nu @ self.rows)
                grown, shrunk = p * growth, q / growth
                slope = (grown - shrunk) @ self.rows.T - self.targets
                residual = np.linalg.norm(slope, axis=-1)
                sums = grown + shrunk
                done = residual <= _RESIDUAL * (np.linalg.norm(self.targets) + np.linalg.norm(sums, axis=-1))
                done &= residual <= largest
                if done.all():
                    break
                if inverse is None or (residual > _CONTRACTION * last)[~done].any():
                    if not np.isfinite(sums).all():
                        return nu, None, done
                    inverse = _inverse(self._hessian(sums))
                    if inverse is None:
                        break
                last = residual
                nu = nu - (inverse @ slope[:, :, None])[:, :, 0]
        return nu, inverse, done


def _finite(p: Floats, q: Floats) -> NDArray[np.bool_]:
    return np.asarray(np.isfinite(p).all(axis=-1) & np.isfinite(q).all(axis=-1))


def _raised(logarithms: Floats, floor: float) -> Floats:
    """Return logarithms that are at least the floor, but for those of zero."""
    return np.where(np.isfinite(logarithms), np.maximum(logarithms, floor), logarithms)


def _log_change(p: Floats, q: Floats, new_p: Floats, new_q: Floats) -> Floats:
    """Return what z changes by if the solution stays: ``log(p / p')`` and ``log(q' / q)``, averaged where both are."""
    with np.errstate(divide="ignore", invalid="ignore"):
        from_p, from_q = np.log(p / new_p), np.log(new_q / q)
    has_p, has_q = np.isfinite(from_p), np.isfinite(from_q)
    both = np.where(has_p, from_p, 0.0) + np.where(has_q, from_q, 0.0)
    return both / np.maximum(1, has_p.astype(np.int64) + has_q)


def _inverse(matrices: Floats) -> Floats | None:
    try:
        return np.asarray(np.linalg.inv(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        return None


def _solve_positive(matrices: Floats, vectors: Floats) -> Floats:
    """Solve with symmetric positive semidefinite matrices, scaled to unit diagonal first and lightly ridged."""
    scale = 1 / np.sqrt(np.maximum(np.einsum("...ii->...i", matrices), 1e-300))
    scaled = matrices * scale[..., :, None] * scale[..., None, :]
    index = np.arange(scaled.shape[-1])
    scaled[..., index, index] += 1e-14
    return np.linalg.solve(scaled, (vectors * scale)[..., None])[..., 0] * scale
