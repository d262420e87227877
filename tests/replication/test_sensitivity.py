"""Variants of the configuration, what is measured on them, and what is said of it."""

import numpy as np
import pandas as pd
import pytest
import yaml
from project import ROOT, TINY

from replication import configuration, sensitivity, variants, yaml_files
from replication.configuration import ConfigurationError
from replication.storage import files
from replication.variants import OURS, Variant

COMMITTED = ROOT / "results/sensitivity/sensitivity.parquet"


def message(config):
    with pytest.raises(ConfigurationError) as error:
        configuration.check(config)
    return str(error.value)


def test_variants_change_one_value_each_and_leave_the_configuration_alone(config):
    before = yaml.safe_dump(config)
    study = {
        "table": "figure05",
        "settings": {"data.gaussian.samples": 5, "experiments.regression.initial_scale": 0.2},
        "alternatives": {"data.gaussian.dimension": [10, 20], "experiments.regression.initial_scale": [0.3]},
    }
    found = list(variants.variants({**config, "sensitivity": {"s": study}}))
    assert [variant.name for variant in found] == [
        OURS,
        "data.gaussian.dimension-0",
        "data.gaussian.dimension-1",
        "experiments.regression.initial_scale-0",
    ]
    changed = [variant.configuration({**config, "sensitivity": {"s": study}}) for variant in found]
    values = [(c["data"]["gaussian"], c["experiments"]["regression"]["initial_scale"]) for c in changed]
    assert [(data["samples"], data["dimension"], scale) for data, scale in values] == [
        (5, 100, 0.2),
        (5, 10, 0.2),
        (5, 20, 0.2),
        (5, 100, 0.3),
    ]
    assert yaml.safe_dump(config) == before


def study(**changes):
    return {"table": "figure05", "settings": {}, "alternatives": {"data.gaussian.samples": [5]}} | changes


CASES = [
    (study(table="figure5"), ["sensitivity.s.table", "'figure5'", "nearest: figure05"]),
    (study(alternatives={}), ["sensitivity.s.alternatives", "not empty"]),
    (study(alternatives={"data.gaussian.samples": 5}), ["alternatives.data.gaussian.samples", "a list"]),
    (study(alternatives={"data.gaussian.samples": [5, 5]}), ["data.gaussian.samples", "each value once"]),
    (study(alternatives={"data gaussian": [5]}), ["sensitivity.s.alternatives", "a key of this file"]),
    (
        study(alternatives={"data.gaussian.sample": [5]}),
        ["sensitivity.s.alternatives", "data.gaussian has no sample", "nearest: data.gaussian.samples"],
    ),
    (study(settings={"dat": 5}), ["sensitivity.s.settings", "it has no dat", "nearest: data"]),
    (study(settings={"data.gaussian.samples.x": 5}), ["sensitivity.s.settings", "data.gaussian.samples has no x"]),
    (study(settings={"sensitivity.s.table": "plane"}), ["sensitivity.s.settings", "it has no sensitivity"]),
    (
        study(alternatives={"data.gaussian.samples": [5, 101]}),
        ["sensitivity.s.alternatives.data.gaussian.samples[1] cannot be tried", "at most the dimension, 100"],
    ),
    (
        study(settings={"experiments.regression.initial_scale": 0}),
        ["sensitivity.s.settings cannot be tried", "experiments.regression.initial_scale", "a number above 0"],
    ),
    (study(alternatives={"experiments": [5]}), ["alternatives.experiments[0] cannot be tried", "a mapping"]),
    (
        study(table="figure02", settings={"figures.figure02": "scalar-high-loss"}),
        ["sensitivity.s.table", "whose scalar-high-loss starts from the plane", "start at given weights"],
    ),
]


@pytest.mark.parametrize(("settings", "expected"), CASES)
def test_what_cannot_be_tried_is_said_before_anything_starts(config, settings, expected):
    config["sensitivity"] = {"s": settings}
    text = message(config)
    for part in expected:
        assert part in text


