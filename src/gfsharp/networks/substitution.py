"""A module with other weights, made anew for each evaluation.

``torch.func.functional_call`` puts the weights into the module itself and takes them out again when the module has
returned. What looks at the weights later, such as the recomputation of :mod:`torch.utils.checkpoint`, then sees others;
and a module that has a layer under two names keeps some of them (PyTorch 2.x). Here the module is copied instead, with
the weights in place of its own, so that nothing has to be put back.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

_OF_TORCH = "torch.nn.modules."
# They keep their weights in a list besides.
_DEEP = (nn.RNNBase,)


def own_copy(module: nn.Module) -> nn.Module:
    """Return a copy that shares nothing with ``module``: weights, buffers, modes, and whatever its attributes hold.

    Raises:
        ValueError: it holds something that cannot be copied.
    """
    # Tensors that were computed, as the weight of torch's older weight_norm was, cannot be copied with their graph.
    memo = {id(tensor): tensor.detach().clone() for tensor in _computed(module)}
    try:
        return copy.deepcopy(module, memo)
    except (TypeError, RuntimeError, AttributeError) as error:
        raise ValueError(
            f"the module {type(module).__name__} cannot be copied (copy.deepcopy), and its loss needs a copy of its "
            f"own: {error}"
        ) from error


def _computed(module: nn.Module) -> Iterable[Tensor]:
    for part in module.modules():
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                yield value


class Substitution:
    """Copies of a module with tensors in place of parameters.

    Modules that torch's own layers make up are copied by their dictionaries alone, some microseconds a layer. A class
    of a user's own, or with hooks, can hold its weights in any way, so the whole is copied then, every reference to a
    parameter being one to its substitute. Buffers are copied each time, so that what changes them, such as the running
    statistics of batch norm, changes nothing; frozen parameters are shared.

    Args:
        module: not to be changed later; see :func:`own_copy`.
    """

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self._shallow = all(_is_plain(part) for part in module.modules())

    def __call__(self, weights: Mapping[nn.Parameter, Tensor]) -> nn.Module:
        """Return a copy with ``weights`` in place of the parameters that are their keys."""
        # By identity, for tensors compare by their values.
        substitutes: dict[int, Tensor] = {id(parameter): tensor for parameter, tensor in weights.items()}
        for buffer in self.module.buffers():
            substitutes[id(buffer)] = buffer.clone()
        if self._shallow:
            return _shallow_copy(self.module, substitutes, {})
        for parameter in self.module.parameters():
            substitutes.setdefault(id(parameter), parameter)
        memo: dict[int, Any] = dict(substitutes)
        return copy.deepcopy(self.module, memo)


def _is_plain(part: nn.Module) -> bool:
    hooks = (part._forward_hooks, part._forward_pre_hooks, part._backward_hooks, part._backward_pre_hooks)
    ours = type(part).__module__.startswith((_OF_TORCH, "gfsharp.networks."))
    others = any(isinstance(value, Tensor | nn.Module) for value in vars(part).values())
    return ours and not isinstance(part, _DEEP) and not any(hooks) and "forward" not in vars(part) and not others


def _shallow_copy(part: nn.Module, substitutes: Mapping[int, Tensor], made: dict[int, nn.Module]) -> nn.Module:
    if id(part) in made:
        return made[id(part)]
    made[id(part)] = fresh = object.__new__(type(part))
    state = dict(vars(part))
    for kind in ("_parameters", "_buffers"):
        state[kind] = {name: substitutes.get(id(tensor), tensor) for name, tensor in state[kind].items()}
    state["_modules"] = {
        name: None if child is None else _shallow_copy(child, substitutes, made)
        for name, child in state["_modules"].items()
    }
    # Past the setter, which sorts modules and tensors into those dictionaries.
    fresh.__dict__.update(state)
    return fresh


def math_attention() -> Any:
    """Return the context in which attention has a second derivative: that of torch's faster kernels is missing."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    return sdpa_kernel(SDPBackend.MATH)


def trainable(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters that require a gradient, each once."""
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def has_recurrence(module: nn.Module) -> bool:
    """Return whether a part is a recurrent layer, of which cuDNN has no second derivative."""
    return any(isinstance(part, nn.RNNBase) for part in module.modules())


def without_cudnn() -> Any:
    """Return the context in which cuDNN is not used."""
    return torch.backends.cudnn.flags(enabled=False)
