"""Count what is read back from a tensor's device, on a CPU, where reading costs nothing."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

# What float(), item(), bool() and an index come to, in Python and below it; and what copies many numbers at once.
_NUMBER = torch.ops.aten._local_scalar_dense.default
_COPIES = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu, torch.Tensor.__array__}


class ReadBacks:
    """While it is entered, ``count`` grows with each read of one number or of a whole tensor."""

    def __init__(self) -> None:
        self.count = 0
        self._modes = [_Numbers(self), _Copies(self)]

    def __enter__(self) -> "ReadBacks":
        for mode in self._modes:
            mode.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(*error)


class _Numbers(TorchDispatchMode):
    def __init__(self, reads: ReadBacks) -> None:
        super().__init__()
        self._reads = reads

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        self._reads.count += function is _NUMBER
        return function(*arguments, **(keywords or {}))


class _Copies(TorchFunctionMode):
    def __init__(self, reads: ReadBacks) -> None:
        super().__init__()
        self._reads = reads

    def __torch_function__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        self._reads.count += function in _COPIES
        return function(*arguments, **(keywords or {}))
