"""Exceptions of the archive; each is one line that says what is wrong and how to mend it.

ArchiveError
├── ArchiveMissingError   there is no archive where one was named, or not the part asked for
├── ArchiveDamagedError   a file is gone, changed or no such file; names file, expected and found
├── ArchiveConflictError  the archive and what shall be added to it do not belong together
├── RestoreError          the topics cannot take the archive
├── RetentionError        records may not be dropped: they are not safely archived
└── ExportError           what was asked for cannot be written in the other format
"""

from crossbook.domain.errors import StageError


class ArchiveError(StageError):
    """Base of the archive's errors."""


class ArchiveMissingError(ArchiveError):
    """There is no archive where one was named, or not the part asked for."""


class ArchiveDamagedError(ArchiveError):
    """A file is gone, changed or no such file."""


class ArchiveConflictError(ArchiveError):
    """The archive and what shall be added to it do not belong together."""


class RestoreError(ArchiveError):
    """The topics cannot take the archive."""


class RetentionError(ArchiveError):
    """Records may not be dropped: they are not safely archived."""


class ExportError(ArchiveError):
    """What was asked for cannot be written in the other format."""
