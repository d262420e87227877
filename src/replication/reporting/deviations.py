"""``python -m replication.reporting.deviations [page]``: what differs from the paper, as one page.

It is made of what the configuration files say above each value, of the statements and claims whose numbers are ours,
of the measured sensitivity (``results/sensitivity``) and of the few deviations that are no value, listed here.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from gfsharp.errors import UserError
from gfsharp.flow_methods import METHODS
from replication import claims, sensitivity, value_sources, yaml_files
from replication.claims import Claim
from replication.configuration import figure_experiments
from replication.figure_registry import OF_EXPERIMENTS
from replication.markdown import markdown_table
from replication.storage import files
from replication.studies.scalar import theorems
from replication.value_sources import Annotation
from replication.variants import value_at

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs/deviations.md"
SENSITIVITY = ROOT / "results/sensitivity/sensitivity.parquet"
# Sections that no number depends on.
_HOW_IT_IS_RUN = ("scale", "directories", "execution")
DEFAULT, PAPER_SCALE = "config.yaml", "config/paper.yaml"


@dataclass(frozen=True)
class Deviation:
    """One that is no value of the configuration.

    Attributes:
        subject, paper, here: what it is about, what the paper has, what is here, and why.
        places: where it is done, below the project's folder.
    """

    subject: str
    paper: str
    here: str
    places: tuple[str, ...]


DEVIATIONS = (
    Deviation(
        "factor of the regression loss",
        "mean squared error; the factor is lost from its text",
        "1/(2N). Sharpness, GFS sharpness and 2/η scale with it alike, so that no conclusion depends on it.",
        ("src/gfsharp/regression/model.py",),
    ),
    Deviation(
        "factor of the networks' loss",
        "squared error; the factor is lost from its text",
        "1/(2N) times the sum over the outputs. The same holds.",
        ("src/gfsharp/networks/losses.py",),
    ),
    Deviation(
        "integrator of the flow of networks",
        "RK4 with steps in proportion to 1/sharpness",
        "second-order Runge-Kutta-Chebyshev with steps chosen by their error, and exponential steps in a Krylov space "
        "where the flow is nearly linear: far fewer gradients (measured in `results/speed/networks.md`). "
        "`flow: {method: rk4}` is the paper's.",
        ("src/gfsharp/flow/rkc.py", "src/gfsharp/flow/tail.py", "results/speed/networks.md"),
    ),
    Deviation(
        "error of the GFS sharpness of networks",
        "none is given",
        "estimated at each point, from two coarser flows, from the flow's way on and from the eigenvalue's residual; "
        "the claims on networks and the bands of the figures use it.",
        ("src/gfsharp/flow/sharpness.py",),
    ),
    Deviation(
        "GFS sharpness of squared regression",
        "a convex problem",
        "the same problem, solved by Newton's method on its dual and certified; cvxpy is there to compare with "
        "(`results/speed/regression.md`).",
        ("src/gfsharp/regression/newton.py", "results/speed/regression.md"),
    ),
    Deviation(
        "preprocessing of images",
        "each channel is centred and divided by its standard deviation over the full training set, 'as Cohen et al. "
        "(2021)', whose code does so with each of the 3,072 features",
        "by channel, as the text says; `normalisation: feature` is the other. Measured on FC-hardtanh, 200 images of "
        "CIFAR-10, η = 0.02, by channel and by feature (statistics of 5,085 training images): sharpness of the start "
        "127.0 and 120.4, GFS sharpness of the start 219.5 ± 0.8 and 201.4 ± 0.6, after 400 steps 137.4 ± 1.4 and "
        "136.2 ± 1.8: a lower start, the same course. By `snakemake results/tables/fc-hardtanh-cifar10.parquet "
        "--configfile config/paper.yaml --config 'data={cifar10: {images: 200, file: FILE, normalisation: feature}}' "
        "'experiments={fc-hardtanh-cifar10: {stop: {iterations: 400}, checkpoint_every: 100}}' "
        "'directories={results: results}'`, a minute of one core.",
        ("src/replication/data.py", "config/paper.yaml"),
    ),
    Deviation(
        "approximation of Zhu et al. (figure 10)",
        "from where its dynamics start at each fixed GFS sharpness is lost from its text",
        "from each iterate of gradient descent, as the text has it for GPGD.",
        ("src/replication/studies/scalar/bifurcation.py",),
    ),
    Deviation(
        "starts of figures 2c and 3",
        "a plane of GFS sharpness and product; the starts' shapes are lost from its text",
        "one start per point of the plane, its shape along one direction (`scalar.plane.direction`).",
        ("src/replication/studies/scalar/plane.py",),
    ),
    Deviation(
        "start of figure 9",
        "chosen from figure 3",
        "by a rule (`scalar.start`), of which the crossing loss is the paper's.",
        ("src/replication/studies/scalar/plane.py",),
    ),
    Deviation(
        "figure 5d",
        "none",
        "beyond the paper: squared regression from lazy to rich initialisation.",
        ("src/replication/studies/regression.py",),
    ),
)


# What a figure shows besides its experiments.
_SECTIONS = {
    "figure02": ("scalar.plane",),
    "figure03": ("scalar.plane",),
    "figure04": ("scalar.gpgd",),
    "figure05": ("regression.runs", "regression.scales"),
    "figure07": ("scalar.stable_set",),
    "figure09": ("scalar.plane", "scalar.start"),
    "figure10": ("scalar.gpgd",),
    "figure11": ("scalar.gpgd",),
    "figure_arora_flow": ("arora",),
    "figure_arora_error": ("arora",),
    "figure_linear_map": ("linear.gd_map",),
    "figure_linear_minima": ("linear.minimisers", "linear.stable_minima"),
    "figure_linear_convergence": ("linear.convergence",),
    "figure_linear_gfs": ("linear.gfs",),
}


def of_figure(config: Mapping[str, Any], figure: str, marked: Mapping[str, Annotation]) -> dict[str, dict[str, Any]]:
    """Return the values behind a figure that are not the paper's: by section of the configuration, by key.

    They are those that the configuration files mark as open or as replacements, with the values that they have in
    ``config``. What an experiment takes over from another of its model is marked there.

    Args:
        config: a checked configuration.
        figure: such as ``figure06``.
        marked: of the files that it was read from; see :func:`replication.value_sources.by_key`.
    """
    experiments = figure_experiments(config, figure) if figure in OF_EXPERIMENTS else []
    data = [config["experiments"][name].get("data") for name in experiments]
    sections = [
        *(f"experiments.{name}" for name in experiments),
        *(f"data.{name}" for name in dict.fromkeys(data) if name),
        *_SECTIONS.get(figure, ()),
    ]
    found = {section: _not_the_paper_s(config, section, marked) for section in sections}
    return {section: values for section, values in found.items() if values}


def _not_the_paper_s(config: Mapping[str, Any], section: str, marked: Mapping[str, Annotation]) -> dict[str, Any]:
    found = {}
    for key, annotation in _marks_of(config, section, marked).items():
        value = _value(config, f"{section}.{key}")
        method = METHODS.get(_value(config, f"{section}.flow.method"))
        used = key != "flow.step_factor" or (method is not None and "step_factor" in method.options)
        if value is not None and used and (annotation.mark == "open" or annotation.replaces_the_paper_s):
            found[key] = value
    return found


def _marks_of(config: Mapping[str, Any], section: str, marked: Mapping[str, Annotation]) -> dict[str, Annotation]:
    """Return the marks of a section by key; an experiment's own go before those of the last one of its model."""
    sources = [section]
    if section.startswith("experiments."):
        model, descents = _value(config, f"{section}.model"), (None, "plain", _value(config, f"{section}.descent"))
        alike = [
            f"experiments.{name}"
            for name, other in config["experiments"].items()
            if other["model"] == model and other.get("descent") in descents
        ]
        sources = [*(other for other in alike if other != section), section]
    return {
        key.removeprefix(f"{source}."): annotation
        for source in sources
        for key, annotation in marked.items()
        if key.startswith(f"{source}.")
    }


