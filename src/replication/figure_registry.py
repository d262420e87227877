"""The figures: what each is called, where the report has it, what it is drawn from and by which module."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Shows = Literal["scalar", "regression", "network", "any"]


@dataclass(frozen=True)
class Figure:
    """A figure.

    Attributes:
        name: of its target and its files; the paper's by number, others by words.
        title: what it shows, in words.
        category: the section of the report that it stands in.
        tables: what it is drawn from: the names under which ``draw`` takes tables, and what these are called in
            ``tables_of`` of ``workflow/rules/common.smk``.
        shows: the model of the experiments that ``figures`` in the configuration names for it; ``any`` for any model,
            None where it shows analyses beyond single runs.
        descents: the kinds of gradient descent that these experiments may be of.
        drawn_by: the module of ``replication.figures`` that draws it; by default the one of its name.
    """

    name: str
    title: str
    category: str
    tables: Mapping[str, str] = field(default_factory=dict)
    shows: Shows | None = None
    descents: tuple[str, ...] = ("plain",)
    drawn_by: str = ""

    @property
    def module(self) -> str:
        """The module of ``replication.figures`` whose ``draw`` draws it."""
        return self.drawn_by or self.name

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

_RUNS = {"table": "runs"}
_ITERATES = {"iterates": "gpgd_iterates"}
_BESIDE_MAPS = {**_ITERATES, "orbits": "gpgd_orbits"}
_PLANE = {"plane": "plane"}
_FLOWS = {"valley": "arora_valley", "scalar": "arora_scalar", "regression": "arora_regression"}

_FIGURES = (
    Figure("figure01", "Depth 2, in the plane of the weights", _SCALAR, _ITERATES, "scalar"),
    Figure(
        "figure02",
        "Depth 4: the edge of stability, and where the GFS sharpness is monotone",
        _SCALAR,
        _RUNS | _PLANE,
        "scalar",
    ),
    Figure("figure03", "Sharpness at convergence", _SCALAR, _PLANE),
    Figure("figure04", "Bifurcation diagram of GPGD", _SCALAR, _BESIDE_MAPS, "scalar"),
    Figure(
        "figure05",
        "Squared regression",
        _REGRESSION,
        _RUNS | {"runs": "regression_runs", "scales": "regression_scales"},
        "regression",
    ),
    Figure("figure06", "Networks with hardtanh and batch norm", _NETWORKS, _RUNS, "network", drawn_by="networks"),
    Figure("figure07", "The stable set at depth 3", _SCALAR, {"points": "stable_set_points", "products": "stable_set"}),
    Figure("figure08", "The end of figure 2b", _SCALAR, _RUNS, "scalar"),
    Figure("figure09", "A start with a large loss", _SCALAR, _RUNS, "scalar"),
    Figure("figure10", "Two approximations beside gradient descent", _SCALAR, _BESIDE_MAPS, "scalar"),
    Figure("figure11", "Chaos in the invariant set", _SCALAR, _BESIDE_MAPS, "scalar"),
    Figure("figure12", "Networks with tanh and ReLU", _NETWORKS, _RUNS, "network", drawn_by="networks"),
    Figure("figure13", "Networks on other data", _NETWORKS, _RUNS, "network", drawn_by="networks"),
    Figure(
        "figure_arora_networks",
        "Networks under normalised descent and descent on the square root of the loss",
        _ARORA,
        _RUNS,
        "network",
        _OTHER,
    ),
    Figure(
        "figure_arora_gfs",
        "GFS sharpness under normalised descent and descent on the square root of the loss",
        _ARORA,
        _RUNS | {"rises": "arora_rises"},
        "any",
        _OTHER,
    ),
    Figure(
        "figure_arora_flow",
        "Normalised descent and descent on the root of the loss beside their limiting flows",
        _ARORA,
        _FLOWS,
    ),
    Figure("figure_arora_error", "The error against the limiting flows, and the two phases", _ARORA, _FLOWS),
    Figure(
        "figure_linear_map",
        "Linear networks: the map of gradient descent is non-singular",
        _LINEAR,
        {"table": "linear_gd_map", "preimages": "linear_preimages"},
    ),
    Figure(
        "figure_linear_minima",
        "Linear networks: the global minimisers, and how far out the stable ones lie",
        _LINEAR,
        {"ranks": "linear_minimisers", "norms": "linear_stable_minima"},
    ),
    Figure(
        "figure_linear_convergence",
        "Linear networks: past a critical step size gradient descent converges from nowhere",
        _LINEAR,
        {"table": "linear_convergence"},
    ),
    Figure(
        "figure_linear_gfs",
        "Linear networks: the GFS sharpness along gradient descent",
        _LINEAR,
        {"table": "linear_gfs"},
    ),
)
FIGURES = {figure.name: figure for figure in _FIGURES}
# Those that show experiments of the configuration.
OF_EXPERIMENTS = tuple(name for name, figure in FIGURES.items() if figure.shows)
# Those of them that show several, one a panel or column.
OF_PANELS = ("figure06", "figure10", "figure12", "figure13", "figure_arora_networks", "figure_arora_gfs")


def script_of(rule: str) -> str:
    """Return the path of a rule's script in the checkout: one for all figures, else one of the rule's name."""
    return f"workflow/scripts/{'figure' if rule in FIGURES else rule}.py"
