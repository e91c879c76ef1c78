"""The one exception of the lab and its codes, which are also the exit codes of `python -m lab`."""

from enum import IntEnum


class Code(IntEnum):
    """What went wrong, as the exit code says it."""

    FAILED = 1  # a step did not work: the message has its last words
    REFUSED = 2  # what was asked for is not valid, or is taken
    MISSING = 3  # this host cannot run lab machines at all


class LabError(Exception):
    """A lab that could not do what was asked; the message is one line for a person."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
