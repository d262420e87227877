"""Squared regression (Section 4.1, Appendices B.3 and C)."""

from gfsharp.regression.flattest import flattest_sharpness
from gfsharp.regression.model import GradientFlowSolution, SquaredRegression

__all__ = ["GradientFlowSolution", "SquaredRegression", "flattest_sharpness"]
