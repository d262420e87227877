"""Normalised gradient descent and descent on sqrt(L), and the flow on the manifold of minima that they follow.

Arora, Li, Panigrahi, *Understanding Gradient Descent on the Edge of Stability in Deep Learning*, ICML 2022. Both
methods first approach the manifold of minima along gradient flow (phase one) and then oscillate across it in the
direction of the top eigenvector while they drift along it (phase two). In the time ``tau = eta^2 t`` the drift follows
a flow that lowers the sharpness ``lambda_1`` there: see :mod:`replication.studies.arora.limiting_flow`.

- :mod:`replication.studies.arora.problem`: what is asked of a problem.
- :mod:`replication.studies.arora.valley`, :mod:`replication.studies.arora.scalar`,
  :mod:`replication.studies.arora.regression`: three that have what is asked.
- :mod:`replication.studies.arora.limiting_flow`: the flow, in general and integrated.
- :mod:`replication.studies.arora.descending`: many runs of both methods side by side.
- :mod:`replication.studies.arora.phases`: a table of such runs beside the flow, and the length of phase one.
- :mod:`replication.studies.arora.summary`: what is read off such a table: errors, their order, rates of the drift,
  angles.
"""

from replication.studies.arora.problem import Problem, build
from replication.studies.arora.regression import Regression
from replication.studies.arora.scalar import Scalar
from replication.studies.arora.valley import Valley

__all__ = ["Problem", "Regression", "Scalar", "Valley", "build"]
