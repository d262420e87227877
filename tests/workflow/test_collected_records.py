"""The record of an experiment's table says with which settings each of its runs was made."""

import copy
import sys
from types import SimpleNamespace

import pandas as pd
import pytest
from project import ROOT

import made_with
from gfsharp.errors import UserError
from replication import configuration
from replication.storage import files, table_schema

sys.path.append(str(ROOT / "workflow/scripts"))
import collect
import collect_run

KINDS = {"whole number": 1, "number": 1.0, "text": "x"}
GFS = ["gfs_sharpness", "gfs_loss", "residual", "gfs_status", "integration_error", "stopping_error", "flow_time"]
GFS += ["gradient_evaluations", "hessian_vector_products", "gfs_error"]
TRAJECTORY = ["loss", "sharpness", "status", "learning_rate", "threshold"]


def columns(names):
    return pd.DataFrame([{"iteration": 0} | {name: KINDS[table_schema.RUN[name].kind] for name in names}])


def collected(config, experiment, *, gfs):
    """What the rules make of an experiment whose trainings and flows are done."""
    tables = []
    for run in configuration.runs(config, experiment):
        folder = f"results/runs/{experiment}/{run.name}"
        files.write_table(f"{folder}/trajectory.parquet", columns(TRAJECTORY), {"parameters": run.training_parameters})
        flows = [f"{folder}/gfs/0.parquet"] if gfs else []
        for path in flows:
            files.write_table(path, columns(GFS), {"parameters": run.parameters})
        labels = {"experiment": experiment, "run": run.name, "seed": run.seed}
        collect_run.main(
            SimpleNamespace(
                input=SimpleNamespace(trajectory=f"{folder}/trajectory.parquet", gfs=flows),
                output=SimpleNamespace(table=f"{folder}/run.parquet"),
                params=SimpleNamespace(labels=labels, run=run.parameters),
            )
        )
        tables.append(f"{folder}/run.parquet")
    table = f"results/tables/{experiment}.parquet"
    collect.main(SimpleNamespace(input=SimpleNamespace(runs=tables), output=SimpleNamespace(table=table)))
    return table


@pytest.mark.parametrize("gfs", [True, False], ids=["with flows", "diverged at once"])
@pytest.mark.parametrize(
    ("experiment", "own"),
    [
        ("fc-hardtanh-digits", {"architecture", "activation", "widths", "precision", "flow", "data_set"}),
        ("resnet20-other-digits", {"architecture", "channels", "precision", "flow", "data_set"}),
        ("regression", {"initial_scale", "data_set"}),
        ("scalar-depth4", {"initial_weights"}),
    ],
)
def test_a_table_says_of_each_run_what_it_was_made_with(config, tmp_path, monkeypatch, experiment, own, gfs):
    monkeypatch.chdir(tmp_path)
    config["experiments"][experiment]["learning_rates"] = [0.02, 0.01]
    if "seeds" in config["experiments"][experiment]:
        config["experiments"][experiment]["seeds"] = [0, 5]
    configuration_before = copy.deepcopy(config)
    if experiment == "regression":
        del config["experiments"][experiment]["learning_rates"]
    runs = configuration.runs(config, experiment)
    assert len(runs) > 1
    table = collected(config, experiment, gfs=gfs)
    recorded = files.read_provenance(table)["parameters"]["runs"]
    assert [found["run"] for found in recorded.values()] == [run.name for run in runs]
    for found, run in zip(recorded.values(), runs, strict=True):
        always = {"model", "learning_rate", "seed", "stop", "sharpness_every", "checkpoint_every", "experiment"}
        assert always | own <= set(found)
        assert {key: found[key] for key in run.parameters} == run.parameters
        if "data_set" in own:
            assert found["data_set"]["source"] in ("digits", "gaussian")
            assert {"images", "samples"} & set(found["data_set"])
    # As the archive and the comparison with the configuration take it.
    assert made_with.check(config, [table]) == []
    other = configuration_before
    other["experiments"][experiment].pop("learning_rates" if experiment == "regression" else "", None)
    other["experiments"][experiment]["stop"]["loss"] *= 3
    with pytest.raises(UserError, match=r"stop\.loss"):
        made_with.check(other, [table])


def test_the_records_of_what_was_made_go_before_the_configuration(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (run,) = configuration.runs(config, "scalar-depth4")
    files.write_table(
        "run/trajectory.parquet", columns(TRAJECTORY), {"parameters": {**run.parameters, "stop": "other"}}
    )
    collect_run.main(
        SimpleNamespace(
            input=SimpleNamespace(trajectory="run/trajectory.parquet", gfs=[]),
            output=SimpleNamespace(table="run/run.parquet"),
            params=SimpleNamespace(labels={"experiment": "e", "run": "r", "seed": None}, run=run.parameters),
        )
    )
    assert files.read_provenance("run/run.parquet")["parameters"]["stop"] == "other"
