"""The loss of a torch module on data as a function of one flat parameter vector (Appendix B.4)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from gfsharp.curvature import Loss
from gfsharp.errors import LossError, first_line
from gfsharp.graph import leaves
from gfsharp.networks import causes, substitution
from gfsharp.self_check import check_loss

Criterion = Callable[[Any, Any], Tensor]


def mean_squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ``1/(2N) sum_n ||f(x_n) - y_n||^2`` for ``outputs`` and ``targets`` of shape (N, K).

    It is K/2 times :class:`torch.nn.MSELoss`, which divides by all N K numbers and has no factor of 1/2; that may be
    given as a criterion too.

    Raises:
        ValueError: shapes that differ; broadcasting would make another loss of them.

    >>> float(mean_squared_error(torch.tensor([[1.0], [3.0]]), torch.tensor([[0.0], [0.0]])))
    2.5
    """
    _require_shape(outputs, targets)
    return 0.5 * (outputs - targets.to(outputs.dtype)).square().sum() / len(targets)


def _require_shape(outputs: Tensor, targets: Tensor) -> None:
    if outputs.shape != targets.shape:
        raise ValueError(
            f"outputs have shape {tuple(outputs.shape)}, targets {tuple(targets.shape)}; they must be the same: "
            "one-hot classes, or targets[:, None] for a single output (class indices go with criterion='cross_entropy')"
        )


