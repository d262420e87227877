"""The examples of docs/library.md and of the README, run as they stand: each expression has the value beside it."""

import ast
import re

import numpy as np
import pytest
from project import ROOT

# What follows an expression: `# 13.349: why`, `# 'converged'`, `# True`, `# (518, 21)`.
SHOWN = re.compile(r"#\s(\(.*?\)|\[.*?\]|\{.*?\}|'.*?'|True|False|nan|\d+(?:\.\d+)?)(?![\w/])")


def blocks(path):
    return re.findall(r"^```python\n(.*?)^```$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def run(text, names):
    """Run a block and return what its expressions are and what is said of them; expressions of which nothing is said
    are only run."""
    found = []
    for node in ast.parse(text).body:
        source = ast.get_source_segment(text, node)
        if not isinstance(node, ast.Expr):
            exec(source, names)
            continue
        value = eval(source, names)
        rest = text.splitlines()[node.end_lineno - 1][node.end_col_offset :]
        if shown := SHOWN.match(rest.strip()):
            found.append((source, value, shown[1]))
    return found


def agrees(value, shown):
    if isinstance(value, dict):
        parts = dict(part.split(": ") for part in shown.strip("{}").split(", "))
        return list(map(repr, value)) == list(parts) and all(map(agrees, value.values(), parts.values()))
    if isinstance(value, tuple) or np.ndim(value) == 1:
        parts = shown.strip("()[]").split(", ")
        return len(value) == len(parts) and all(map(agrees, value, parts))
    if shown == "nan":
        return bool(np.isnan(value))
    if re.fullmatch(r"\d+", shown):  # a count: of gradients, which rounding may change
        return value == pytest.approx(int(shown), rel=0.1)
    if re.fullmatch(r"\d+\.\d+", shown):
        return abs(value - float(shown)) <= 10.0 ** -len(shown.split(".")[1])
    return bool(value == ast.literal_eval(shown))


@pytest.mark.parametrize(("path", "least"), [("docs/library.md", 18), ("README.md", 2)])
def test_the_examples_give_what_they_say(path, least, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # one writes a plot
    names = {}
    found = [line for block in blocks(path) for line in run(block, names)]
    assert len(found) >= least
    assert not [line for line in found if not agrees(*line[1:])]


def test_an_example_that_says_something_else_is_found():
    ((_, value, shown),) = run("sum([1.0, 0.5])  # 1.7: too much", {})
    assert (value, shown) == (1.5, "1.7")
    assert not agrees(value, shown)
    assert not agrees(("budget", 1.0), "('budget', nan)")
    assert not agrees([True, True], "[True, False]")
    assert agrees(np.array([1.31, 2.0]), "[1.3, 2.0]")
    assert not agrees(np.array([1.31, 2.0]), "[1.3, 2.2]")
    assert agrees({"a": 1.31}, "{'a': 1.3}")
    assert not agrees({"a": 1.31}, "{'b': 1.3}")
    assert not agrees(600, "518")


def test_ten_lines_are_ten_lines():
    first = blocks("docs/library.md")[0]
    assert len([line for line in first.splitlines() if line]) <= 10
