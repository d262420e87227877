"""Columns have one type in all tables, those of runs are checked, and the page says what they are."""

import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
from project import ROOT

from replication import data
from replication.reporting import table_page
from replication.storage import files, table_schema
from replication.storage.table_schema import RUN, Column
from replication.training import models, runs
from replication.training.checkpoints import checkpoint_files
from replication.training.trajectory import Plan

PAGE = (ROOT / "results/README.md").read_text(encoding="utf-8")
ARROW = {"whole number": pa.int64(), "number": pa.float64(), "text": pa.large_string(), "truth": pa.bool_()}


def trained(folder, model, rate, iterations=6):
    """A run's table, as the rules train, gfs_sharpness and collect_run make it."""
    plan = Plan(loss_tolerance=1e-9, max_iterations=iterations, sharpness_every=2, checkpoint_every=2)
    where = {"trajectory": folder / "trajectory.parquet", "checkpoints": folder / "checkpoints"}
    runs.train(model, rate, plan, **where, record=dict, identity={})
    written = checkpoint_files(folder / "checkpoints")
    return runs.with_gfs(
        files.read_table(folder / "trajectory.parquet"), [runs.gfs_table(model, written)] if written else []
    )


def scalar(folder):
    return trained(folder, models.ScalarNetwork([1.5, 1.2, 0.7]), 0.05)


def scalar_diverged_at_once(folder):
    return trained(folder, models.ScalarNetwork([1e80, 1e80, 1e80]), 0.05)


def regression(folder):
    X, y = data.gaussian(4, 8, 1.0, 1.0, 1.0, seed=0)
    arrays = {"X": X, "y": y, "flattest_sharpness": np.float64(12.0)}
    return trained(folder, models.build({"model": "regression", "initial_scale": 0.2}, arrays), 0.1)


def network(folder):
    generator = np.random.default_rng(0)
    arrays = {
        "inputs": generator.normal(size=(5, 1, 2, 2)).astype("float32"),
        "targets": np.eye(2, dtype="float32")[[0, 1, 0, 1, 1]],
    }
    parameters = {
        "model": "network",
        "architecture": "fully_connected",
        "activation": "tanh",
        "widths": [4],
        "precision": "float32",
        "seed": 3,
        "flow": {"method": "rkc", "loss_tolerance": 0.05},
    }
    return trained(folder, models.build(parameters, arrays), 0.05)


