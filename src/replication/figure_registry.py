"""The figures: what each is called, where the report has it, and which experiments it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Shows = Literal["scalar", "regression", "network", "any"]


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its target, its script and its files; the paper's by number, others by words.
        title: what it shows, in words.
        category: the section of the report that it stands in.
        shows: the model of the experiments that ``figures`` in the configuration names for it; ``any`` for any model,
            None where it shows analyses beyond single runs.
        descents: the kinds of gradient descent that these experiments may be of.
    """

    name: str
    title: str
    category: str
    shows: Shows | None = None
    descents: tuple[str, ...] = ("plain",)

    @property
    def number(self) -> str:
        """What it is called among figures.

        >>> Figure("figure02", "", "").number, Figure("figure_arora_flow", "", "").number
        ('02', 'arora flow')
        """
        return self.name.removeprefix("figure").replace("_", " ").strip()

    @property
    def label(self) -> str:
        """What it is called in a text.

        >>> Figure("figure02", "", "").label, Figure("figure_arora_flow", "", "").label
        ('Figure 2', 'Figure arora flow')
        """
        return f"Figure {self.number.lstrip('0')}"


_SCALAR, _REGRESSION, _NETWORKS = "Scalar networks", "Squared regression", "Networks"
_ARORA, _LINEAR = "Arora et al.", "Linear networks"
_OTHER = ("normalised", "sqrt")

_FIGURES = (
    Figure("figure01", "Depth 2, in the plane of the weights", _SCALAR, "scalar"),
    Figure("figure02", "Depth 4: the edge of stability, and where the GFS sharpness is monotone", _SCALAR, "scalar"),
    Figure("figure03", "Sharpness at convergence", _SCALAR),
    Figure("figure04", "Bifurcation diagram of GPGD", _SCALAR, "scalar"),
    Figure("figure05", "Squared regression", _REGRESSION, "regression"),
    Figure("figure06", "Networks with hardtanh and batch norm", _NETWORKS, "network"),
    Figure("figure07", "The stable set at depth 3", _SCALAR),
    Figure("figure08", "The end of figure 2b", _SCALAR, "scalar"),
    Figure("figure09", "A start with a large loss", _SCALAR, "scalar"),
    Figure("figure10", "Two approximations beside gradient descent", _SCALAR, "scalar"),
    Figure("figure11", "Chaos in the invariant set", _SCALAR, "scalar"),
    Figure("figure12", "Networks with tanh and ReLU", _NETWORKS, "network"),
    Figure("figure13", "Networks on other data", _NETWORKS, "network"),
    Figure(
        "figure_arora_networks",
        "Networks under normalised descent and descent on the square root of the loss",
        _ARORA,
        "network",
        _OTHER,
    ),
    Figure(
        "figure_arora_gfs",
        "GFS sharpness under normalised descent and descent on the square root of the loss",
        _ARORA,
        "any",
        _OTHER,
    ),
    Figure(
        "figure_arora_flow",
        "Normalised descent and descent on the root of the loss beside their limiting flows",
        _ARORA,
    ),
    Figure("figure_arora_error", "The error against the limiting flows, and the two phases", _ARORA),
    Figure("figure_linear_map", "Linear networks: the map of gradient descent is non-singular", _LINEAR),
    Figure(
        "figure_linear_minima", "Linear networks: the global minimisers, and how far out the stable ones lie", _LINEAR
    ),
    Figure(
        "figure_linear_convergence",
        "Linear networks: past a critical step size gradient descent converges from nowhere",
        _LINEAR,
    ),
    Figure("figure_linear_gfs", "Linear networks: the GFS sharpness along gradient descent", _LINEAR),
)
FIGURES = {figure.name: figure for figure in _FIGURES}
# Those that show experiments of the configuration.
OF_EXPERIMENTS = tuple(name for name, figure in FIGURES.items() if figure.shows)
