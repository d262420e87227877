"""Errors that are the user's to mend: their message says all there is to say, so no traceback is shown."""

from pathlib import Path


def first_line(error: Exception) -> str:
    """Return the first line of what an error of others says, without its full stop; its name where it says nothing."""
    return str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__


class UserError(Exception):
    """Something outside the program is wrong; the message names the value, the place and the mend."""


class FactoryError(Exception):
    """A function of the user's own raised something; its traceback is what the user needs."""


class LossError(ValueError):
    """A loss is not fit: it is random, or a derivative of it is missing or wrong.

    Attributes:
        kind: ``value``, ``random``, ``gradient``, ``product`` or ``second derivative``: where that shows.
    """

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class UnreadableError(UserError):
    """A file of ours is missing, broken or not what was written.

    Attributes:
        made_with: the file with which it is made again.
    """

    def __init__(self, message: str, made_with: Path) -> None:
        super().__init__(message)
        self.made_with = made_with