# With the labels that the rules give them.
TABLES = {
    "scalar": (scalar, {"seed": None}),
    "diverged": (scalar_diverged_at_once, {"seed": None}),
    "regression": (regression, {"seed": 4, "descent": "sqrt"}),
    "network": (network, {"seed": 3}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One table of each model, with the records beside them."""
    folder = tmp_path_factory.mktemp("tables")
    for name, (make, labels) in TABLES.items():
        table = make(folder / f"run-{name}").assign(experiment=name, run="run", **labels)
        files.write_table(folder / f"{name}.parquet", table, {}, columns=RUN)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_model_s_run_table_has_the_types_of_the_schema(folder, name):
    found = pyarrow.parquet.read_schema(folder / f"{name}.parquet")
    assert {field.name: field.type for field in found} == {
        name: ARROW[RUN[name].kind] for name in RUN if name in found.names
    }


@pytest.mark.parametrize("name", TABLES)
def test_counts_are_empty_where_no_flow_was_made(folder, name):
    table = files.read_table(folder / f"{name}.parquet")
    at_checkpoints = table["gfs_status"].notna()
    assert at_checkpoints.any() == (name != "diverged")
    made = table["gradient_evaluations"].notna()
    assert (made == (at_checkpoints & (name == "network"))).all()
    assert (table["hessian_vector_products"].notna() == made).all()
    assert (table["gradient_evaluations"][made] > 0).all()
    assert str(table["seed"].dtype) in ("int64", "Int64")


def in_page(library):
    (code,) = re.findall(rf"```python\n(import {library}\b.*?)```", PAGE, re.DOTALL)
    return code


@pytest.mark.parametrize("library", ["pandas", "pyarrow"])
def test_the_lines_of_the_page_read_a_folder_with_records_beside_the_tables(folder, library):
    names = {}
    exec(in_page(library).replace("results/tables", str(folder)), names)
    table = names["table"] if library == "pandas" else names["table"].to_pandas()
    assert set(table.columns) == set(RUN)
    assert set(table["experiment"]) == set(TABLES)
    assert set(table["seed"].dropna()) == {3, 4}
    assert len(table) == sum(len(pd.read_parquet(folder / f"{name}.parquet")) for name in TABLES)


def test_without_the_schema_the_seeds_of_two_tables_could_not_be_read_together(folder, tmp_path):
    """The null control of what is above: as the tables were before."""
    for name, (_, labels) in TABLES.items():
        table = files.read_table(folder / f"{name}.parquet").drop(columns="seed")
        table.assign(seed=labels["seed"]).to_parquet(tmp_path / f"{name}.parquet")
    with pytest.raises(pa.ArrowException):
        pyarrow.dataset.dataset(str(tmp_path), schema=None).to_table()


def test_a_seed_has_its_type_in_every_table(tmp_path):
    files.write_table(tmp_path / "any.parquet", pd.DataFrame({"seed": [None, None], "margin": [1.0, 2.0]}), {})
    assert pyarrow.parquet.read_schema(tmp_path / "any.parquet").field("seed").type == pa.int64()


def row(**changes):
    values = {"whole number": 1, "number": 1.0, "text": "x", "truth": True}
    return pd.DataFrame([{name: values[column.kind] for name, column in RUN.items()} | changes])


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (row(extra=1), "does not have: ['extra']"),
        (row().drop(columns="gfs_error"), "that are missing: ['gfs_error']"),
        (row(seed=0.5), "column seed is to be of kind whole number"),
        (row(loss="high"), "column loss is to be of kind number"),
        (row(status=3), "column status is to be of kind text"),
    ],
)
def test_another_table_is_refused(tmp_path, table, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        files.write_table(tmp_path / "t.parquet", table, {}, columns=RUN)
    assert not list(tmp_path.iterdir())


def test_a_run_without_a_descent_of_its_own_needs_no_column_for_it():
    assert "descent" not in table_schema.typed(row().drop(columns="descent"), RUN)


def test_the_page_has_the_columns_of_all_tables():
    begin, end = table_page.BEGIN, table_page.END
    assert PAGE.partition(begin)[2].partition(end)[0].strip() == table_page.columns()
    for name in RUN:
        assert f"| `{name}` |" in table_page.columns()


def kept(path):
    """The tables of a pattern of the page that are kept in version control."""
    return sorted((ROOT / "results/reference").glob(re.sub("<[a-z]+>", "*", path)))


@pytest.mark.parametrize("path", table_page.TABLES)
def test_tables_have_the_columns_that_the_page_says(path):
    columns = table_page.TABLES[path][1]
    assert kept(path)
    for file in kept(path):
        table = pd.read_parquet(file)
        if path.startswith("regression/runs"):  # kept without it
            table["loss"] = 1.0
        typed = table_schema.typed(table, columns)
        assert typed.dtypes.to_dict() == table.dtypes.to_dict()
        with pytest.raises(ValueError, match="missing"):
            table_schema.typed(table.drop(columns=[name for name in table if columns.get(name)]), columns)


@pytest.mark.parametrize(("values", "dtype"), [([True, None], "boolean"), ([True, False], "bool"), ([None], "float64")])
def test_a_truth_keeps_its_kind_unless_all_are_empty(values, dtype):
    columns = {"true": Column("truth", "", "", if_empty="number"), **table_schema.WEIGHTS}
    found = table_schema.typed(pd.DataFrame({"true": values, "w1": 1.0, "w12": 2.0}), columns)
    assert found["true"].dtype == dtype
    with pytest.raises(ValueError, match=re.escape("does not have: ['wide']")):
        table_schema.typed(found.assign(wide=1.0), columns)


def test_a_truth_is_not_a_number():
    with pytest.raises(ValueError, match="of kind truth"):
        table_schema.typed(pd.DataFrame({"true": [0.5]}), {"true": Column("truth", "", "")})


def test_no_whole_number_is_lost_on_the_way():
    large = 2**53 + 1
    found = table_schema.typed(pd.DataFrame({"seed": [large, None]}, dtype=object))
    assert found["seed"][0] == large
    assert SimpleNamespace(**found.dtypes).seed == "Int64"
