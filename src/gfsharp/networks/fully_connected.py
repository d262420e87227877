"""The fully connected networks of figures 6 and 12, and their exact reduction to the span of the images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

ACTIVATIONS: dict[str, type[nn.Module]] = {"hardtanh": nn.Hardtanh, "tanh": nn.Tanh, "relu": nn.ReLU}


def fully_connected(
    inputs: int, outputs: int, *, widths: Sequence[int] = (200, 200), activation: str = "hardtanh", seed: int = 0
) -> nn.Sequential:
    """Return a fully connected network, by default of three layers with hidden width 200 as in Cohen et al. (2021).

    The weights are torch's default initialisation under ``seed``; the global generator is left as it was.

    Raises:
        ValueError: an unknown activation.

    >>> [tuple(p.shape) for p in fully_connected(64, 10, widths=[20]).parameters()]
    [(20, 64), (20,), (10, 20), (10,)]
    """
    if activation not in ACTIVATIONS:
        raise ValueError(f"unknown activation {activation!r}; choose one of {', '.join(sorted(ACTIVATIONS))}")
    sizes = [inputs, *widths, outputs]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers: list[nn.Module] = [nn.Flatten()]
        for i, (before, after) in enumerate(pairwise(sizes)):
            if i:
                layers.append(ACTIVATIONS[activation]())
            layers.append(nn.Linear(before, after))
    return nn.Sequential(*layers)


def in_span_of_inputs(module: nn.Sequential, inputs: Tensor) -> tuple[nn.Sequential, Tensor]:
    """Return a smaller network and inputs with the same loss, gradient descent, gradient flow and sharpness.

    The rows of the first layer's weights only ever move within the span of the N inputs: every gradient is a
    combination of them. With an orthonormal basis V of the span, shape (pixels, r), r <= N, the network that has
    ``W V`` in place of ``W`` and sees ``x V`` computes the same; as V is orthonormal so do gradient descent and flow,
    and the Hessian only loses eigenvalues that are zero. For 1,000 images of 3,072 pixels that is a third of the work.

    Args:
        module: of :func:`fully_connected`; left as it is.
        inputs: shape (N, ...).

    Returns:
        the network and inputs of shape (N, r); both unchanged in kind where the span is everything.

    >>> images = torch.randn(5, 64)
    >>> module, seen = in_span_of_inputs(fully_connected(64, 10, widths=[20]), images)
    >>> tuple(seen.shape), tuple(module[1].weight.shape)
    ((5, 5), (20, 5))
    """
    flat = inputs.flatten(1)
    _, values, rows = torch.linalg.svd(flat.double(), full_matrices=False)
    rank = int((values > values[0] * max(flat.shape) * torch.finfo(torch.float64).eps).sum())
    if rank == flat.shape[1]:
        return module, flat
    basis = rows[:rank].T
    reduced = copy.deepcopy(module)
    first = reduced[1]
    assert isinstance(first, nn.Linear)
    first.weight = nn.Parameter((first.weight.detach().double() @ basis).to(first.weight))
    first.in_features = rank
    return reduced, (flat.double() @ basis).to(inputs)
