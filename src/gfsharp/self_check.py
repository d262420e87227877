"""A check of a torch loss before its sharpness is believed: that it has a value, a gradient and a Hessian.

A loss whose values are random, whose gradient is not that of its values, or whose second derivative is missing or not
that of its gradient gives numbers that look right. Each is found by comparing with differences at a point near the
start. Kinks, as of ReLU, and rounding, as in float32, leave differences too; see :func:`check_loss` for how they are
told apart.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gfsharp import derivatives
from gfsharp.arguments import require_weights
from gfsharp.curvature import Loss
from gfsharp.errors import LossError, first_line
from gfsharp.graph import made_of

# The point is moved by this share of a typical weight, or by less where the loss is not finite there.
_MOVES = (1e-2, 1e-4, 1e-6)
# A typical weight is at least that: of weights that are all zero, or next to it, a share would be no move at all.
_LEAST_WEIGHT = 1e-2
# Steps of the differences as shares of a typical weight, tried in turn until one agrees. In float64 the small ones
# cross no kink; in float32 rounding needs a step of 1e-3 or so, and the others are for losses with less or more of it.
_STEPS = {torch.float64: (1e-5, 1e-7, 1e-9, 1e-3), torch.float32: (3e-3, 3e-2, 3e-4)}
# How far apart the two sides may be, as a share. What is wrong is wrong by tens of percent, but for a part of a large
# module; in float64 smooth losses agree to 1e-6 and those with kinks at the steps that cross none.
_GRADIENT_SHARE = {torch.float64: 1e-2, torch.float32: 5e-2}
_PRODUCT_SHARE = {torch.float64: 1e-3, torch.float32: 2e-2}
# What rounding may leave, in units of the relative rounding error of the largest terms.
_ROUNDING = 100
# Calls after which a loss that draws random numbers is taken to ignore them.
_CALLS = 10


def check_loss(
    loss: Loss, parameters: Tensor, *, precise: Callable[[], Loss | None] | None = None, seed: int = 0
) -> None:
    """Refuse a loss whose values are random, or whose first or second derivatives are not those of its values.

    At a point ``w`` near ``parameters``, moved by a hundredth of a typical weight, and for random unit vectors ``u``
    and ``v`` and a short length ``d`` it holds

    - ``L(w)`` against ``L(w)``;
    - ``L(w + dv) - L(w - dv)`` against the integral of ``v . grad L`` between, by Simpson's rule, and the same along
      ``u`` against ``2d u . grad L(w)``;
    - ``grad L(w + dv) - grad L(w - dv)`` against ``2d H v``, and ``u . H v`` against ``v . H u``.

    That takes the time of some seven gradients. Where two sides differ, other lengths are tried; only what differs at
    all of them is refused. Between two points in float32 a network with kinks (ReLU, hardtanh, pooling by maximum) may
    have so many that the difference of its gradients is not its Hessian: then the loss in float64 decides, if there is
    one, and without one the products of a graph with kinks are believed if all its operations are torch's own.

    What cannot be checked is not refused: a loss that is not finite at ``parameters``.

    Args:
        loss: maps a flat tensor of shape (P,) to a scalar tensor.
        parameters: the point, shape (P,), float32 or float64.
        precise: called where rounding leaves doubt, returns the same loss for weights in float64, or None.
        seed: of the random directions; global generators are left alone.

    Raises:
        LossError: the loss is not fit; the message says why in one sentence.
        TypeError, ValueError: weights that are not flat.

    >>> check_loss(lambda w: (w.prod() - 1) ** 2, torch.tensor([2.0, 1.0]))
    >>> check_loss(lambda w: (w.prod() - w.detach().sum()) ** 2, torch.tensor([2.0, 1.0]))
    Traceback (most recent call last):
    ...
    gfsharp.errors.LossError: the gradient of the loss is not that of its values (detach(), .data or .item() inside it?)
    """
    require_weights(parameters=parameters)
    if parameters.dtype not in _STEPS:
        raise ValueError(f"parameters must be float32 or float64, found {parameters.dtype}")
    point = _moved(loss, parameters, seed)
    if point is None:
        return
    _require_one_value(loss, point)
    found = _compared(loss, point, seed)
    # Functions that are not torch's own are held to more than float32 can show.
    if point.dtype != torch.float64 and (found.wrong or found.functions):
        exact = None if precise is None else precise()
        there = None if exact is None else _moved(exact, parameters.double(), seed)
        if exact is not None and there is not None:
            found = _compared(exact, there, seed)
        elif found.wrong == "product" and found.kinks and not found.functions:
            return
    if found.wrong:
        raise LossError(found.message, found.wrong)


@dataclass(frozen=True)
class _Comparison:
    """What did not agree: ``gradient``, ``product`` or None; and what the loss is made of."""

    wrong: str | None
    kinks: bool
    functions: tuple[str, ...]

    @property
    def message(self) -> str:
        named = f" (in its own autograd function {', '.join(self.functions)}?)" if self.functions else ""
        if self.wrong == "gradient":
            return f"the gradient of the loss is not that of its values{named or _DETACHED}"
        return f"the second derivative of the loss is not that of its gradient{named}"


_DETACHED = " (detach(), .data or .item() inside it?)"


def _moved(loss: Loss, parameters: Tensor, seed: int) -> Tensor | None:
    """Return a point beside ``parameters``, or themselves, where the loss is finite; None if there is none."""
    start = parameters.detach()
    direction = _direction(start, seed)
    for move in (*_MOVES, 0.0):
        point = start + move * direction
        if math.isfinite(_value(loss, point)):
            return point
    return None


def _direction(like: Tensor, seed: int) -> Tensor:
    """Return a vector of normal numbers as large as a typical weight."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return (drawn * _typical(like)).to(like)


