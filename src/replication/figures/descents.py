"""How the two methods of Arora et al. (2022) are shown, and the problems that they are held against a flow on."""

from __future__ import annotations

from typing import Any

import pandas as pd

from replication.figures import panels, style

# Of each method: name, colour and, where colours mean step sizes, line.
METHODS: Any = {
    "normalised": ("normalised GD", style.PALETTE[0], "-"),
    "sqrt": (r"GD on $\sqrt{L}$", style.PALETTE[1], (0, (3, 1))),
}
MARKERS: Any = {"valley": "o", "scalar": "s", "regression": "^"}


def descent_title(run: pd.DataFrame) -> str:
    """Return what a panel of a run under another descent than the plain one is called: model and descent, then eta."""
    descent = str(run["descent"].iloc[0])
    model = str(run["experiment"].iloc[0]).removeprefix("arora-").removesuffix(f"-{descent}")
    return f"{panels.written_out(model)}, {METHODS[descent][0]}\n" rf"$\eta = {run['learning_rate'].iloc[0]:.2g}$"
