"""Torch's switches for full precision and determinism: set in one place, put back afterwards.

A gradient in TF32, torch's default for convolutions on a GPU, has ten bits: it is off by 1e-3, and a curvature from
differences of gradients is noise. On a processor ``torch.set_float32_matmul_precision("medium")`` allows bfloat16.
All functions here that take a loss compute within :class:`exact`; what a user has set holds again after them.
"""

from __future__ import annotations

import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import ContextDecorator, ExitStack, contextmanager
from functools import partial
from typing import Any, TypeVar

import torch

T = TypeVar("T")

# What the environment has to say before cuBLAS is first used, or its sums depend on which stream is free.
_CUBLAS, _CUBLAS_SETTING = "CUBLAS_WORKSPACE_CONFIG", ":4096:8"
_REDUCED = {"tf32", "bf16"}
_WITHOUT_DETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")


class exact(ContextDecorator):  # noqa: N801 - read as a word: with exact(): ...
    """Within it float32 is float32 and, where torch can, the same input has the same result; after it all is as before.

    - No TF32 and no bfloat16 in matrix products, convolutions and recurrent networks, by the settings
      ``fp32_precision`` of all backends and the older ``allow_tf32`` and ``set_float32_matmul_precision``; no reduced
      precision in sums of half-precision products; no autocast that is entered outside.
    - Deterministic algorithms on, cuDNN's and oneDNN's too; cuDNN does not choose its algorithms by timing. An
      operation without one gives torch's warning (:func:`operations_without_deterministic` collects them), or its
      error, if the user has asked for errors.
    - ``CUBLAS_WORKSPACE_CONFIG`` is set where it is not. It has an effect only if cuBLAS has not been used before.

    The switches belong to the process: while one thread is within it they are so for all. Within another it costs a
    microsecond. It decorates functions as well.

    One thing that torch gives no way to read or to put back: after ``cudnn.allow_tf32`` has been set,
    ``torch.backends.fp32_precision`` says nothing about cuDNN any more; ``torch.backends.cudnn.conv.fp32_precision``
    and ``torch.backends.cudnn.rnn.fp32_precision`` do.

    >>> torch.set_float32_matmul_precision("medium")
    >>> with exact():
    ...     torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    ('highest', True)
    >>> torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled()
    ('medium', False)
    >>> torch.set_float32_matmul_precision("highest")
    """

    _lock = threading.RLock()
    _depth = 0
    _restore = ExitStack()

    def __enter__(self) -> None:
        with exact._lock:
            if exact._depth == 0:
                with ExitStack() as restore:
                    _set_all(restore)
                    exact._restore = restore.pop_all()
            exact._depth += 1

    def __exit__(self, *error: object) -> None:
        with exact._lock:
            exact._depth -= 1
            if exact._depth == 0:
                exact._restore.close()


@contextmanager
def operations_without_deterministic() -> Iterator[set[str]]:
    """Collect the names of the operations that warn of having no deterministic version, in place of the warnings.

    Other warnings pass. Within :class:`exact`, on a GPU; on a processor few operations warn.
    """
    found: set[str] = set()
    with warnings.catch_warnings():
        warnings.filterwarnings("always", message=".*does not have a deterministic implementation")
        shown = warnings.showwarning

        def show(message: Warning | str, *others: Any, **named: Any) -> None:
            operation = _WITHOUT_DETERMINISTIC.search(str(message))
            if operation:
                found.add(operation.group(1))
            else:
                shown(message, *others, **named)

        warnings.showwarning = show
        yield found


def _set_all(restore: ExitStack) -> None:
    """Set the switches; on ``restore`` goes how each is put back."""
    _set_precision(restore)
    _set_reductions(restore)
    cudnn, mkldnn = torch.backends.cudnn, torch.backends.mkldnn
    _set(restore, cudnn, "deterministic", True)
    _set(restore, cudnn, "benchmark", False)
    _set(restore, mkldnn, "deterministic", True)
    # Or torch.empty fills what it returns: all of a basis that is used in part.
    _set(restore, torch.utils.deterministic, "fill_uninitialized_memory", False)
    if torch.get_deterministic_debug_mode() == 0:
        restore.callback(torch.set_deterministic_debug_mode, 0)
        # Not use_deterministic_algorithms, which imports the compiler first: seconds of every process.
        torch.set_deterministic_debug_mode(1)
    for device in ("cpu", "cuda"):
        if torch.is_autocast_enabled(device):
            restore.enter_context(torch.autocast(device, enabled=False))
    if _CUBLAS not in os.environ:
        restore.callback(os.environ.pop, _CUBLAS, None)
        os.environ[_CUBLAS] = _CUBLAS_SETTING


def _set_precision(restore: ExitStack) -> None:
    """The old settings first: each sets some of the new ones, which are put back after them."""
    before = [(key, _fp32_precision(key)) for key in _FP32_KEYS]
    restore.callback(_restore_fp32, before)
    allowed = _read(lambda: torch.backends.cudnn.allow_tf32)
    if allowed:
        restore.callback(setattr, torch.backends.cudnn, "allow_tf32", allowed)
        torch.backends.cudnn.allow_tf32 = False
    precision = _read(torch.get_float32_matmul_precision)
    if precision not in (None, "highest"):
        restore.callback(torch.set_float32_matmul_precision, precision)
        torch.set_float32_matmul_precision("highest")
    for key in _FP32_KEYS:
        if _fp32_precision(key) in _REDUCED:
            _set_fp32_precision(key, "ieee")


# Of torch.backends: all; then of a backend; then of an operation, which stands before those where it is set. By what
# torch.backends calls, as its own mkldnn.fp32_precision sets that of all backends.
_FP32_KEYS = [
    ("generic", "all"),
    *(("cuda", operation) for operation in ("all", "conv", "rnn", "matmul")),
    *(("mkldnn", operation) for operation in ("all", "conv", "rnn", "matmul")),
]


def _fp32_precision(key: tuple[str, str]) -> str:
    precision: str = torch._C._get_fp32_precision_getter(*key)
    return precision


def _set_fp32_precision(key: tuple[str, str], precision: str) -> None:
    torch._C._set_fp32_precision_setter(*key, precision)


def _restore_fp32(before: list[tuple[tuple[str, str], str]]) -> None:
    for key, precision in before:
        if _fp32_precision(key) != precision:
            _set_fp32_precision(key, precision)


def _set_reductions(restore: ExitStack) -> None:
    matmul = torch.backends.cuda.matmul
    _set(restore, matmul, "allow_fp16_accumulation", False)
    for name in ("allow_fp16_reduced_precision_reduction", "allow_bf16_reduced_precision_reduction"):
        # Newer versions have two values in one, of which the second is read by another name and is no matter of ours.
        beside = _read(partial(getattr, matmul, f"{name}_split_k"))
        _set(restore, matmul, name, False, partial(_with, beside))


def _with(beside: bool | None, value: bool) -> bool | tuple[bool, bool]:
    return value if beside is None else (value, beside)


def _set(restore: ExitStack, owner: Any, name: str, value: bool, given: Callable[[bool], Any] = bool) -> None:
    """Set a switch to a value if torch has it and it is another; put it back on ``restore``.

    Args:
        given: what the attribute is set to for a value that is read from it.
    """
    before = _read(partial(getattr, owner, name))
    if before is not None and before != value:
        restore.callback(setattr, owner, name, given(before))
        setattr(owner, name, given(value))


def _read(get: Callable[[], T]) -> T | None:
    """Return a setting; None if this torch has none, or where a mix of old and new settings leaves it undefined."""
    try:
        return get()
    except (AttributeError, RuntimeError):
        return None