def _typical(weights: Tensor) -> float:
    """Return the median size of the weights that are not zero."""
    sizes = weights.detach().abs()
    sizes = sizes[sizes > 0]
    return max(float(sizes.median()) if len(sizes) else 1.0, _LEAST_WEIGHT)


def _require_one_value(loss: Loss, point: Tensor) -> None:
    before = _generators(point)
    first = _value(loss, point)
    # A loss that draws may by chance draw the same twice.
    draws = _generators(point) != before
    for _ in range(_CALLS if draws else 1):
        again = _value(loss, point)
        if again != first and (draws or abs(again - first) > _room_of_sums(loss, point, first)):
            raise LossError(f"the loss is random: {first!r} and {again!r} at the same weights", "random")


def _room_of_sums(loss: Loss, point: Tensor, value: float) -> float:
    """Return how far apart two values may be whose sums were taken in another order, as on a GPU."""
    _, gradient = _first_order(loss, point)
    return _ROUNDING * _rounding(point) * (abs(value) + _norm(gradient) * _norm(point))


def _generators(point: Tensor) -> list[Any]:
    """Return the states of the global generators, to compare."""
    states: list[Any] = [torch.get_rng_state().tolist(), random.getstate()]
    name, keys, *rest = np.random.get_state()  # noqa: NPY002 - what others draw from
    states += [name, np.asarray(keys).tolist(), rest]
    return [*states, torch.cuda.get_rng_state(point.device).tolist()] if point.is_cuda else states


def _compared(loss: Loss, point: Tensor, seed: int) -> _Comparison:
    """Hold the derivatives at ``point`` against differences."""
    value, gradient, product, of = _second_order(loss, point)
    directions = [_direction(point, seed + 1), _direction(point, seed + 2)]
    v, u = (direction / _norm(direction) for direction in directions)
    middle = _Sample(value, gradient, product(v))
    other = product(u)
    if not bool(torch.isfinite(middle.product + other).all()):
        raise LossError("a Hessian-vector product of the loss is not finite", "product")
    open_questions = {"gradient along v", "gradient along u", "product"}
    for step in _STEPS[point.dtype]:
        length = step * _norm(directions[0])
        if open_questions & {"gradient along v", "product"}:
            open_questions -= set(_agreeing(loss, point, v, length, middle))
        if "gradient along u" in open_questions and _values_agree(loss, point, u, length, middle):
            open_questions.remove("gradient along u")
        # In float32 a shorter step crosses as many kinks for its length.
        if not open_questions or (open_questions == {"product"} and of[0] and point.dtype != torch.float64):
            break
    if open_questions - {"product"}:
        return _Comparison("gradient", *of)
    if open_questions or not _symmetric(point, middle.product, other, u, v):
        return _Comparison("product", *of)
    return _Comparison(None, *of)


@dataclass(frozen=True)
class _Sample:
    """Value, gradient, and Hessian times the direction at hand, at a point."""

    value: float
    gradient: Tensor
    product: Tensor


