"""Exceptions of the runtime; a library's errors become one of these where they enter.

StageError
├── SettingsError       a setting is missing, wrong or contradictory (exit code 78, never restarted)
├── BrokerAwayError     Kafka cannot be reached, or does not answer in time
├── FencedError         another instance with the same transactional id took over: stop at once
├── BufferFullError     the bounded producer buffer is full; nothing was queued
├── RecordTooLargeError a record is larger than a topic takes; nothing was queued
└── LogError            a topic does not hold what its reader must find there
"""

EXIT_SETTINGS = 78


class StageError(Exception):
    """Base of every error that stops a stage."""

    exit_code = 1


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


class LogError(StageError):
    """A topic does not hold what its reader must find there; starting again mends nothing, so no supervisor tries."""

    exit_code = EXIT_SETTINGS
