"""The plane of GFS sharpness and product that gradient descent starts from (figures 2c and 3)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def grid(table: pd.DataFrame, value: str) -> tuple[Floats, Floats, Floats]:
    """Return the plane's GFS sharpness in units of 2/eta, its products, and a column as a matrix over both.

    Rows of the matrix are products, columns GFS sharpness.
    """
    products = np.unique(table["product"])
    shape = (len(products), len(table) // len(products))
    units = (table["initial_gfs"] / table["threshold"]).to_numpy().reshape(shape)
    return units.mean(axis=0), products, table[value].to_numpy().reshape(shape)


def label(axes: Axes) -> None:
    """Label the axes of the plane."""
    axes.set_xlabel(r"initial GFS sharpness $\phi(w^{(0)})$ in units of $2/\eta$")
    axes.set_ylabel(r"initial product $\pi(w^{(0)})$")
