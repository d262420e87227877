"""Arguments of the library's functions, refused by name where they cannot be meant."""

from __future__ import annotations

import math
from numbers import Integral, Real

import torch


def require_positive(**values: object) -> None:
    """Each must be a positive, finite number."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, found {value!r}")
        if not 0 < float(value) < math.inf:
            raise ValueError(f"{name} must be positive and finite, found {value!r}")


def require_counts(**values: object) -> None:
    """Each must be a whole number above zero."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise TypeError(f"{name} must be a whole number, found {value!r}")
        if int(value) < 1:
            raise ValueError(f"{name} must be positive, found {value!r}")


def require_flags(**values: object) -> None:
    """Each must be true or false: any text would count as true."""
    for name, value in values.items():
        if not isinstance(value, bool):
            raise TypeError(f"{name} must be True or False, found {value!r}")


def require_weights(**values: object) -> None:
    """Each must be a flat tensor of floating-point numbers, not empty."""
    for name, value in values.items():
        if not isinstance(value, torch.Tensor):
            raise TypeError(f"{name} must be a torch tensor, found {type(value).__name__}")
        if value.ndim != 1 or not len(value) or not value.is_floating_point():
            shape = tuple(value.shape)
            raise ValueError(f"{name} must be floating-point of shape (P,), found {value.dtype} of shape {shape}")
