"""Names of venues, strategies and instruments.

Decides how an instrument is named everywhere: `<venue>:<symbol>`, the symbol as the venue writes it (a Kalshi ticker, a
Polymarket condition id). Must never invent or normalise a symbol: two spellings would be two books.
"""

from collections.abc import KeysView
from typing import Final, NamedTuple

from crossbook.domain.errors import SymbolError
from crossbook.domain.grid import complement
from schemas.records import Venue
from schemas.vocabulary import words

__all__ = [
    "KALSHI",
    "POLYMARKET",
    "VENUES",
    "InstrumentName",
    "complement",
    "instrument_id",
    "parse_instrument_id",
    "parse_venue",
]

POLYMARKET: Final = "polymarket"
KALSHI: Final = "kalshi"
#: Live: a venue that a plug-in adds is in it.
VENUES: Final[KeysView[Venue]] = words("venue")

SYMBOL_LENGTH_MAX = 200  # a condition id has 66 characters, the longest Kalshi ticker seen about 60


class InstrumentName(NamedTuple):
    """The two parts of an instrument id."""

    venue: Venue
    symbol: str


def parse_venue(text: str) -> Venue:
    """The venue of that name. Raises SymbolError for any other text."""
    if text not in VENUES:
        raise SymbolError(f"venue was {text[:SYMBOL_LENGTH_MAX]!r}; known are {', '.join(VENUES)}")
    return text


def instrument_id(venue: Venue, symbol: str) -> str:
    """Id of an instrument. Raises SymbolError for an unknown venue or a symbol that is empty, too long or not printable ASCII."""
    parse_venue(venue)
    _check_symbol(symbol)
    return f"{venue}:{symbol}"


def parse_instrument_id(text: str) -> InstrumentName:
    """Venue and symbol of an id. Raises SymbolError where `instrument_id` would not have made it."""
    venue, colon, symbol = text.partition(":")
    if not colon:
        raise SymbolError(f"instrument id was {text[:SYMBOL_LENGTH_MAX]!r}; expected <venue>:<symbol>")
    known = parse_venue(venue)
    _check_symbol(symbol)
    return InstrumentName(known, symbol)


def _check_symbol(symbol: str) -> None:
    if not 0 < len(symbol) <= SYMBOL_LENGTH_MAX:
        raise SymbolError(f"symbol had {len(symbol)} characters; use 1..{SYMBOL_LENGTH_MAX}")
    if not (symbol.isascii() and symbol.isprintable()) or " " in symbol:
        raise SymbolError(
            f"symbol {symbol!r} held a space, a control or a non-ASCII character; take the venue's own symbol"
        )
