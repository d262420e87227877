"""What the paper states, each claim held against a number that is computed from the tables.

A claim is a relation (``<=``, ``>=`` or ``=``) between a measured number and an expected one; beside it stands why the
tolerance is what it is. Where nothing measures a claim yet, or the results leave nothing to judge it by (a flow without
an end, a sharpness that never came to 2/eta), the verdict is ``not attempted`` and ``note`` says why.
"""

from replication.claims import arora, descents, linear, networks, regression, scalar
from replication.claims.claim import Claim, evaluate
from replication.claims.printing import markdown

CLAIMS: tuple[Claim, ...] = (
    *scalar.CLAIMS,
    *regression.CLAIMS,
    *networks.CLAIMS,
    *descents.CLAIMS,
    *arora.CLAIMS,
    *linear.CLAIMS,
)

__all__ = ["CLAIMS", "Claim", "evaluate", "markdown"]
