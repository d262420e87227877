"""What is known of each method by which a flow is followed.

Torch is not needed to read it. Their steps are in :mod:`gfsharp.flow`, and ``Flows`` in :mod:`gfsharp.flow.solution`
makes them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Method = Literal["rkc", "rk4"]


@dataclass(frozen=True)
class Properties:
    """Of a method.

    Attributes:
        options: the arguments of :func:`gfsharp.flow.gradient_flow_solution` that are its own.
        order: the power of ``coarser`` that errors are proportional to.
        coarser: how many times as coarse the two flows are that the error is estimated by, in tolerance or step.
        margin: how many times the error that these are a sign of is stated.
        stable: the longest step, in units of 1/sharpness, with which it is stable, where steps are chosen so.
        longest: the longest one that a coarser flow takes; beyond it finer flows are compared.
    """

    options: tuple[str, ...]
    order: float
    coarser: tuple[float, float]
    margin: float
    stable: float | None = None
    longest: float | None = None


METHODS: dict[Method, Properties] = {
    # Second order with steps chosen by the local error.
    "rkc": Properties(("tolerance", "linear_steps"), order=2 / 3, coarser=(3.0, 10.0), margin=4.5),
    "rk4": Properties(
        ("step_factor", "sharpness_every"), order=4.0, coarser=(1.5, 2.0), margin=12.0, stable=2.78, longest=2.5
    ),
}