def cross_entropy(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of ``-log softmax(f(x_n))[y_n]`` over the samples, as :func:`torch.nn.functional.cross_entropy`.

    The gradient flow of this loss has no limit where the classes can be told apart: the loss falls towards zero and the
    weights grow without end. What is found at a loss tolerance is a point on the way.

    Args:
        outputs: shape (N, K), or (N, K, ...).
        targets: class indices of shape (N,), or (N, ...); or probabilities, of the shape of the outputs.

    >>> float(cross_entropy(torch.zeros(2, 4), torch.tensor([0, 3]))) == float(torch.tensor(4.0).log())
    True
    """
    probabilities = targets.is_floating_point()
    return functional.cross_entropy(outputs, targets.to(outputs.dtype) if probabilities else targets.long())


def logistic(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean of ``log(1 + exp(-y f(x)))`` over ``outputs`` and ``targets`` of one shape, targets -1 or 1.

    As with :func:`cross_entropy` the gradient flow has no limit where the classes can be told apart.

    Raises:
        ValueError: shapes that differ, or targets that are not -1 or 1.

    >>> float(logistic(torch.zeros(3, 1), torch.tensor([[1.0], [-1.0], [1.0]]))) == float(torch.tensor(2.0).log())
    True
    """
    _require_shape(outputs, targets)
    if not bool((targets.abs() == 1).all()):
        raise ValueError("the targets of the logistic loss must be -1 or 1")
    return functional.softplus(-targets.to(outputs.dtype) * outputs).mean()


CRITERIA: Mapping[str, Criterion] = {
    "mean_squared_error": mean_squared_error,
    "cross_entropy": cross_entropy,
    "logistic": logistic,
}
Named = Literal["mean_squared_error", "cross_entropy", "logistic"]


def full_batch(batches: Iterable[Any]) -> tuple[Any, Any]:
    """Return inputs and targets of all batches of a DataLoader as one batch.

    What a loader draws anew in each pass, such as random crops, is drawn once. Order does not matter to the loss.

    Args:
        batches: pairs of inputs and targets, whose entries are tensors, or tuples, lists and mappings of tensors.

    Raises:
        TypeError, ValueError: entries that are no such pairs, or none at all.

    >>> from torch.utils.data import DataLoader, TensorDataset
    >>> inputs, targets = full_batch(DataLoader(TensorDataset(torch.ones(5, 2), torch.zeros(5)), batch_size=2))
    >>> inputs.shape, targets.shape
    (torch.Size([5, 2]), torch.Size([5]))
    """
    if isinstance(batches, torch.utils.data.Dataset):
        raise TypeError("a data set has no batches: give a DataLoader of it")
    pairs = list(batches)
    if not pairs:
        raise ValueError("there are no batches")
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise TypeError(f"a batch must be a pair of inputs and targets, found {type(pair).__name__}")
        x, y = pair
        if isinstance(x, Tensor) and isinstance(y, Tensor) and x.shape[:1] != y.shape[:1]:
            raise ValueError(
                f"inputs and targets of a batch must be of as many samples, found shapes {tuple(x.shape)} and "
                f"{tuple(y.shape)}: a DataLoader needs a batch_size"
            )
    inputs, targets = zip(*pairs, strict=True)
    return _joined(inputs), _joined(targets)


def _joined(parts: Sequence[Any]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor) and first.ndim:
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        if any(set(part) != set(first) for part in parts):
            raise TypeError("all batches must have the same names")
        return {name: _joined([part[name] for part in parts]) for name in first}
    if isinstance(first, tuple | list):
        if any(len(part) != len(first) for part in parts):
            raise TypeError("all batches must have as many entries")
        joined = [_joined(column) for column in zip(*parts, strict=True)]
        return type(first)(*joined) if hasattr(first, "_fields") else type(first)(joined)
    raise TypeError(f"batches must be made of tensors with a first dimension, found {type(first).__name__}")


def flat_loss(
    module: nn.Module,
    inputs: Any,
    targets: Any,
    *,
    criterion: Named | Criterion = "mean_squared_error",
    check: bool = True,
) -> tuple[FlatLoss, Tensor]:
    """Return the full-batch loss of ``module`` as a function of one flat vector, and the module's own parameters.

    The loss has copies of its own of the module, inputs and targets, made now: the module is not touched, neither by
    making the loss nor by calling it, and what becomes of it later (training, ``eval()``, other buffers) does not
    change the loss. At each call buffers, such as the running statistics of batch norm, are those of the start.
    Parameters that do not require a gradient keep their values and are not part of the vector; one that is used in
    several places is in it once. Attention runs by torch's math kernel, the one with a second derivative, and recurrent
    layers without cuDNN, for the same reason.

    Args:
        module: any torch module whose output at given weights is always the same; float32 or float64.
        inputs: of the module's device and precision. A tensor is the module's one argument; the entries of a tuple or
            list are its arguments in order, those of a mapping its arguments by name; an object of another class, such
            as a graph, is passed as it is.
        targets: what the criterion takes: of the shape of the outputs, such as one-hot classes (N, K), for
            ``mean_squared_error``, class indices (N,) for ``cross_entropy``, -1 or 1 for ``logistic``.
        criterion: ``"mean_squared_error"``, ``"cross_entropy"`` or ``"logistic"``: :func:`mean_squared_error`,
            :func:`cross_entropy` and :func:`logistic` (the flow of these two has no limit on separable data). Or a
            function of outputs and targets that returns a scalar tensor, such as ``torch.nn.MSELoss()``; outputs that
            are a tuple or a mapping need one that takes them. Parameters of a criterion are constants.
        check: hold the loss against its differences (:func:`gfsharp.self_check.check_loss`), which takes the time
            of some seven gradients. Without it a loss that is random, or has a wrong second derivative, gives wrong
            numbers.

    Returns:
        ``loss``, which maps a tensor of shape (P,) to a scalar tensor, and the initial parameters, shape (P,).
        ``loss.layers`` says where the weights of each layer lie in the vector: a slice by the layer's name.

    Raises:
        LossError: the loss is random, or a derivative of it is missing or wrong, or it has weights of ``module`` in it
            that are not from the vector, such as by a hook that names a layer; the message names the cause if the
            module shows it.
        TypeError, ValueError: a module without trainable parameters, with dropout or spectral_norm in training mode,
            with complex weights or data, of several precisions, or that cannot be copied; outputs that the criterion
            does not take.

    >>> module = nn.Linear(2, 1, bias=False)
    >>> loss, w = flat_loss(module, torch.eye(2), torch.ones(2, 1))
    >>> tuple(w.shape), float(loss(torch.tensor([1.0, 3.0])))
    ((2,), 1.0)
    """
    _require_module(module)
    _require_data(inputs=inputs, targets=targets)
    _require_criterion(criterion, targets)
    module = _unwrapped(module)
    own = substitution.own_copy(module)
    if not isinstance(criterion, str):
        # Weights of the module that it holds are not copied, so that they are found in the loss.
        criterion = copy.deepcopy(criterion, {id(parameter): parameter for parameter in module.parameters()})
    loss = FlatLoss(own, _own_data(inputs), _own_data(targets), criterion)
    start = torch.cat([parameter.detach().reshape(-1) for parameter in loss.parameters])
    if check:
        try:
            check_loss(loss, start, precise=loss.in_float64)
        except LossError as error:
            cause = causes.cause(own, error)
            raise LossError(f"{error}; {cause}" if cause else str(error), error.kind) from error
        except (RuntimeError, TypeError) as error:
            odd = _unlike_the_weights(loss, start)
            if not odd:
                raise
            raise TypeError(f"{odd}: the module does not take both ({first_line(error)})") from error
        _require_substitutes(loss, start, module)
    return loss, start


def _unlike_the_weights(loss: FlatLoss, start: Tensor) -> str:
    """Return which data are of another precision or device than the weights; nothing where they are not."""
    # Criteria that have a name take targets of any precision.
    data = {"inputs": loss.inputs, "targets": None if loss.named else loss.targets}
    odd = [
        f"{name} are {_short(getattr(value, of))} and the weights {_short(getattr(start, of))}"
        for name, values in data.items()
        for value in _tensors(values)
        for of in ("dtype", "device")
        if isinstance(value, Tensor) and getattr(value, of) != getattr(start, of)
    ]
    return "; ".join(dict.fromkeys(odd))


def _short(value: torch.dtype | torch.device) -> str:
    return str(value).removeprefix("torch.")


def _require_substitutes(loss: Loss, start: Tensor, module: nn.Module) -> None:
    """Refuse a loss that has weights of the user's module in it: they stay as they are while their substitutes move."""
    kept = {id(leaf) for leaf in leaves(loss(start.detach().requires_grad_(True)))}
    names = [name for name, parameter in module.named_parameters() if id(parameter) in kept]
    if names:
        raise LossError(
            f"the loss takes the weights {', '.join(names)} from the module itself and not from the vector: a function "
            "that names the module or a part of it, such as a hook, a lambda or the criterion, has to take them from "
            "its arguments; a penalty on weights can be an output of the module",
            "value",
        )


class FlatLoss:
    """The loss that :func:`flat_loss` makes; module, data and criterion are its own.

    Attributes:
        layers: where the weights of each layer lie in the flat vector, by its name in the module; the module itself has
            the empty name.
    """

    def __init__(self, module: nn.Module, inputs: Any, targets: Any, criterion: str | Criterion) -> None:
        self.module, self.inputs, self.targets = module, inputs, targets
        self.named = criterion if isinstance(criterion, str) else None
        self.criterion = CRITERIA[criterion] if isinstance(criterion, str) else criterion
        self.parameters = substitution.trainable(module)
        self._sizes = [parameter.numel() for parameter in self.parameters]
        self.layers = _layers(module, self.parameters)
        self._with = substitution.Substitution(module)
        self._recurrent = substitution.has_recurrence(module)

    def __call__(self, flat: Tensor) -> Tensor:
        parts = torch.split(flat, self._sizes)
        weights = {own: part.view_as(own) for own, part in zip(self.parameters, parts, strict=True)}
        with ExitStack() as contexts:
            contexts.enter_context(substitution.math_attention())
            if self._recurrent:
                contexts.enter_context(substitution.without_cudnn())
            outputs = _called(self._with(weights), _own_data(self.inputs))
            if self.named and not isinstance(outputs, Tensor):
                raise TypeError(
                    f"the module returns a {type(outputs).__name__}, and {self.named} takes one tensor; give as "
                    "criterion a function of these outputs and the targets that returns a scalar"
                )
            loss = self.criterion(outputs, _own_data(self.targets))
        if not isinstance(loss, Tensor) or loss.numel() != 1 or not loss.is_floating_point():
            found = f"{loss.dtype} of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise TypeError(f"the criterion must return one real number in a torch tensor, found {found}")
        return loss.reshape(())

    def in_float64(self) -> Loss | None:
        """Return the same loss for weights in float64, None if it cannot be made."""
        try:
            module = copy.deepcopy(self.module).double()
            criterion = self.named or copy.deepcopy(self.criterion)
            if isinstance(criterion, nn.Module):
                criterion = criterion.double()
            loss = FlatLoss(module, _in_float64(self.inputs), _in_float64(self.targets), criterion)
            value = loss(torch.cat([parameter.detach().reshape(-1) for parameter in loss.parameters]))
        except (RuntimeError, TypeError, ValueError):
            return None
        return loss if value.dtype == torch.float64 else None


def _layers(module: nn.Module, parameters: list[nn.Parameter]) -> dict[str, slice]:
    """Return where the weights of each part of a module with weights of its own lie in the flat vector, by its name."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    layers: dict[str, slice] = {}
    low = 0
    for parameter in parameters:
        layer = names[id(parameter)].rpartition(".")[0]
        high = low + parameter.numel()
        layers[layer] = slice(layers[layer].start if layer in layers else low, high)
        low = high
    return layers


def _called(module: nn.Module, inputs: Any) -> Any:
    if isinstance(inputs, Mapping):
        return module(**inputs)
    return module(*inputs) if isinstance(inputs, tuple | list) else module(inputs)


def with_each_tensor(data: Any, change: Callable[[Tensor], Tensor], other: Callable[[Any], Any] = lambda x: x) -> Any:
    """Return data with each tensor changed, within tuples, lists and mappings too.

    Args:
        change: of tensors.
        other: of all else.
    """
    if isinstance(data, Tensor):
        return change(data)
    if isinstance(data, Mapping):
        return {name: with_each_tensor(value, change, other) for name, value in data.items()}
    if type(data) in (tuple, list):
        return type(data)(with_each_tensor(value, change, other) for value in data)
    return other(data)


def _own_data(data: Any) -> Any:
    """Return a copy to which a module can write; a tensor that requires a gradient does so still."""
    return with_each_tensor(data, lambda x: x.detach().clone().requires_grad_(x.requires_grad), copy.deepcopy)


def _in_float64(data: Any) -> Any:
    return with_each_tensor(data, lambda x: x.double() if x.is_floating_point() else x)


def _tensors(data: Any) -> Iterator[Any]:
    """Yield the tensors in data, and what is no tensor."""
    entries = data.values() if isinstance(data, Mapping) else data if isinstance(data, tuple | list) else None
    if entries is None:
        yield data
    else:
        for entry in entries:
            yield from _tensors(entry)


def _require_data(**data: Any) -> None:
    for name, values in data.items():
        for value in _tensors(values):
            if isinstance(
                value, np.ndarray | np.generic | int | float | torch.utils.data.DataLoader | torch.utils.data.Dataset
            ):
                raise TypeError(
                    f"{name} must be tensors, found {type(value).__name__}; make one tensor of all samples, such as by "
                    "torch.as_tensor, or by gfsharp.networks.full_batch of a DataLoader"
                )
            if isinstance(value, Tensor) and value.is_complex():
                raise ValueError(f"{name} must be real, found {value.dtype}; give real and imaginary part as two")


def _require_criterion(criterion: str | Criterion, targets: Any) -> None:
    if not isinstance(criterion, str):
        return
    if criterion not in CRITERIA:
        raise ValueError(f"unknown criterion {criterion!r}; choose one of {', '.join(CRITERIA)}, or give a function")
    if not isinstance(targets, Tensor):
        raise TypeError(
            f"{criterion} takes one tensor of targets, found {type(targets).__name__}; if the loss has others or "
            "none, give as criterion a function of outputs and targets that returns a scalar"
        )


def _unwrapped(module: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile`` or ``DataParallel``, which have no second derivative or copy."""
    inner = getattr(module, "_orig_mod", None)
    if not isinstance(inner, nn.Module):
        inner = module.module if isinstance(module, nn.DataParallel) else None
    return module if inner is None else _unwrapped(inner)


def _require_module(module: nn.Module) -> None:
    if not isinstance(module, nn.Module):
        raise TypeError(f"module must be a torch.nn.Module, found {getattr(module, '__name__', type(module).__name__)}")
    for name, part in module.named_modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.training and part.p > 0:
            raise ValueError(f"dropout ({name}) makes the loss random; call eval() on it first")
    for name in causes.spectral_norms(module):
        raise ValueError(
            f"spectral_norm ({name}) in training mode takes its singular vectors for constants, so the derivatives of "
            "the loss would be wrong; call eval() on it, after some calls on the inputs"
        )
    named = dict(module.named_parameters())
    for name, parameter in named.items():
        if isinstance(parameter, nn.parameter.UninitializedParameter):
            raise ValueError(f"the weights {name} have no shape yet; call the module once on its inputs first")
        if parameter.is_complex():
            raise ValueError(
                f"the weights {name} are complex ({parameter.dtype}); only real ones have a sharpness here"
            )
    trained = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    if not trained:
        raise ValueError("the module has no parameters that require a gradient")
    kinds = {(parameter.dtype, parameter.device) for parameter in trained.values()}
    if len(kinds) > 1 or next(iter(kinds))[0] not in (torch.float32, torch.float64):
        found = " and ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise ValueError(f"the weights must all be float32, or all float64, on one device, found {found}")
    if next(iter(kinds))[1].type == "meta":
        raise ValueError("the weights are on the device meta, where they have no values")
