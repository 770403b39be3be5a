"""Exceptions of the composition root; each is one line that says what is wrong and how to mend it.

DeployError
├── StackError      the local stack cannot start, or is not there
├── UsageError      a command was called with values that cannot work (exit code 2)
└── WorkerError     a process that works for a command was refused; the text and exit code are its own
"""


class DeployError(Exception):
    """Base of the errors that a command prints as one line."""

    exit_code = 1


class StackError(DeployError):
    """The local stack cannot start, or is not there."""


class UsageError(DeployError):
    """A command was called with values that cannot work."""

    exit_code = 2


class WorkerError(DeployError):
    """A process that works for a command was refused; the text and exit code are its own."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code


def one_line(error: Exception) -> str:
    """What an error says, on one line: parsers of other people's formats draw pictures below theirs."""
    return " ".join(str(error).split())