def page() -> str:
    """Return the page; it depends on files of the project alone."""
    default, paper = list(value_sources.read(ROOT / DEFAULT)), list(value_sources.read(ROOT / PAPER_SCALE))
    found = files.read_table(SENSITIVITY) if SENSITIVITY.exists() else None
    lines = [
        "# Deviations",
        "",
        "What is not the paper's, or not known to be. Written by `make deviations`, mostly from the comments in",
        f"[{DEFAULT}](../{DEFAULT}) and [{PAPER_SCALE}](../{PAPER_SCALE}). What one experiment takes over from",
        "another (`<<`) is listed once, where it is said.",
        "",
        *_open(default, found),
        "",
        "## In place of the paper's",
        "",
        "At the default scale, so that every figure comes out on a laptop without a download.",
        "",
        *markdown_table(
            ("key", "our value", "what it takes the place of"), (_row(a) for a in default if a.replaces_the_paper_s)
        ),
        "",
        *_not_values(),
        "",
        *_changed(default, paper),
        "",
        *_statements(),
        "",
        *_tolerances(),
    ]
    return "\n".join(lines) + "\n"


def _open(default: list[Annotation], found: pd.DataFrame | None) -> Iterator[str]:
    yield "## Values that the paper's text no longer shows"
    yield ""
    yield "Each is our choice, never the paper's. For some it was measured what becomes of the claims with other"
    yield "values, each changed alone, regression and network in a smaller version"
    yield "([all numbers](../results/sensitivity/sensitivity.md); `snakemake sensitivity`):"
    yield ""
    yield from sensitivity.summary(found) if found is not None else []
    yield ""
    config = yaml_files.read(ROOT / DEFAULT)
    rows = [
        (*_row(annotation), "" if found is None else "; ".join(sensitivity.in_words(found, annotation.key, config)))
        for annotation in default
        if annotation.mark == "open"
    ]
    yield from markdown_table(("key", "our value", "why", "with other values"), rows)


