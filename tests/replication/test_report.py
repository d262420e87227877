"""What the report says beside the figures."""

import pytest
from docutils.core import publish_parts
from project import ROOT

from replication import figure_registry, value_sources, yaml_files
from replication.reporting import deviations, report

ROW = {"id": "a", "figures": {"figure02": "b", "figure08": ""}, "statement": "x_i * |y| `z` \\", "quantity": None}
ROW |= {"expected": "<= 1", "tolerance": 0.5, "measured": 0.123456, "error": None, "verdict": "holds", "note": None}


def html(text):
    return publish_parts(text, writer="html", settings_overrides={"halt_level": 2})["body"]


def test_claims_of_a_figure():
    shown = [
        {"figure02": "b", "figure08": ""},
        {"figure02": "c"},
        {},
        {"figure12": ""},
        {"figure_a": "", "figure_bc": ""},
    ]
    rows = [ROW | {"figures": figures} for figures in shown]
    found = {figure: [row["figures"] for row in report.claims_of(rows, figure)] for figure in ("figure02", "figure08")}
    assert found == {"figure02": shown[:2], "figure08": shown[:1]}
    assert report.claims_of(rows, "figure_bc") == rows[-1:]
    assert report.claims_of(rows, "figure01") == []


def test_caption_is_what_is_shown_and_a_table_without_markup():
    rows = [ROW, ROW | {"measured": None, "verdict": "not attempted"}]
    found = html(report.caption("What is *shown*.\n", rows, {"experiments.a": {"stop.loss": 0.1, "w_": [1, "*"]}}))
    assert "<em>shown</em>" in found
    assert "x_i * |y| `z` \\" in found
    assert "0.1235" in found
    assert "&lt;= 1 (tolerance 0.5)" in found
    assert found.count("<tr>") == 3
    assert "<em>experiments.a</em> stop.loss: 0.1; w_: [1, '*']" in found


def test_caption_without_claims_and_deviations():
    assert report.caption("Shown.", [], {}).strip() == "Shown."


def of_figure(config, number, *overlays):
    return deviations.of_figure(config, f"figure{number:02}", value_sources.by_key(ROOT / "config.yaml", *overlays))


@pytest.mark.slow
def test_deviations_of_a_figure(config):
    config["experiments"]["fc-tanh-digits"]["stop"]["loss"] = 0.5
    found = of_figure(config, 12)
    # Its own mark, one that is taken over, and one of another section.
    assert found["experiments.fc-relu-digits"]["learning_rates"] == [0.08]
    assert found["experiments.fc-tanh-digits"]["stop.loss"] == 0.5
    assert found["experiments.fc-tanh-digits"]["data"] == "digits"
    assert "activation" not in found["experiments.fc-tanh-digits"]
    assert "step_factor" not in str(found)
    assert set(of_figure(config, 9)["experiments.scalar-high-loss"]) == {"learning_rates", "stop.loss"}
    assert of_figure(config, 3).keys() == {"scalar.plane"}
    assert of_figure(config, 3)["scalar.plane"]["learning_rate"] == 0.2
    for figure in figure_registry.FIGURES:
        assert deviations.of_figure(config, figure, value_sources.by_key(ROOT / "config.yaml")), figure


def test_deviations_of_the_paper_s_scale():
    files = [ROOT / "config.yaml", ROOT / "config/paper.yaml"]
    config = yaml_files.merged(*files)
    found = of_figure(config, 6, files[1])
    for name in ("fc-hardtanh-cifar10", "vgg11-cifar10", "resnet20-cifar10"):
        assert not {"data", "channels"} & set(found[f"experiments.{name}"])
        assert {"learning_rates", "stop.loss"} <= set(found[f"experiments.{name}"])
    assert found["data.cifar10"] == {"images": 1000}


def test_pages_show_text_as_it_is():
    found = report.page("a < b", report.table([ROW | {"note": "<script>"}], {"note": "n & m", "measured": "here"}))
    assert "<h1>a &lt; b</h1>" in found
    assert "&lt;script&gt;" in found
    assert "<th>n &amp; m</th>" in found
    assert 'class="holds"' in found


def test_every_figure_has_a_title():
    assert list(figure_registry.FIGURES)[:13] == [f"figure{number:02}" for number in range(1, 14)]
    assert all(name.startswith("figure_") for name in list(figure_registry.FIGURES)[13:])
