"""Exceptions of reading a log, wherever it stands; each is one line that says what is wrong and how to mend it.

StageError
└── LogError   a log does not hold what its reader must find there (exit code 78, never restarted)
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class LogError(StageError):
    """A topic does not hold what its reader must find there; starting again mends nothing, so no supervisor tries."""

    exit_code = EXIT_SETTINGS