def _not_values() -> Iterator[str]:
    yield "## What is no value of the configuration"
    yield ""
    rows = [(d.subject, d.paper, d.here, ", ".join(f"[{Path(p).name}](../{p})" for p in d.places)) for d in DEVIATIONS]
    yield from markdown_table(("what", "the paper", "here", "where"), rows)


def _changed(default: list[Annotation], paper: list[Annotation]) -> Iterator[str]:
    ours, theirs = yaml_files.read(ROOT / DEFAULT), yaml_files.merged(ROOT / DEFAULT, ROOT / PAPER_SCALE)
    counterparts = dict(_counterparts(ours, theirs))
    yield f"## At the paper's scale, `{PAPER_SCALE}`"
    yield ""
    yield "What differs there from the default scale (an experiment from the one in its place in the figure), and what"
    yield "of it the paper gives (text), a source that it names (named), leaves open (open) or we chose (ours)."
    yield ""
    rows = []
    for annotation in paper:
        there = _value(ours, _counterpart_key(annotation.key, counterparts))
        if there != annotation.value and annotation.key.partition(".")[0] not in _HOW_IT_IS_RUN:
            shown = "" if there is None else _shown(there)
            rows.append((f"`{annotation.key}`", shown, _shown(annotation.value), annotation.mark, annotation.comment))
    yield from markdown_table(("key", "default", "there", "mark", "why"), rows)


def _counterparts(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield experiments of the paper's scale with those in their place in the figures of the default scale."""
    for figure in OF_EXPERIMENTS:
        yield from zip(figure_experiments(theirs, figure), figure_experiments(ours, figure), strict=False)


def _counterpart_key(key: str, counterparts: Mapping[str, str]) -> str:
    section, _, rest = key.partition(".")
    name, _, last = rest.partition(".")
    return f"experiments.{counterparts[name]}.{last}" if section == "experiments" and name in counterparts else key


def _value(config: Mapping[str, Any], key: str) -> Any:
    try:
        return value_at(config, key)
    except KeyError:
        return None


def _statements() -> Iterator[str]:
    yield "## Numbers in theorems and lemmas"
    yield ""
    yield "Statements of which a formula, a constant or a bound is derived or chosen here, and marked so"
    yield "([theorems.py](../src/replication/studies/scalar/theorems.py),"
    yield "[properties.py](../src/replication/studies/scalar/properties.py))."
    yield ""
    ours = [s for s in theorems.STATEMENTS if s.origin.kind != "stated"]
    yield from markdown_table(("statement", "as it is examined"), [(f"`{s.id}`", s.text) for s in ours])


def _tolerances() -> Iterator[str]:
    yield "## Tolerances of the claims"
    yield ""
    yield "The paper's text mostly says it in words ('about', 'just below'). Most numbers are our reading; the column"
    yield "*kind* says which. What is not listed is a comparison with 0 or 1, or has to hold but for rounding."
    yield ""
    rows = []
    for place, claim in _claims():
        if claim.tolerance > 0 or (claim.relation in ("<=", ">=") and claim.bound not in (0, 1)):
            said = f"{claim.statement} ({claim.quantity})"
            numbers = (f"{claim.relation} {claim.bound:.4g}", f"{claim.tolerance:.4g}")
            where = f"[{place.name}](../{place.relative_to(ROOT)})"
            rows.append((f"`{claim.id}`", said, *numbers, claim.origin.kind, claim.reason, where))
    yield from markdown_table(("claim", "statement", "expected", "tolerance", "kind", "reason", "where"), rows)


def _claims() -> Iterator[tuple[Path, Claim]]:
    """Yield the claims with the module that lists them."""
    for module in pkgutil.iter_modules(claims.__path__):
        listed: Iterable[Claim] = getattr(import_module(f"{claims.__name__}.{module.name}"), "CLAIMS", ())
        for claim in listed:
            yield Path(claims.__path__[0]) / f"{module.name}.py", claim


def _row(annotation: Annotation) -> tuple[str, str, str]:
    return f"`{annotation.key}`", _shown(annotation.value), annotation.comment


def _shown(value: Any) -> str:
    return f"`{json.dumps(value)}`" if isinstance(value, list | dict | bool) else f"{value}"


def main(arguments: list[str]) -> None:
    """Write the page, to another place if one is named.

    Raises:
        UserError: this is an installed package without the project around it.
    """
    if not (ROOT / PAPER_SCALE).exists():
        raise UserError(f"the page is of a checkout of the project, with its configuration files; {ROOT} is none")
    files.write_text(Path(arguments[0]) if arguments else PAGE, page())


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"error: {error}")
