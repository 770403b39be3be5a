"""What can go wrong in the domain, as one tree, and the base of what stops a process.

    StageError        stops a process or a command with one line and an exit code; every package derives its own from it

    DomainError
    ├── MoneyError    text or an amount that is no exact, bounded number of micros
    ├── GridError     a price grid that cannot be, or a price that has no neighbour on it
    ├── FeeError      a fee schedule that cannot be applied, or a fill that it cannot price
    ├── BookError     an order book event that cannot be applied
    └── SymbolError   a venue or an instrument id that is none

Each message names the value and says what would be right. Nothing here decides: a caller catches the class that it can
mend (a feed dead-letters on MoneyError) and lets the rest stop the stage.
"""

from typing import Final

#: sysexits' EX_CONFIG: starting again mends nothing, so no supervisor tries.
EXIT_SETTINGS: Final = 78


class StageError(Exception):
    """Base of every error that stops a stage or a command: one line that says what is wrong and how to mend it."""

    exit_code = 1


class DomainError(Exception):
    """Root of the domain's errors."""


class MoneyError(DomainError):
    """Not an exact number of micros: malformed, too precise, too large, or of the wrong sign."""


class GridError(DomainError):
    """An impossible price grid, or a price outside every range of it."""


class FeeError(DomainError):
    """An unusable fee schedule, or a fill outside what it can charge."""


class BookError(DomainError):
    """A book event that contradicts the book."""


class SymbolError(DomainError):
    """An unknown venue, or an instrument id that does not name one."""
