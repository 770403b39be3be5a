"""What can stop or hinder the producers, as one tree.

StageError
├── CatalogError     a venue's catalogue did not answer, or not in its form; tried again at the next refresh
└── RecordingError   a recording or its fee file cannot be imported (exit code 78)

WireDriftError       a frame says what no frame may say; it never leaves a protocol, which dead-letters it
ListingError         a market that cannot be listed safely; the catalogue leaves it out, loudly
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class CatalogError(StageError):
    """A venue's catalogue did not answer, or not in its form."""


class RecordingError(StageError):
    """A recording or its fee file cannot be imported."""

    exit_code = EXIT_SETTINGS


class WireDriftError(ValueError):
    """A frame that parses, but says what no frame of the venue may say."""


class ListingError(ValueError):
    """A market that cannot be listed safely."""