def test_the_plane_s_step_size_can_be_tried_alone(config):
    config["sensitivity"] = {"s": study(table="plane", alternatives={"scalar.plane.learning_rate": [0.1]})}
    configuration.check(config)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("figure02", {}),
        ("figure05", {}),
        ("plane", {}),
        ("figure06", {"figures.figure06": ["fc-hardtanh-digits"]}),
    ],
)
def test_a_variant_is_measured_as_the_workflow_does(table, changes):
    config = {**yaml_files.merged(ROOT / "config.yaml", TINY)}
    config["sensitivity"] = {"s": study(table=table, settings=changes)}
    variant = Variant("s")
    found = sensitivity.measured(variant, table, configuration.made_from(variant.configuration(config), table))
    judged = found[found["verdict"].notna()]
    # That the loss falls so far is what the run is stopped for.
    stopped_for = {"scalar-loss-converges", "network-loss-falls"}
    assert set(judged["quantity"]) == {c.id for c in sensitivity.claims.CLAIMS if c.table == table} - stopped_for
    assert (judged["verdict"] != "not attempted").any()
    numbers = found[found["verdict"].isna()].set_index("quantity")["measured"]
    assert list(numbers.index) == ([] if table == "plane" else list(sensitivity.MEASURES))
    assert np.isfinite(numbers).all()


@pytest.mark.slow
def test_a_variant_s_numbers_are_of_its_value(config):
    config["experiments"]["scalar-depth4"]["stop"]["loss"] = 1e-4
    alternatives = {"experiments.scalar-depth4.learning_rates": [[0.16], [5.0]]}
    config["sensitivity"] = {"s": study(table="figure02", alternatives=alternatives)}
    ours, near, far = (
        sensitivity.measured(v, "figure02", configuration.made_from(v.configuration(config), "figure02")).set_index(
            "quantity"
        )
        for v in variants.variants(config)
    )
    ratio = ours.loc["smallest_initial_gfs", "measured"] / near.loc["smallest_initial_gfs", "measured"]
    assert ratio == pytest.approx(0.2 / 0.16)
    assert far.loc["scalar-ends-below", "verdict"] == "fails"
    assert set(near["value"]) == {"[0.16]"}


def rows(key, value, **verdicts):
    return pd.DataFrame(
        [("s", key, value, name, 1.0, verdict) for name, verdict in verdicts.items()],
        columns=["study", "key", "value", "quantity", "measured", "verdict"],
    )


FOUND = pd.concat(
    [
        rows(None, None, a="holds", b="holds", c="fails"),
        rows("k", "1", a="holds", b="holds", c="holds"),
        rows("k", "2", a="fails", b="not attempted", c="fails"),
        rows("other", "3", a="fails", b="holds", c="fails"),
    ],
    ignore_index=True,
)


def test_a_claim_is_lost_if_it_holds_with_ours_and_not_with_the_other():
    assert sensitivity.lost(FOUND, "s", "k", "1") == {}
    assert sensitivity.lost(FOUND, "s", "k", "2") == {"a": "fails", "b": "not attempted"}


CONFIG = {"k": 0, "other": 0, "nothing": 0, "sensitivity": {"s": {"settings": {"other": 5}}}}


def test_the_words_follow_from_the_numbers():
    assert list(sensitivity.in_words(FOUND, "k", CONFIG)) == [
        "with 1 all 2 claims that hold with ours hold",
        "with 2 not: `a`, `b` (nothing to judge it by)",
    ]
    assert list(sensitivity.in_words(FOUND, "other", CONFIG)) == ["with 3 in place of 5 not: `a`"]
    assert list(sensitivity.in_words(FOUND, "nothing", CONFIG)) == []


def test_a_start_below_the_threshold_is_said():
    start = pd.DataFrame([("s", "k", "2", "smallest_initial_gfs", 0.9, None)], columns=FOUND.columns)
    words = list(sensitivity.in_words(pd.concat([FOUND, start]), "k", CONFIG))
    assert words[1].startswith("with 2, where it starts at 0.900 of 2/η, not: `a`")


def test_the_summary_counts_what_is_lost():
    assert list(sensitivity.summary(FOUND))[2:] == ["| s | 3 |  | `a` (2), `b` (1) |"]
    kept = FOUND[FOUND["value"] != "2"]
    assert list(sensitivity.summary(kept))[2:] == ["| s | 2 | `b` | `a` (1) |"]


def test_the_committed_result_is_of_what_the_configuration_tries(config):
    found = files.read_table(COMMITTED)
    tried = {
        (v.study, v.key, None if v.key is None else sensitivity.json.dumps(v.value)) for v in variants.variants(config)
    }
    there = {(row.study, row.key, row.value) for row in found[["study", "key", "value"]].drop_duplicates().itertuples()}
    assert {tuple(None if pd.isna(x) else x for x in row) for row in there} == tried
    page = COMMITTED.with_suffix(".md").read_text()
    machine = page.split("Machine: ")[1].split(".\n")[0]
    assert page == sensitivity.markdown(found, config, machine)
