"""Whether a record that comes again says anything new: what a decision may rest on of each, and whether two say the same of it."""

from typing import Final

from crossbook.market.book import OrderBook
from schemas.records import BookSnapshot, InstrumentListed, PairListed, Record, VenueStatus

#: The rest of a listing (title, volume, time of reading) is for people.
TERMS: Final = tuple(
    name
    for name in InstrumentListed.__struct_fields__
    if name not in {"ts_received_ns", "keyframe", "title", "volume_micros", "rules_hash", "resolution_source"}
)
PAIR_TERMS: Final = tuple(name for name in PairListed.__struct_fields__ if name not in {"ts_received_ns", "keyframe"})
VENUE_TERMS: Final = tuple(name for name in VenueStatus.__struct_fields__ if name not in {"ts_received_ns", "keyframe"})


def same_but(one: Record, other: Record, names: tuple[str, ...]) -> bool:
    """Whether two records agree in these fields."""
    return all(getattr(one, name) == getattr(other, name) for name in names)


def same_levels(book: OrderBook, record: BookSnapshot) -> bool:
    """Whether a snapshot shows what the book holds."""
    levels = book.levels()
    return (
        levels.bid_prices == record.bid_prices
        and levels.bid_sizes == record.bid_sizes
        and levels.ask_prices == record.ask_prices
        and levels.ask_sizes == record.ask_sizes
    )
