"""What a long computation is given to say how far it is."""

from __future__ import annotations

from collections.abc import Callable

# Gradients spent, the loss, the share of the way that is done.
Report = Callable[[int, float, float], None]