def _agreeing(loss: Loss, point: Tensor, v: Tensor, length: float, middle: _Sample) -> Iterator[str]:
    """Yield what agrees between the ends of a short way along ``v``."""
    (below, before), (above, after) = (_first_order(loss, point + sign * length * v) for sign in (-1, 1))
    if not (math.isfinite(below) and math.isfinite(above)):
        return
    slope = (_dot(before, v) + 4 * _dot(middle.gradient, v) + _dot(after, v)) / 3
    sizes = [_norm(gradient) for gradient in (before, middle.gradient, after)]
    largest = (before, middle.gradient, after)[sizes.index(max(sizes))]
    if _same_slope(above - below, slope * length, length, largest, point, max(abs(below), abs(above))):
        yield "gradient along v"
    change, told = after.double() - before.double(), 2 * length * middle.product.double()
    room = _ROUNDING * _rounding(point) * (max(sizes) + _norm(middle.product) * _norm(point))
    if _norm(change - told) <= _PRODUCT_SHARE[point.dtype] * max(_norm(change), _norm(told)) + room:
        yield "product"


def _values_agree(loss: Loss, point: Tensor, u: Tensor, length: float, middle: _Sample) -> bool:
    below, above = (_value(loss, point + sign * length * u) for sign in (-1, 1))
    told = 2 * length * _dot(middle.gradient, u)
    return _same_slope(above - below, told, length, middle.gradient, point, max(abs(below), abs(above)))


def _same_slope(rise: float, told: float, length: float, gradient: Tensor, point: Tensor, value: float) -> bool:
    """Return whether the loss rises by what a gradient says, up to rounding.

    A gradient that is wrong by ``e`` is wrong by some ``|e| / sqrt(P)`` along a random direction. Rounding is that of
    the value itself and of each weight, whatever else rounds being as large as that.
    """
    share = _GRADIENT_SHARE[point.dtype] * 2 * length * _norm(gradient) / math.sqrt(point.numel())
    room = _ROUNDING * _rounding(point) * (value / 10 + _norm(gradient * point))
    return abs(rise - told) <= share + room


def _symmetric(point: Tensor, along_v: Tensor, along_u: Tensor, u: Tensor, v: Tensor) -> bool:
    size = max(_norm(along_v), _norm(along_u))
    share = 10 * _PRODUCT_SHARE[point.dtype] * size / math.sqrt(point.numel())
    return abs(_dot(u, along_v) - _dot(v, along_u)) <= share + _ROUNDING * _rounding(point) * size


def _second_order(
    loss: Loss, point: Tensor
) -> tuple[float, Tensor, Callable[[Tensor], Tensor], tuple[bool, tuple[str, ...]]]:
    """Return value, gradient, Hessian-vector product, and whether the graph has kinks and which functions of others."""
    at = point.clone().requires_grad_(True)
    value = derivatives.evaluated(loss, at)
    of = made_of(value)
    gradient = _differentiated(lambda: derivatives.gradient(value, at, create_graph=True), "gradient", of[1])

    def product(vector: Tensor) -> Tensor:
        if not gradient.requires_grad:
            return torch.zeros_like(vector)
        return _differentiated(
            lambda: torch.autograd.grad(gradient, at, vector, retain_graph=True, materialize_grads=True)[0],
            "second derivative",
            of[1],
        ).detach()

    return float(value.detach()), gradient.detach(), product, of


def _first_order(loss: Loss, point: Tensor) -> tuple[float, Tensor]:
    at = point.clone().requires_grad_(True)
    value = derivatives.evaluated(loss, at)
    gradient = _differentiated(lambda: derivatives.gradient(value, at), "gradient", ())
    return float(value.detach()), gradient


def _value(loss: Loss, point: Tensor) -> float:
    # With a graph, which losses that differentiate inside need.
    return float(derivatives.evaluated(loss, point.clone().requires_grad_(True)).detach())


def _differentiated(derive: Callable[[], Tensor], what: str, functions: tuple[str, ...]) -> Tensor:
    try:
        return derive()
    except RuntimeError as error:
        named = f" (in {', '.join(functions)}?)" if functions else ""
        raise LossError(f"the loss has no {what}{named}: {first_line(error)}", what) from error


# In float64 and scaled, so that neither a sum over many weights nor the square of a small number is lost.


def _dot(a: Tensor, b: Tensor) -> float:
    return float(a.double() @ b.double())


def _norm(a: Tensor) -> float:
    largest = float(a.detach().abs().max())
    return largest * float((a.double() / largest).norm()) if 0 < largest < math.inf else largest


def _rounding(point: Tensor) -> float:
    return torch.finfo(point.dtype).eps
