"""Errors that are the user's to mend: their message says all there is to say, so no traceback is shown."""


class UserError(Exception):
    """Something outside the program is wrong; the message names the value, the place and the mend."""


class FactoryError(Exception):
    """A function of the user's own raised something; its traceback is what the user needs."""
