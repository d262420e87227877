"""The figures: their common style, and the modules that draw them."""

import importlib
import inspect
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgba
from matplotlib.text import Annotation

from replication import figure_registry
from replication.figures import drawing, figure10, panels, style


@pytest.fixture
def run():
    count = 30
    phi = np.where(np.arange(count) % 5 == 0, np.linspace(14, 10, count), np.nan)
    return pd.DataFrame(
        {
            "experiment": "test",
            "seed": 0,
            "learning_rate": 0.2,
            "threshold": 10.0,
            "iteration": range(count),
            "loss": np.geomspace(1, 1e-5, count),
            "sharpness": np.linspace(5, 11, count),
            "gfs_sharpness": phi,
            "status": ["running"] * (count - 1) + ["converged"],
            "gfs_status": np.where(np.isnan(phi), None, "converged"),
        }
    )


def labels(axes):
    return [line.get_label() for line in axes.get_lines()]


def test_threshold_is_the_same_dashed_line_everywhere(run):
    _, axes = panels.stacked_panels(2)
    panels.sharpness_panel(axes[0], run)
    panels.sharpness_panel(axes[1], run.assign(learning_rate=0.1))
    lines = [next(line for line in panel.get_lines() if line.get_label().startswith(r"$2/\eta$")) for panel in axes]
    assert [line.get_ydata()[0] for line in lines] == [10.0, 20.0]
    assert r"\eta = 0.1$" in lines[1].get_label()
    assert len({(line.get_linestyle(), line.get_linewidth(), to_rgba(line.get_color())) for line in lines}) == 1
    assert lines[0].get_linestyle() == "--"


def test_unfinished_flows_are_shown(run):
    _, axes = panels.stacked_panels(1)
    panels.sharpness_panel(axes[0], run)
    assert "flow unfinished" not in labels(axes[0])
    run.loc[5, ["gfs_sharpness", "gfs_status"]] = [np.nan, "budget"]
    _, axes = panels.stacked_panels(1)
    panels.sharpness_panel(axes[0], run)
    assert "flow unfinished" in labels(axes[0])


@pytest.mark.slow
def test_saved_text_is_text_and_bytes_repeat(run, tmp_path):
    def draw(name):
        paths = [tmp_path / f"{name}.{suffix}" for suffix in ("pdf", "png", "svg")]
        with style.applied():
            figure, axes = panels.stacked_panels(1)
            panels.loss_panel(axes[0], run)
            width = figure.get_figwidth()
            drawing.save(figure, *paths)
        return width, [path.read_bytes() for path in paths]

    width, first = draw("a")
    assert width == style.COLUMN_WIDTH
    assert first == draw("b")[1]
    assert b"gradient descent iteration" in first[2]
    assert b"/FontFile2" in first[0] or b"/TrueType" in first[0] or b"/CIDFontType2" in first[0]


def test_first_run_of_several(run):
    several = pd.concat([run.assign(learning_rate=0.1), run.assign(seed=1), run], ignore_index=True)
    chosen = panels.single_run(several)
    assert set(chosen["learning_rate"]) == {0.1}
    assert list(chosen["iteration"]) == list(range(len(run)))


def beside_maps(experiment, eta, ending):
    """Iterates of a run that diverged, all with the longest that there is to say of them."""
    numbers = {"product": [1.1, np.nan], "gfs_sharpness": [4 / eta, np.nan]}
    for prefix in ("", "zhu_"):
        numbers |= {f"{prefix}distance": [1.23e-5, np.nan], f"{prefix}two_step_error": [1.23e-5, np.nan]}
    table = pd.DataFrame({**numbers, "threshold": 2 / eta, "status": ["running", "diverged"], "experiment": experiment})
    table["iteration"] = [0, 123_456]
    if ending == "at its start":
        table = table.iloc[1:].assign(iteration=0, loss=1.23e150)
    return table


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["at its start", "later"])
@pytest.mark.parametrize("experiments", [1, 2, 3])
def test_what_figure_10_says_of_runs_that_diverged_is_within_its_panels(ending, experiments):
    iterates = pd.concat([beside_maps(f"run {i}", 0.0123, ending) for i in range(experiments)])
    orbits = pd.DataFrame({"experiment": [], "map": [], "gfs_sharpness": [], "product": []})
    with style.applied():
        figure = figure10.draw(iterates, orbits)
        figure.draw_without_rendering()
    for panel in figure.axes:
        # All but its letter, which stands outside.
        notes = [text for text in panel.texts if isinstance(text, Annotation) and len(text.get_text()) > 1]
        said = [text.get_text() for text in notes]
        assert sum("diverged" in text for text in said) == 1
        boxes = [text.get_window_extent() for text in notes]
        inside = panel.get_window_extent()
        for box, text in zip(boxes, said, strict=True):
            assert inside.x0 <= box.x0, text
            assert box.x1 <= inside.x1, text
        for one, other in itertools.combinations([*boxes, panel.title.get_window_extent()], 2):
            assert not one.overlaps(other), said


@pytest.mark.parametrize("figure", figure_registry.FIGURES.values(), ids=lambda figure: figure.name)
def test_the_module_of_each_figure_draws_it_from_the_tables_of_the_registry(figure):
    draw = importlib.import_module(f"replication.figures.{figure.module}").draw
    assert list(inspect.signature(draw).parameters) == list(figure.tables)


def test_one_figure_is_drawn_without_the_others_and_none_stays_open(run):
    code = """
import sys
from replication.figures import drawing
def drawn_by():
    return [name for name in sys.modules if name.startswith("replication.figures.figure")]
assert drawn_by() == [], drawn_by()
drawing.draw("figure08", {"table": __import__("pandas").read_json(sys.stdin)})
assert drawn_by() == ["replication.figures.figure08"], drawn_by()
from matplotlib import pyplot
assert pyplot.get_fignums() == []
"""
    subprocess.run([sys.executable, "-c", code], input=run.to_json(), text=True, check=True)


def test_the_numbers_of_several_tables_are_told_apart(run):
    table = run.assign(residual=0.0)
    numbers = drawing.numbers({"one": table, "other": table.tail(2)})
    assert numbers["table"].value_counts().to_dict() == {"one": len(run), "other": 2}
    assert list(drawing.numbers({"one": table})) == list(run)
