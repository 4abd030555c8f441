"""What can go wrong, with the one message that the command would print."""
from __future__ import annotations

import re

_PLACE = re.compile(r"^(?P<file>[^\n]*?):(?P<line>\d+):(?P<column>\d+): ")


class Error(Exception):
    """Every error of microlift.

    Attributes
    ----------
    message : str
        What is wrong, and what would be right; several faults of a configuration one a line.
    file : str or None
        The file that the first line is about, where it names a place in one.
    line, column : int or None
        The place there, counted from 1.
    """

    message: str
    file: str | None
    line: int | None
    column: int | None

    def __init__(self, message: str) -> None:
        # A configuration that was given as a dict stands in no file.
        message = re.sub(r"^config:\d+:\d+: ", "config: ", message, flags=re.M)
        super().__init__(message)
        self.message = message
        place = _PLACE.match(message)
        self.file = place["file"] if place else None
        self.line = int(place["line"]) if place else None
        self.column = int(place["column"]) if place else None


class InputError(Error, ValueError):
    """The configuration, an argument or a file is wrong (exit status 2 of the command)."""


class DeviceError(Error, RuntimeError):
    """There is no such device, or it failed (exit status 3)."""


class NumericalError(Error, ArithmeticError):
    """The numbers went wrong: a trajectory blew up, an estimator did not converge (exit status 4)."""
