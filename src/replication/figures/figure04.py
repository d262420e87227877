"""Figure 4: GPGD's bifurcation diagram with the trajectory of gradient descent on top."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from replication.figures import bifurcation, style


def draw(iterates: pd.DataFrame, orbits: pd.DataFrame) -> Figure:
    figure, axes = style.subplots(size=(style.COLUMN_WIDTH, 2.6))
    bifurcation.bifurcation_panel(axes, iterates, orbits)
    axes.set_ylim(bottom=-0.15)
    style.note(axes, bifurcation.distance_note(iterates))
    style.legend_above(axes)
    return figure
