"""Exceptions of what producers and executors share of a venue.

StageError
└── SocketKeyError   the key that signs requests is missing or is not one (exit code 78)
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class SocketKeyError(StageError):
    """Kalshi's key is missing or unusable."""

    exit_code = EXIT_SETTINGS
