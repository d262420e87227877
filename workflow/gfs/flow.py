"""Gradient flow of any torch loss, integrated to its solution (Section 1; Appendix B.4).

Gradient flow is ``dw/dt = -grad L(w)``; the gradient flow solution GFS(w) is its limit. Numerically the flow is
followed until the loss is below a tolerance, as the paper does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from gfs.curvature import Loss, sharpness
from gfs.progress import Report

Status = Literal["converged", "budget", "not finite", "negative curvature", "unstable"]


@dataclass(frozen=True)
class FlowSolution:
    """Where the flow was left, and why.

    Attributes:
        parameters: the last point, shape (P,).
        loss: the loss there.
        time: the length of the flow.
        gradient_evaluations: gradients computed.
        hessian_vector_products: products spent on sharpness estimates on the way.
        steps: accepted steps.
        status: ``converged`` (loss below the tolerance) or why not: ``budget`` (gradient evaluations used up),
            ``not finite`` (loss or gradient overflowed), ``negative curvature`` (no positive eigenvalue to set the
            step by), ``unstable`` (the loss rose however small the step).
        sharpness: the largest Hessian eigenvalue met on the way.
    """

    parameters: Tensor
    loss: float
    time: float
    gradient_evaluations: int
    hessian_vector_products: int
    steps: int
    status: Status
    sharpness: float

    @property
    def converged(self) -> bool:
        return self.status == "converged"


def loss_and_gradient(loss: Loss, parameters: Tensor) -> tuple[float, Tensor]:
    """Return ``L(w)`` and ``grad L(w)``, shape (P,)."""
    point = parameters.detach().requires_grad_(True)
    value = loss(point)
    (gradient,) = torch.autograd.grad(value, point)
    return float(value.detach()), gradient


def gradient_flow_solution(
    loss: Loss,
    parameters: Tensor,
    *,
    method: Literal["rk4"] = "rk4",
    loss_tolerance: float = 1e-5,
    step_factor: float = 1.0,
    sharpness_every: int = 50,
    max_gradients: int = 1_000_000,
    seed: int = 0,
    report: Report | None = None,
) -> FlowSolution:
    """Follow gradient flow from ``parameters`` until the loss is at most ``loss_tolerance``.

    Classical fourth-order Runge-Kutta with a step proportional to 1/sharpness, as the paper and Cohen et al. (2021) do;
    the sharpness is estimated again every ``sharpness_every`` steps, and at once if the loss, which cannot rise along
    gradient flow, did: then the step is taken again, shorter by half or as the new sharpness says.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: where the flow starts, shape (P,).
        method: the integrator; ``"rk4"``.
        loss_tolerance: the loss at which the flow is left.
        step_factor: the step in units of 1/sharpness. RK4 is stable up to 2.78.
        sharpness_every: steps between sharpness estimates.
        max_gradients: gradient evaluations after which the flow is given up (status ``budget``).
        seed: of the Lanczos start vector.
        report: called after each step with the gradient evaluations, the loss, and the share of the way that is done,
            from 0 to 1 on the logarithmic scale of the loss.

    Raises:
        ValueError: an unknown method, or a tolerance, step factor or interval that is not positive.
    """
    if method != "rk4":
        raise ValueError(f"unknown flow method {method!r}; choose 'rk4'")
    for name, value in [
        ("loss_tolerance", loss_tolerance),
        ("step_factor", step_factor),
        ("sharpness_every", sharpness_every),
        ("max_gradients", max_gradients),
    ]:
        if not value > 0:
            raise ValueError(f"{name} must be positive, found {value!r}")
    integration = _Integration(loss, parameters.detach().clone(), step_factor, seed)
    try:
        status = integration.run(loss_tolerance, sharpness_every, max_gradients, report)
    except FloatingPointError:  # from a Hessian-vector product
        status = "not finite"
    return FlowSolution(
        parameters=integration.point,
        loss=integration.loss_value,
        time=integration.time,
        gradient_evaluations=integration.gradients,
        hessian_vector_products=integration.products,
        steps=integration.steps,
        status=status,
        sharpness=integration.largest_sharpness,
    )


class _Integration:
    """RK4 along the flow, with the step set by the sharpness."""

    def __init__(self, loss: Loss, point: Tensor, step_factor: float, seed: int) -> None:
        self.loss = loss
        self.point = point
        self.step_factor = step_factor
        self.seed = seed
        self.time = 0.0
        self.gradients = 0
        self.products = 0
        self.steps = 0
        self.top_vector: Tensor | None = None
        self.current_sharpness = math.nan
        self.largest_sharpness = -math.inf
        self.loss_value, self.gradient = self._loss_and_gradient(point)

    def run(
        self,
        loss_tolerance: float,
        sharpness_every: int,
        max_gradients: int,
        report: Report | None,
    ) -> Status:
        way = math.log(self.loss_value / loss_tolerance) if 0 < self.loss_value < math.inf else math.nan
        while True:
            if not (math.isfinite(self.loss_value) and bool(torch.isfinite(self.gradient).all())):
                return "not finite"
            if self.loss_value <= loss_tolerance:
                return "converged"
            if self.steps % sharpness_every == 0:
                self._estimate_sharpness()
            failure = self._step(max_gradients)
            if failure:
                return failure
            if report:
                left = math.log(max(self.loss_value / loss_tolerance, 1.0)) / way
                report(self.gradients, self.loss_value, max(1 - left, 0.0))

    def _loss_and_gradient(self, point: Tensor) -> tuple[float, Tensor]:
        self.gradients += 1
        return loss_and_gradient(self.loss, point)

    def _estimate_sharpness(self) -> None:
        estimate = sharpness(self.loss, self.point, tolerance=1e-2, start=self.top_vector, seed=self.seed)
        self.products += estimate.products
        self.top_vector = estimate.vector
        self.current_sharpness = estimate.value
        self.largest_sharpness = max(self.largest_sharpness, estimate.value)

    def _step(self, max_gradients: int) -> Status | None:
        """Take one step that does not raise the loss; where there is none, return why."""
        step = math.inf
        for attempt in range(8):
            if self.current_sharpness <= 0:
                return "negative curvature"
            if self.gradients + 4 > max_gradients:
                return "budget"
            step = min(step / 2, self.step_factor / self.current_sharpness)
            point = self._rk4(step)
            value, gradient = self._loss_and_gradient(point)
            # Rounding may raise a loss that stands still; a step that is too long raises it by far more.
            if value <= self.loss_value * (1 + 1e-6):
                self.point, self.loss_value, self.gradient = point, value, gradient
                self.time += step
                self.steps += 1
                return None
            if attempt == 0:
                self._estimate_sharpness()
        return "unstable" if math.isfinite(value) else "not finite"

    def _rk4(self, step: float) -> Tensor:
        k1 = -self.gradient
        k2 = -self._loss_and_gradient(self.point + step / 2 * k1)[1]
        k3 = -self._loss_and_gradient(self.point + step / 2 * k2)[1]
        k4 = -self._loss_and_gradient(self.point + step * k3)[1]
        return self.point + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
