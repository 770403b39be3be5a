"""Exceptions of the runtime; a library's errors become one of these where they enter.

StageError
├── SettingsError       a setting is missing, wrong or contradictory (exit code 78, never restarted)
├── BrokerAwayError     Kafka cannot be reached, or does not answer in time
├── FencedError         another instance with the same transactional id took over: stop at once
├── BufferFullError     the bounded producer buffer is full; nothing was queued
└── RecordTooLargeError a record is larger than a topic takes; nothing was queued
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class SettingsError(StageError):
    """A setting is missing, wrong or contradictory."""

    exit_code = EXIT_SETTINGS


class BrokerAwayError(StageError):
    """Kafka cannot be reached, or does not answer in time."""


class FencedError(StageError):
    """Another instance with the same transactional id took over."""


class BufferFullError(StageError):
    """The bounded producer buffer is full; nothing was queued."""


class RecordTooLargeError(StageError):
    """A record is larger than a topic takes; nothing was queued, and the producer stays usable."""
