"""Linear networks of any depth and widths at large step sizes (Crăciun and Ghoshdastidar, arXiv 2402.13108).

Derived here, as of that paper only the abstract is at hand.

- :mod:`gfs.linear.network`: ``LinearNetwork``, the quadratic loss on given data with its derivatives.
- :mod:`gfs.linear.gd_map`: whether the map of gradient descent is singular, and how many preimages points have.
- :mod:`gfs.linear.minimisers`: the global minimisers, their codimension and their smallest sharpness.
- :mod:`gfs.linear.stable_minima`: how far out minimisers of sharpness at most 2/eta lie.
- :mod:`gfs.linear.convergence`: the share of starts from which gradient descent converges.
- :mod:`gfs.linear.gfs`: the GFS sharpness along gradient descent.
"""

from gfs.linear.network import LinearNetwork

__all__ = ["LinearNetwork"]
