"""How much the conclusions depend on values that we chose: the claims on variants of them (``sensitivity``).

A study makes one table of results again for each variant, in memory and by the same functions as the workflow's stages,
and holds it against the claims that are judged by this table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pandas as pd

from replication import claims, data, figure_registry, measures
from replication.configuration import Config, Run
from replication.markdown import markdown_table
from replication.studies import regression as regression_runs
from replication.studies.scalar import plane
from replication.training import models, runs
from replication.training.trajectory import Plan
from replication.variants import Variant, value_at

# Of training runs, beside the claims; the paper's conclusion in three numbers.
MEASURES: Mapping[str, Callable[[pd.DataFrame], float]] = {
    "largest_gfs_rise": measures.largest_gfs_rise,
    "smallest_initial_gfs": measures.smallest_initial_gfs,
    "farthest_final_gfs": measures.farthest_final_gfs,
}


def _is_set_by_the_stop(claim: claims.Claim) -> bool:
    """Whether the loss at which a run stops decides a claim: there is nothing to be sensitive to."""
    return claim.measure is measures.loss_reduction


def measured(
    variant: Variant, table: str, made_from: Mapping[str, Any], *, device: str = "cpu", downloads: str | None = None
) -> pd.DataFrame:
    """Return a row per number that is measured on a variant.

    Args:
        variant: which it is, for the rows' labels.
        table: the name by which claims call the table of results.
        made_from: see :func:`replication.configuration.made_from`.
        device: a torch device, or ``auto``.
        downloads: where archives are kept, if the data is downloaded.

    Returns:
        The columns ``study``, ``key`` and ``value`` (as JSON; empty where nothing is changed), ``quantity`` (a name in
        ``MEASURES``, of training runs, or a claim's), ``measured``, and of claims ``verdict``.
    """
    results = _results(made_from, device, downloads)
    judged = [claim for claim in claims.CLAIMS if claim.table == table and not _is_set_by_the_stop(claim)]
    rows: list[tuple[str, float | None, str | None]] = []
    if "runs" in made_from:
        rows += [(quantity, measure(results), None) for quantity, measure in MEASURES.items()]
    evaluated = claims.evaluate(judged, {table: ([table], results)}, "sensitivity")
    rows += [(claim["id"], claim["measured"], claim["verdict"]) for claim in evaluated]
    key, value = (None, None) if variant.key is None else (variant.key, json.dumps(variant.value))
    labelled = [(variant.study, key, value, *row) for row in rows]
    columns = ["study", "key", "value", "quantity", "measured", "verdict"]
    return pd.DataFrame(labelled, columns=columns).astype({"measured": float})


def _results(made_from: Mapping[str, Any], device: str, downloads: str | None) -> pd.DataFrame:
    if "plane" in made_from:
        return plane.table(**made_from["plane"])
    followed = [_followed(Run(**fields), device, downloads) for fields in made_from["runs"]]
    return pd.concat(followed, ignore_index=True)


def _followed(run: Run, device: str, downloads: str | None) -> pd.DataFrame:
    """Train, and find the GFS sharpness of the checkpoints."""
    parameters = run.parameters
    arrays = _arrays(run, downloads)
    model = models.build(parameters, arrays, device=device)
    table = runs.followed(model, models.learning_rate(parameters, arrays), Plan.of(parameters))
    return table.assign(experiment=run.experiment, run=run.name, seed=run.seed)


def _arrays(run: Run, downloads: str | None) -> dict[str, Any]:
    settings = run.parameters.get("data_set")
    if settings is None:
        return {}
    if settings["source"] == "gaussian":
        assert run.seed is not None  # of squared regression, whose seed is that of the data
        return regression_runs.tensors(settings, run.seed)
    return data.labelled(settings, downloads)[0]


# What the numbers say.


def lost(found: pd.DataFrame, study: str, key: str, value: str) -> dict[str, str]:
    """Return the claims that hold with our values but not with this one, with the verdict that they have here."""
    of_study = found[(found["study"] == study) & found["verdict"].notna()].set_index("quantity")
    ours = of_study[of_study["key"].isna()]["verdict"]
    theirs = of_study[(of_study["key"] == key) & (of_study["value"] == value)]["verdict"]
    return {claim: theirs[claim] for claim in ours.index[ours == "holds"] if theirs[claim] != "holds"}


def in_words(found: pd.DataFrame, key: str, config: Config) -> Iterator[str]:
    """Say of each study that changes a key what became of the conclusions.

    Args:
        found: what :func:`measured` returned, of all variants.
        config: with the studies; where one has a value of its own for the key, that is said.
    """
    for study, of_study in found.groupby("study", sort=False):
        tried = _values(of_study, key)
        if not tried:
            continue
        holding = int(((of_study["verdict"] == "holds") & of_study["key"].isna()).sum())
        missing = {value: lost(found, str(study), key, value) for value in tried}
        kept = [value for value in tried if not missing[value]]
        there = value_at(Variant(str(study)).configuration(config), key)
        instead = "" if there == value_at(config, key) else f" in place of {json.dumps(there)}"
        if kept:
            yield f"with {_listed(kept)}{instead} {'all' if holding > 1 else 'the'} {_counted(holding)} hold"
        for value in tried:
            if missing[value]:
                named = ", ".join(f"`{name}`{_why(verdict)}" for name, verdict in missing[value].items())
                yield f"with {value}{instead}{_below(of_study, key, value)} not: {named}"


def _values(of_study: pd.DataFrame, key: str) -> list[str]:
    return list(of_study.loc[of_study["key"] == key, "value"].unique())


def _below(of_study: pd.DataFrame, key: str, value: str) -> str:
    """Without a start above 2/eta there is nothing for the GFS sharpness to fall to."""
    of_value = of_study[(of_study["key"] == key) & (of_study["value"] == value)].set_index("quantity")["measured"]
    start = of_value.get("smallest_initial_gfs", math.nan)
    return f", where it starts at {start:.3f} of 2/η," if start < 1 else ""


def summary(found: pd.DataFrame) -> Iterator[str]:
    """Yield a table of the studies: the claims that hold with every value, and with how many the others are lost."""
    rows = []
    for study, of_study in found.groupby("study", sort=False):
        tried = [(key, value) for key in of_study["key"].dropna().unique() for value in _values(of_study, key)]
        missing = [claim for key, value in tried for claim in lost(found, str(study), key, value)]
        holding = of_study.loc[of_study["key"].isna() & (of_study["verdict"] == "holds"), "quantity"]
        kept = ", ".join(f"`{claim}`" for claim in holding if claim not in missing)
        some = ", ".join(f"`{claim}` ({missing.count(claim)})" for claim in holding if claim in missing)
        rows.append([study, len(tried), kept, some])
    yield from markdown_table(["study", "values tried", "hold with every value", "lost with some"], rows)


def _why(verdict: str) -> str:
    return "" if verdict == "fails" else " (nothing to judge it by)"


def _counted(holding: int) -> str:
    return f"{holding} claim{'s' if holding != 1 else ''} that hold with ours"


def _listed(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{', '.join(values[:-1])} and {values[-1]}"


def markdown(found: pd.DataFrame, config: Config, machine: str) -> str:
    """Return what was measured as a page, a table per study.

    Args:
        found: what :func:`measured` returned, of all variants.
        config: with the studies and our values.
    """
    lines = [
        "# Sensitivity: values of ours, changed one at a time",
        "",
        "Written by `snakemake sensitivity`; what is tried stands in the section `sensitivity` of `config.yaml`. Each",
        "row is a table of results that was made again with one value changed, and the claims that it judges. A",
        "claim is lost if it holds with our value and does not with the other. The rise is the largest, over the",
        "runs, of the GFS sharpness above any earlier value of it (negative: it only falls); its values at the start",
        "(the smallest of the runs) and at the end (the farthest from 1) are in units of 2/η.",
        f"Scale: {config['scale']}. Machine: {machine}.",
        "",
        *summary(found),
    ]
    for study in config["sensitivity"]:
        lines += ["", *_study(found[found["study"] == study], study, config)]
    return "\n".join(lines) + "\n"


def _study(found: pd.DataFrame, study: str, config: Config) -> Iterator[str]:
    settings = config["sensitivity"][study]
    ours = Variant(study).configuration(config)
    smaller = [f"- `{key}` {json.dumps(value)}" for key, value in settings["settings"].items()]
    yield f"## {study}"
    yield ""
    yield f"The table of `{settings['table']}`{', with' if smaller else '.'}"
    yield ""
    yield from [*smaller, ""] if smaller else []
    of_runs = settings["table"] in figure_registry.FIGURES
    rows = []
    for (key, value), of_variant in found.fillna({"key": "", "value": ""}).groupby(["key", "value"], sort=False):
        numbers = of_variant.set_index("quantity")["measured"]
        shown = [_number(numbers[name]) for name in MEASURES] if of_runs else []
        judged = of_variant["verdict"].dropna()
        gone = lost(found, study, str(key), str(value)) if key else {}
        rows.append(
            [
                f"`{key}`" if key else "ours",
                f"{value} (ours: {json.dumps(value_at(ours, str(key)))})" if key else "",
                *shown,
                f"{(judged == 'holds').sum()} of {len(judged)} hold",
                ", ".join(f"`{name}`{_why(verdict)}" for name, verdict in gone.items()),
            ]
        )
    measures_shown = ["rise", "at the start", "at the end"] if of_runs else []
    yield from markdown_table(["key", "value", *measures_shown, "claims", "lost"], rows)


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.3g}" if abs(value) < 0.1 else f"{value:.3f}"
