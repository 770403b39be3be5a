"""The port of strategies: what decide's fold tells one, and what it wants back.

A strategy is a pure function of the market that one partition has told and of its own state: it reads no clock, file or setting, and
it never sees our orders or fills. The fold owns the market, stream time, tops, watermarks, places and ids; a strategy owns the rest.
It gives drafts: records without a place, which the fold numbers and writes. Every strategy passes the contract in
`tests/unit/processors/strategies/test_strategy_contract.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias, TypedDict

import msgspec

from crossbook.domain.identities import Identities
from crossbook.domain.trading_hours import Hours
from crossbook.market.book import OrderBook
from crossbook.market.book_state import Change, ChangeKind
from crossbook.market.references import References
from schemas.records import Delivery, FeeSchedule, FrictionPack, InstrumentListed, PairListed, Record


class BookView(Protocol):
    """A book as a strategy sees it; it reads and never changes it."""

    @property
    def book(self) -> OrderBook:
        """The levels, in YES terms."""

    @property
    def valid(self) -> bool:
        """Whether it is whole and uncrossed."""

    @property
    def reason(self) -> str:
        """Why it is not valid."""

    @property
    def delivery(self) -> Delivery:
        """Whether it is streamed or polled."""

    @property
    def ts_received_ns(self) -> int:
        """Stamp of the event that last changed or refreshed it, Unix ns."""


class MarketView(Protocol):
    """The market of a partition as a strategy sees it: everything said so far, nothing about where it stands in the log."""

    @property
    def now_ns(self) -> int:
        """Stream time, Unix ns."""

    @property
    def suspect(self) -> bool:
        """Whether a jump of the clock is claimed and not confirmed: nothing may be intended."""

    @property
    def instruments(self) -> Mapping[str, InstrumentListed]:
        """Listed instruments by id."""

    @property
    def pairs(self) -> Mapping[str, PairListed]:
        """Listed pairs by id, in the order of their listing."""

    @property
    def books(self) -> Mapping[str, BookView]:
        """Books by instrument."""

    @property
    def references(self) -> References:
        """Prices of what no prediction market sells."""

    @property
    def friction(self) -> FrictionPack | None:
        """Costs beside price and fee; None until they are told."""

    @property
    def identities(self) -> Identities:
        """What an id has stood for, and which ids were contradicted."""

    @property
    def settled(self) -> Mapping[str, int]:
        """Payout of YES in micros by instrument, once it is told."""

    def usable(self, instrument_id: str, at_ns: int = 0) -> bool:
        """Whether its book may be traded on now, or at a later moment."""

    def why_unusable(self, instrument_id: str) -> str:
        """Why its book may not be traded on now; empty when it may."""

    def hours(self, instrument_id: str, at_ns: int = 0) -> Hours:
        """Whether it trades now, or at a later moment, and until when that holds."""

    def schedule(self, instrument_id: str, ts_ns: int) -> FeeSchedule:
        """The fee schedule that charges a fill of a listed instrument at a moment."""


class Place(TypedDict):
    """Fields of a record that say what caused it; the fold's to set."""

    ts_ns: int
    log_id: str
    partition: int
    position: int
    index: int


#: Where a draft says nothing. An intent's id, number and `ts_received_ns` are the fold's too: "" and 0 in a draft.
UNPLACED: Final[Place] = {"ts_ns": 0, "log_id": "", "partition": -1, "position": -1, "index": -1}


class Draft(msgspec.Struct, frozen=True, gc=False):
    """A record of `signals` or `intents` that a strategy wants written, its group (the key), and the instruments that it names.

    The tops of those instruments are written before it, so that a reader finds there what it was decided on. Counters
    (EdgeStatistics) are written right before the next watermark.
    """

    record: Record
    group: str
    named: tuple[str, ...] = ()


class Strategy(Protocol):
    """One strategy in the fold of one partition."""

    @property
    def version(self) -> str:
        """What people call this state of it; the code digest is what counts."""

    @property
    def follows(self) -> frozenset[ChangeKind]:
        """Frequent changes that it asks for beside the others: trades.

        What every strategy is told: a book whose best level changed or that was polled anew, listings, pairs, feeds, venues, friction,
        references, observations; `suspect` on each event while the clock is suspect; `time` before each watermark.
        """

    def configure(self, settings: Mapping[str, str]) -> None:
        """Work under these settings from now on.

        Raises:
            StrategySettingsError: a setting is missing, unknown, or no value of its kind.
        """

    def on(self, view: MarketView, change: Change) -> Sequence[Draft]:
        """What a change makes known and wanted, in order. `view` holds the change already.

        It is called from the moment on that it was configured: what was listed before stands in the view.
        """

    def image(self) -> bytes:
        """Its whole state but for the settings, as UTF-8 JSON; equal states that came by the same events give equal bytes."""

    def restore(self, image: bytes) -> None:
        """Go on from an image, in a strategy that was just made and configured.

        Raises:
            ValueError: the bytes are no image (as `msgspec.DecodeError` is one).
        """


StrategyMaker: TypeAlias = Callable[[], Strategy]
#: Name → how to make one for a partition.
Strategies: TypeAlias = Mapping[str, StrategyMaker]
