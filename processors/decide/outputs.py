"""Builds the records that one event causes, numbered over all topics in the order they are written.

Decides only how facts are put into records, where a draft of a strategy stands, and that it is preceded by the tops it names. Must
never decide whether an edge opens or an intent is due.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from processors.decide.state import DecideState, Output
from processors.strategies.base import Draft
from schemas.records import RECORDS, QuoteIntent, Record, ReferenceTop, TakeIntent, TopOfBook, TradeIntent, Watermark
from schemas.topics import TOPICS

#: Hex digits of the log's id that an intent's id begins with.
LOG_ID_DIGITS: Final = 12
#: Records of `signals` that are the fold's alone.
_OWN: Final = frozenset({"TopOfBook", "ReferenceTop", "Watermark"})
_SIGNALS: Final = frozenset(RECORDS[name] for name in TOPICS["signals"].records if name not in _OWN)
_INTENTS: Final = (TradeIntent, QuoteIntent, TakeIntent)


class Outputs:
    """Outputs of the event that the market stands at; `written` is what is to be committed."""

    __slots__ = ("_cause", "_state", "_tops", "written")

    def __init__(self, state: DecideState, cause: Record) -> None:
        self._state = state
        self._cause = cause
        self._tops: set[str] = set()  # asked for membership only, so that its order never shows
        self.written: list[Output] = []

    def top(self, instrument_id: str) -> None:
        """Write the top of an instrument or a reference, once an event; nothing for one that was never listed or priced."""
        state = self._state
        group = state.groups.get(instrument_id)
        if instrument_id in self._tops:
            return
        if group is None:
            self._reference(instrument_id)
            return
        self._tops.add(instrument_id)
        market = state.market
        book_state = market.books.get(instrument_id)
        bid = None if book_state is None else book_state.book.best_bid
        ask = None if book_state is None else book_state.book.best_ask
        record = TopOfBook(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            instrument_id=instrument_id,
            valid=book_state is not None and book_state.valid,
            fresh=book_state is not None and market.fresh(book_state),
            bid_price_micros=None if bid is None else bid[0],
            bid_size_micros=None if bid is None else bid[1],
            ask_price_micros=None if ask is None else ask[0],
            ask_size_micros=None if ask is None else ask[1],
            ts_received_ns=market.clock.now_ns if book_state is None else book_state.ts_received_ns,
        )
        self.written.append(Output("signals", group, record))
        state.top_written_ns[instrument_id] = market.clock.now_ns
        state.tops_unwritten.pop(instrument_id, None)

    def _reference(self, reference_id: str) -> None:
        """Write the newest price of a reference, under its own id as key: it belongs to no group."""
        state = self._state
        market = state.market
        reference = market.references.prices.get(reference_id)
        if reference is None:
            return
        self._tops.add(reference_id)
        fresh = market.references.fresh(reference, market.clock.now_ns, market.feed_stale_ns)
        record = ReferenceTop(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            reference_id=reference_id,
            valid=reference.valid,
            fresh=fresh,
            bid_price_micros=reference.bid_price,
            bid_size_micros=reference.bid_size,
            ask_price_micros=reference.ask_price,
            ask_size_micros=reference.ask_size,
            ts_received_ns=reference.ts_received_ns,
        )
        self.written.append(Output("signals", reference_id, record))
        state.references_fresh[reference_id] = fresh
        state.top_written_ns[reference_id] = market.clock.now_ns
        state.tops_unwritten.pop(reference_id, None)

    def put(self, strategy: str, drafts: Iterable[Draft]) -> None:
        """Write what a strategy wants, each record after the tops of the instruments that it names."""
        market, written, replace = self._state.market, self.written, msgspec.structs.replace
        now_ns, log_id, partition, position = market.clock.now_ns, market.log_id, market.partition, market.position
        for draft in drafts:
            for instrument_id in draft.named:
                self.top(instrument_id)
            index = len(written)
            record = replace(
                draft.record, ts_ns=now_ns, log_id=log_id, partition=partition, position=position, index=index
            )
            if type(record) in _SIGNALS:
                written.append(Output("signals", draft.group, record))
                continue
            assert isinstance(record, _INTENTS), f"{strategy} may not write {type(record).__name__}"
            written.append(Output("intents", draft.group, replace(record, **self._intent(strategy, record))))

    def _intent(self, strategy: str, record: TradeIntent | QuoteIntent | TakeIntent) -> dict[str, Any]:
        """What only an intent has: its id, the strategy that wants it, the stamp of its cause, and its number."""
        market = self._state.market
        fields: dict[str, Any] = {
            "intent_id": f"{market.log_id[:LOG_ID_DIGITS]}-{market.partition}-{market.position}-{record.index}",
            "strategy": strategy,
            "ts_received_ns": self._cause.ts_received_ns,  # type: ignore[attr-defined]  # each record of `market` has it
        }
        self._state.intents += 1
        return fields | {"number": self._state.intents}

    def watermark(self) -> None:
        """Write the proof that everything up to here is folded."""
        state = self._state
        market = state.market
        record = Watermark(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            intents=state.intents,
            clamped=market.clock.clamped,
        )
        self.written.append(Output("signals", None, record))
