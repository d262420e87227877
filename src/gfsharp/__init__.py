"""The sharpness of gradient flow solutions along gradient descent (Kreisler, Nacson, Soudry and Carmon, ICML 2023).

The modules follow the paper:

- :mod:`gfsharp.scalar`: scalar networks (Section 3), closed forms;
- :mod:`gfsharp.regression`: squared regression (Section 4.1), a convex problem;
- :mod:`gfsharp.networks`, :mod:`gfsharp.flow`, :mod:`gfsharp.curvature`: any torch model (Section 4.2), gradient flow
  by Runge-Kutta and sharpness by Lanczos;
- :mod:`gfsharp.descent`: gradient descent on any of the three; :mod:`gfsharp.follow`: on a torch module of one's own,
  with the GFS sharpness along it, in one call.

The command ``gfs`` (:mod:`gfsharp.command`) does the last for a table of data.
"""

__version__ = "0.1.0"
