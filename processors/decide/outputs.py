"""Builds the records that one event causes, numbered over all topics in the order they are written.

Decides only how facts are put into records and that a quote or an intent is preceded by the tops it names. Must never decide
whether a quote opens or an intent is due.
"""

from crossbook.domain.names import CROSS_VENUE
from processors.decide.state import DecideState, Output, PackageState
from processors.strategies.edges import Evaluation
from schemas.records import (
    EdgeQuote,
    EdgeState,
    EdgeStatistics,
    IntentLeg,
    PairListed,
    TopOfBook,
    TradeIntent,
    Watermark,
)

#: Hex digits of the log's id that an intent's id begins with.
LOG_ID_DIGITS = 12


class Outputs:
    """Outputs of the event that the market stands at; `written` is what is to be committed."""

    __slots__ = ("_state", "_tops", "written")

    def __init__(self, state: DecideState) -> None:
        self._state = state
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
        """Write the newest price of a reference as a top, under its own id as key: it belongs to no group."""
        state = self._state
        market = state.market
        reference = market.references.prices.get(reference_id)
        if reference is None:
            return
        self._tops.add(reference_id)
        fresh = market.references.fresh(reference, market.clock.now_ns, market.feed_stale_ns)
        record = TopOfBook(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            instrument_id=reference_id,
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

    def quote(
        self, pair: PairListed, package: PackageState, edge_state: EdgeState, reason: str, evaluation: Evaluation
    ) -> None:
        """Write an EdgeQuote, after the tops of both legs."""
        self.top(pair.instrument_a)
        self.top(pair.instrument_b)
        market = self._state.market
        configured = market.configured
        assert configured is not None, "nothing is quoted before DecideConfigured"
        per_contract = evaluation.net_per_contract_micros
        record = EdgeQuote(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            pair_id=pair.pair_id,
            package=package.package,
            state=edge_state,
            reason=reason,
            quantity_micros=evaluation.quantity_micros,
            price_a_micros=evaluation.price_a_micros,
            price_b_micros=evaluation.price_b_micros,
            cost_a_micros=evaluation.cost_a_micros,
            cost_b_micros=evaluation.cost_b_micros,
            payout_micros=evaluation.payout_micros,
            gross_micros=evaluation.gross_micros,
            fee_a_micros=evaluation.fee_a_micros,
            fee_b_micros=evaluation.fee_b_micros,
            friction_micros=evaluation.friction_micros,
            lockup_micros=evaluation.lockup_micros,
            net_micros=evaluation.net_micros,
            net_per_contract_micros=per_contract,
            distance_micros=per_contract - configured.min_edge_micros,
            schedule_a=self._schedule_hash(pair.instrument_a),
            schedule_b=self._schedule_hash(pair.instrument_b),
            friction_hash="" if market.friction is None else market.friction.hash,
        )
        self.written.append(Output("signals", pair.group, record))

    def _schedule_hash(self, instrument_id: str) -> str:
        market = self._state.market
        if instrument_id not in market.instruments:
            return ""
        return market.schedule(instrument_id, market.clock.now_ns).hash

    def intent(
        self, pair: PairListed, package: PackageState, evaluation: Evaluation, legs: tuple[IntentLeg, ...]
    ) -> None:
        """Write a TradeIntent, after the tops of both legs, and count it."""
        self.top(pair.instrument_a)
        self.top(pair.instrument_b)
        state = self._state
        market = state.market
        configured, friction = market.configured, market.friction
        assert configured is not None, "nothing is intended before DecideConfigured"
        assert friction is not None, "a package without friction has no terms"
        state.intents += 1
        index = len(self.written)
        now = market.clock.now_ns
        record = TradeIntent(
            intent_id=f"{market.log_id[:LOG_ID_DIGITS]}-{market.partition}-{market.position}-{index}",
            strategy=CROSS_VENUE,
            ts_ns=now,
            ts_received_ns=self._ts_cause_ns(pair),
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=index,
            number=state.intents,
            pair_id=pair.pair_id,
            package=package.package,
            quantity_micros=evaluation.quantity_micros,
            legs=legs,
            payout_micros=evaluation.payout_micros,
            gross_micros=evaluation.gross_micros,
            friction_micros=evaluation.friction_micros,
            lockup_micros=evaluation.lockup_micros,
            net_micros=evaluation.net_micros,
            net_per_contract_micros=evaluation.net_per_contract_micros,
            friction_hash=friction.hash,
            valid_until_ns=now + configured.intent_valid_ns,
            friction_fixed_micros=friction.gas_micros,
            edge_min_micros=configured.min_edge_micros,
        )
        self.written.append(Output("intents", pair.group, record))

    def _ts_cause_ns(self, pair: PairListed) -> int:
        """Receive stamp of the causing event: the leg that was touched at this position."""
        books = self._state.market.books
        leg_a, leg_b = books[pair.instrument_a], books[pair.instrument_b]
        return (leg_a if leg_a.refreshed_position > leg_b.refreshed_position else leg_b).ts_received_ns

    def statistics(self, group: str, package: PackageState) -> None:
        """Write the counters of a package."""
        market = self._state.market
        record = EdgeStatistics(
            ts_ns=market.clock.now_ns,
            log_id=market.log_id,
            partition=market.partition,
            position=market.position,
            index=len(self.written),
            pair_id=package.pair_id,
            package=package.package,
            evaluations=package.evaluations,
            gross_positive=package.gross_positive,
            net_positive=package.net_positive,
            episodes=package.episodes,
            at_threshold=package.at_threshold,
            episodes_at_threshold=package.episodes_at_threshold,
            net_best_micros=package.net_best_micros,
        )
        self.written.append(Output("signals", group, record))

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
