"""Where the paper venue stands, as plain values that JSON can hold. Holds values only: the venue makes and reads them itself."""

import msgspec

from crossbook.market.book import BookSide
from executors.terms import PaperTerms
from schemas.records import CancelRequested, OrderReport, OrderRequested, Outcome


class OrderImage(msgspec.Struct, frozen=True):
    """An order at the paper venue."""

    request: OrderRequested
    terms: PaperTerms
    replaces: str
    venue_ns: int
    arrival_ns: int
    fills: int
    report_ns: int
    reports: int
    met: bool
    sent: bool


class CancelImage(msgspec.Struct, frozen=True):
    """A cancel on its way to the paper venue."""

    request: CancelRequested
    report_ns: int


class DueImage(msgspec.Struct, frozen=True):
    """Something that the paper venue will do: an order or a cancel arrives, or a report goes out."""

    ts_ns: int
    kind: int
    sequence: int
    order_id: str
    number: int
    order: OrderImage | None
    report: OrderReport | None
    cancel: CancelImage | None


class LevelImage(msgspec.Struct, frozen=True):
    """A level that we took from, in YES terms."""

    instrument_id: str
    side: BookSide
    price_micros: int
    left_micros: int
    largest_micros: int
    taken_micros: int


class HeldImage(msgspec.Struct, frozen=True):
    """What the paper venue lets us sell of an outcome."""

    instrument_id: str
    outcome: Outcome
    quantity_micros: int


class VenueImage(msgspec.Struct, frozen=True):
    """A PaperVenue; `queue` in the order in which it is worked off."""

    queue: tuple[DueImage, ...]
    early: tuple[DueImage, ...]
    waiting: dict[str, tuple[OrderImage, ...]]
    levels: tuple[LevelImage, ...]
    held: tuple[HeldImage, ...]
