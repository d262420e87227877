"""The value and the gradient of a user's loss; what is no loss of the weights is refused in a sentence."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gfsharp.errors import LossError
from gfsharp.precision import exact


def evaluated(loss: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """Return ``L(w)`` with its graph, which a loss that differentiates inside needs too.

    Args:
        loss: maps a flat tensor of shape (P,) to a tensor with one real number.
        at: the weights, shape (P,), a leaf that requires a gradient.

    Raises:
        LossError: something else comes back, or the loss writes to the weights.
    """
    version = at._version
    with torch.enable_grad():
        value = loss(at)
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.is_floating_point():
        found = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
        raise LossError(f"the loss must be one real number in a torch tensor, found {found}", "value")
    if at._version != version:
        raise LossError("the loss writes to the weights that it is given", "value")
    return value


def gradient(value: Tensor, at: Tensor, *, create_graph: bool = False) -> Tensor:
    """Return ``grad L(w)``, shape (P,), of a value that :func:`evaluated` gave.

    Raises:
        LossError: the value was not computed from the weights by torch.

    >>> w = torch.tensor([3.0, 4.0], requires_grad=True)
    >>> gradient(evaluated(lambda w: (w**2).sum() / 2, w), w).tolist()
    [3.0, 4.0]
    >>> gradient(evaluated(lambda w: torch.ones(()), w), w)
    Traceback (most recent call last):
    ...
    gfsharp.errors.LossError: the loss does not depend on the weights that it is given: it has other tensors in it, or \
leaves torch's graph (detach(), .data, .item(), numpy, no_grad)
    """
    found = None
    if value.requires_grad:
        (found,) = torch.autograd.grad(value, at, create_graph=create_graph, allow_unused=True)
    if found is None:
        raise LossError(
            "the loss does not depend on the weights that it is given: it has other tensors in it, or leaves torch's "
            "graph (detach(), .data, .item(), numpy, no_grad)",
            "gradient",
        )
    return found


def value_and_gradient(loss: Callable[[Tensor], Tensor], parameters: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``L(w)``, a scalar tensor, and ``grad L(w)``, shape (P,); nothing is read back from the device.

    Raises:
        LossError: as of :func:`gfsharp.derivatives.evaluated` and :func:`gfsharp.derivatives.gradient`.
    """
    point = parameters.detach().requires_grad_(True)
    value = evaluated(loss, point)
    return value.detach(), gradient(value, point)


@exact()
def loss_and_gradient(loss: Callable[[Tensor], Tensor], parameters: Tensor) -> tuple[float, Tensor]:
    """Return ``L(w)`` and ``grad L(w)``, shape (P,).

    Raises:
        LossError: as of :func:`gfsharp.derivatives.evaluated` and :func:`gfsharp.derivatives.gradient`.

    >>> value, slope = loss_and_gradient(lambda w: (w**2).sum() / 2, torch.tensor([3.0, 4.0]))
    >>> value, slope.tolist()
    (12.5, [3.0, 4.0])
    """
    value, slope = value_and_gradient(loss, parameters)
    return float(value), slope
