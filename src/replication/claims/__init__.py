"""What the paper states, each claim held against a number that is computed from the tables.

A claim is a relation (``<=``, ``>=``, ``within`` or ``is``) between a measured number and a bound; it says whose
statement it is and why the bound is what it is. Where nothing measures a claim yet, or the results leave nothing to
judge it by (a flow without an end, a sharpness that never came to 2/eta), the verdict is ``not attempted`` and
``undecided`` says why.
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
