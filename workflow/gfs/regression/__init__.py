"""Squared regression (Section 4.1, Appendices B.3 and C)."""

from gfs.regression.flattest import flattest_sharpness
from gfs.regression.model import GradientFlowSolution, SquaredRegression

__all__ = ["GradientFlowSolution", "SquaredRegression", "flattest_sharpness"]
