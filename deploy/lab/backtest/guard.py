"""Watches that nothing stamped after "now" reaches a decision: books, tops, settlements, intents, matches, reports.

Decides what is a look-ahead. Must never change what it watches. A record may be stamped ahead of stream time only under the clock's
own rule (a claim, on which nothing is intended, until a second feed confirms it); a claim that falls unconfirmed was a record from
the future, whose book stands from then on. A settlement is early when it comes before its instrument's close and neither a closed
listing nor the venue's own stamp says that the market had ended. Pure.
"""

from collections.abc import Mapping, Sized
from typing import Final, Literal

from crossbook.market.market_state import MarketState
from deploy.lab.backtest.errors import LookAheadError
from executors.terms import NS_PER_S, PaperTerms
from executors.venues.paper import WITHHELD
from executors.venues.paper_latency import decide_latency_ns, report_latency_ns, wire_latency_ns
from schemas.records import InstrumentSettled, OrderReport, OrderRequested, OrderSent, Record, TopSeen, TradeIntent

#: Clocks of venues differ from ours by less than this, or an alert says so (DESIGN, law 6).
VENUE_CLOCK_NS: Final = 5 * NS_PER_S
#: Reports of what became of a fill, which have a time of their own.
_ON_CHAIN: Final = frozenset({"MINED", "FAILED"})
#: Descriptions kept; further ones are counted.
KEPT_MAX: Final = 20


class LookAheadGuard:
    """One partition's watch. With `mode` warn findings are kept in `found` and counted in `count`."""

    def __init__(self, market: MarketState, mode: Literal["raise", "warn"]) -> None:
        self._market = market
        self._mode = mode
        self._claimed: dict[str, tuple[int, int, str]] = {}  # by feed: first unconfirmed (position, stamp, record type)
        self._requests: dict[str, tuple[OrderRequested, PaperTerms]] = {}
        self._left_ns: dict[str, int] = {}
        #: Stream time up to which things were done between two records.
        self.passed_ns = 0
        #: By order, the stream time of the books that it met.
        self.met_ns: Mapping[str, int] = {}
        self.found: list[str] = []
        self.count = 0

    @property
    def claims(self) -> Sized:
        """Claims that stand, as they do at any time; `ahead` is to be asked about every record while one does."""
        return self._claimed

    def fail(self, text: str) -> None:
        """Something was known too early."""
        text = f"look-ahead in market partition {self._market.partition}: {text}"
        if self._mode == "raise":
            raise LookAheadError(f"{text}; mend the log or its importer, or pass --guards warn to see how far it goes")
        self.count += 1
        if len(self.found) < KEPT_MAX:
            self.found.append(text)

    def ahead(self, position: int, record: Record) -> None:
        """A record was folded that is stamped after now, or a claim stands."""
        clock = self._market.clock
        stamp: int = getattr(record, "ts_received_ns", 0)
        feed: str | None = getattr(record, "feed", None)
        if stamp > clock.now_ns > 0:
            if (
                feed is not None and feed in clock.claims
            ):  # a reference's feed sets no clock, and nothing traded rests on it
                self._claimed.setdefault(feed, (position, stamp, _name(record)))
            elif isinstance(record, InstrumentSettled):
                self.fail(f"{_name(record)} at position {position} is stamped {stamp - clock.now_ns:,} ns after now")
        for name in list(self._claimed):
            first, claimed_ns, what = self._claimed[name]
            if claimed_ns <= clock.now_ns:
                del self._claimed[name]  # the future no more: another feed said the same, or time has come
            elif name not in clock.claims:
                del self._claimed[name]
                self.fail(
                    f"{what} at position {first} is stamped {claimed_ns}, which no other feed confirmed; now is {clock.now_ns} and "
                    "the book holds it"
                )

    def settled(self, position: int, record: InstrumentSettled) -> None:
        """A settlement was folded."""
        market = self._market
        now = market.now_ns
        listed = market.instruments.get(record.instrument_id)
        if record.ts_venue_ns is not None and record.ts_venue_ns > now + VENUE_CLOCK_NS:
            self.fail(
                f"{_name(record)} at position {position} is known at {now}, but its venue settles at {record.ts_venue_ns}"
            )
        elif (
            record.ts_venue_ns is None
            and listed is not None
            and listed.status == "active"
            and listed.ts_close_ns is not None
            and now < listed.ts_close_ns
        ):
            self.fail(
                f"{_name(record)} at position {position} is known at {now}, its instrument closes at {listed.ts_close_ns} "
                "and is still listed active"
            )

    def intent(self, position: int, intent: TradeIntent) -> None:
        """A trade is wanted."""
        now = self._market.now_ns
        if intent.position != position or intent.ts_ns > now or intent.ts_received_ns > now:
            self.fail(
                f"intent {intent.intent_id}, decided at position {position} and {now}, rests on {intent.ts_received_ns}"
            )

    def requested(self, request: OrderRequested, terms: PaperTerms) -> None:
        """An order was requested under these terms."""
        self._requests[request.order_id] = (request, terms)

    def sent(self, word: OrderSent) -> None:
        """An order left later than its terms say."""
        self._left_ns[word.order_id] = word.ts_ns

    def top(self, top: TopSeen) -> None:
        """A book was shown to a trade, for a decision at a moment."""
        now = self._market.now_ns
        if top.ts_ns < now:
            self.fail(
                f"the top of {top.instrument_id} for trade {top.trade_id} at {top.ts_ns} (position {top.position}) comes from books of "
                f"{now}, {now - top.ts_ns:,} ns younger"
            )

    def reported(self, report: OrderReport) -> None:
        """The paper venue answered."""
        request, terms = self._requests[report.order_id]
        left_ns = self._left_ns.get(report.order_id, request.ts_ns + decide_latency_ns(terms, report.order_id))
        withheld = report.reason == WITHHELD
        earliest_ns = left_ns + (0 if withheld else wire_latency_ns(terms, report.order_id))
        venue_ns = report.ts_ns if report.ts_venue_ns is None else report.ts_venue_ns
        now = max(self._market.now_ns, self.passed_ns)
        if (
            venue_ns < earliest_ns
            or report.ts_ns < venue_ns
            or report.ts_ns > now
            or report.position < request.position
        ):
            self.fail(
                f"report {report.report_id} of {venue_ns} reached us at {report.ts_ns} (position {report.position}, now {now}), "
                f"its order of position {request.position} can be at its venue at {earliest_ns} and no earlier"
            )
        met_ns = self.met_ns.get(report.order_id, 0)
        if report.last_quantity_micros and venue_ns < met_ns and report.reason not in _ON_CHAIN:
            self.fail(f"report {report.report_id} of a match at {venue_ns} rests on books of {met_ns}")
        if report.ts_ns < venue_ns + report_latency_ns(terms, report.order_id) and report.reason not in _ON_CHAIN:
            self.fail(f"report {report.report_id} took less than the report latency")

    def end(self) -> str:
        """What stands unconfirmed at the end, in words; empty: nothing."""
        if not self._claimed:
            return ""
        feed, (position, stamp, what) = next(iter(self._claimed.items()))
        return f"{what} of {feed} at position {position} claims {stamp} and no other feed confirmed it; nothing was intended since"


def _name(record: Record) -> str:
    target = getattr(record, "instrument_id", getattr(record, "feed", ""))
    return f"{type(record).__name__} {target}".strip()
