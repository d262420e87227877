"""The loss of a torch module on data as a function of one flat parameter vector (Appendix B.4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gfs.curvature import Loss


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ``1/(2N) sum_n ||f(x_n) - y_n||^2`` for ``outputs`` and ``targets`` of shape (N, K).

    Raises:
        ValueError: shapes that differ; broadcasting would make another loss of them.

    >>> float(mean_squared_error(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [0.0]])))
    2.5
    """
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs have shape {tuple(outputs.shape)}, targets {tuple(targets.shape)}; they must be the same: "
            "one-hot classes, or targets[:, None] for a single output"
        )
    return 0.5 * (outputs - targets).square().sum() / len(targets)


def flat_loss(module: nn.Module, inputs: Tensor, targets: Tensor) -> tuple[Loss, Tensor]:
    """Return the full-batch loss of ``module`` as a function of one flat vector, and the module's own parameters.

    The module is left unchanged: buffers, such as the running statistics of batch norm, are copied at each call.
    Parameters that do not require a gradient keep their values and are not part of the vector.

    Args:
        module: any torch module whose output at given weights is always the same.
        inputs: shape (N, ...); moved to the module's device and precision by the caller.
        targets: of the shape of the outputs, such as one-hot classes (N, K).

    Returns:
        ``loss``, which maps a tensor of shape (P,) to a scalar tensor, and the initial parameters, shape (P,).

    Raises:
        ValueError: a module without trainable parameters, or with dropout in training mode.

    >>> module = nn.Linear(2, 1, bias=False)
    >>> loss, w = flat_loss(module, torch.eye(2), torch.ones(2, 1))
    >>> tuple(w.shape), float(loss(torch.tensor([1.0, 3.0])))
    ((2,), 1.0)
    """
    named = [(name, parameter.detach()) for name, parameter in module.named_parameters() if parameter.requires_grad]
    if not named:
        raise ValueError("the module has no parameters that require a gradient")
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            raise ValueError(f"dropout ({name}) makes the loss random; call eval() on it first")
    sizes = [parameter.numel() for _, parameter in named]

    def loss(flat: Tensor) -> Tensor:
        parts = torch.split(flat, sizes)
        weights = {name: part.view_as(like) for (name, like), part in zip(named, parts, strict=True)}
        buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
        return mean_squared_error(functional_call(module, weights | buffers, (inputs,)), targets)

    return loss, torch.cat([parameter.reshape(-1) for _, parameter in named])
