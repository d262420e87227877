"""Linear networks of any depth and widths at large step sizes (Crăciun and Ghoshdastidar, arXiv 2402.13108).

Derived here, as of that paper only the abstract is at hand.

- :mod:`replication.studies.linear.network`: ``LinearNetwork``, the quadratic loss on given data with its derivatives.
- :mod:`replication.studies.linear.gd_map`: whether the map of gradient descent is singular, and how many preimages
  points have.
- :mod:`replication.studies.linear.minimisers`: the global minimisers, their codimension and their smallest sharpness.
- :mod:`replication.studies.linear.stable_minima`: how far out minimisers of sharpness at most 2/eta lie.
- :mod:`replication.studies.linear.convergence`: the share of starts from which gradient descent converges.
- :mod:`replication.studies.linear.gfs`: the GFS sharpness along gradient descent.
"""

from replication.studies.linear.network import LinearNetwork

__all__ = ["LinearNetwork"]
