"""The sharpness of gradient flow solutions along gradient descent (Kreisler, Nacson, Soudry and Carmon, ICML 2023).

The modules follow the paper:

- :mod:`gfs.scalar`: scalar networks (Section 3), closed forms;
- :mod:`gfs.regression`: squared regression (Section 4.1), a convex problem;
- :mod:`gfs.networks`, :mod:`gfs.flow`, :mod:`gfs.curvature`: any torch model (Section 4.2), gradient flow by
  Runge-Kutta and sharpness by Lanczos;
- :mod:`gfs.descent`, :mod:`gfs.models`, :mod:`gfs.runs`, :mod:`gfs.checkpoints`: gradient descent on any of the three;
- :mod:`gfs.claims`: what the paper states, against what was measured;
- :mod:`gfs.data`, :mod:`gfs.files`, :mod:`gfs.provenance`, :mod:`gfs.configuration`, :mod:`gfs.plotting`,
  :mod:`gfs.progress`: what an experiment needs around that.

Torch is imported by ``networks``, ``flow`` and ``curvature`` alone.
"""
