"""decide: what one event of a `market` partition makes known and wanted.

`step(state, position, record) -> outputs` is the whole decision. It folds the market, asks the strategies, gives their drafts a place,
and decides when tops and watermarks are due. Must never look at anything but its arguments: no clock, file, setting or environment;
settings arrive in the log as StrategyConfigured and MarketConfigured, and until the first MarketConfigured it only keeps track.
"""

from collections.abc import Sequence
from typing import Final

from crossbook.market.book_state import Change
from processors.decide.outputs import Outputs
from processors.decide.state import DecideState, Output
from processors.strategies.base import Draft
from schemas.records import EdgeStatistics, MarketConfigured, Record

_SUSPECT: Final = Change("suspect")
_TIME: Final = Change("time")


def step(state: DecideState, position: int, record: Record) -> Sequence[Output]:
    """Fold the record at a position; return what it causes, in order.

    While other code decides (its settings stand in force) nothing is caused: the record is folded in silence, so that this code can
    go on when its own settings come. Raises StrategySettingsError when a strategy cannot work under what our own code configured; the
    state is then not to be used any more.
    """
    market = state.market
    change = market.apply(position, record)
    kind = change.kind
    clock = market.clock
    if kind in state.may_be_idle:
        if not (change.top_changed or change.refreshed) and clock.now_ns < state.watermark_due_ns and not clock.claims:
            return ()
    elif kind in {"configured", "strategy"}:
        state.adopt(record)
    configured = market.configured
    if configured is None or not clock.now_ns:
        _track(state, change)
        return ()
    outputs = Outputs(state, record)
    if clock.claims:
        _ask(state, outputs, _SUSPECT)
    if kind == "book":
        if change.top_changed or change.refreshed:
            _book(state, outputs, configured, change)
    elif kind == "reference":
        _reference(state, outputs, configured, change)
    elif kind == "trade":
        _trade(state, outputs, change)
    elif kind not in {"none", "strategy"}:
        _track(state, change)
        _ask(state, outputs, change)
    forced = kind == "feed" and change.reason in {"down", "ended"}
    if forced or clock.now_ns >= state.watermark_due_ns:
        _tick(state, outputs, configured)
    return () if state.other_code else outputs.written


def skip(state: DecideState, position: int) -> None:
    """Pass a record that could not be decoded: an event that changes nothing."""
    state.market.skip(position)


def _track(state: DecideState, change: Change) -> None:
    """Keep groups and unwritten tops in step with a change; writes nothing."""
    kind = change.kind
    instrument_id = change.instrument_id
    market = state.market
    if kind == "book" and instrument_id is not None:
        if change.top_changed or change.refreshed:
            state.tops_unwritten[instrument_id] = None
    elif kind in {"instrument", "moved", "settled"} and instrument_id is not None:
        listed = market.instruments.get(instrument_id)
        if listed is not None:
            state.groups[instrument_id] = listed.group
        if instrument_id in market.books or kind == "moved":
            state.tops_unwritten[instrument_id] = None
    elif kind == "feed":
        for broken in change.instruments:
            state.tops_unwritten[broken] = None
    elif kind == "reference" and instrument_id is not None and change.top_changed:
        state.tops_unwritten[instrument_id] = None


def _ask(state: DecideState, outputs: Outputs, change: Change) -> None:
    """Tell every strategy of a change, in the order in which they were configured, and write what it wants."""
    for name, strategy in state.strategies.items():
        drafts = strategy.on(state.market, change)
        if drafts:
            outputs.put(name, drafts)


def _book(state: DecideState, outputs: Outputs, configured: MarketConfigured, change: Change) -> None:
    """A best level changed, or a polled book was polled anew: ask the strategies, then write its top if that is due."""
    instrument_id = change.instrument_id
    assert instrument_id is not None
    state.tops_unwritten[instrument_id] = None
    _ask(state, outputs, change)
    _top_if_due(state, outputs, configured, instrument_id)


def _reference(state: DecideState, outputs: Outputs, configured: MarketConfigured, change: Change) -> None:
    """A reference was priced: ask the strategies, then write its top if that is due."""
    reference_id = change.instrument_id
    if reference_id is None or not change.top_changed:
        return  # the word of a feed ends or restores freshness: the next tick tells
    state.tops_unwritten[reference_id] = None
    _ask(state, outputs, change)
    _top_if_due(state, outputs, configured, reference_id)


def _trade(state: DecideState, outputs: Outputs, change: Change) -> None:
    """Others traded: ask those who follow trades."""
    for name, strategy in state.strategies.items():
        if "trade" in strategy.follows:
            outputs.put(name, strategy.on(state.market, change))


def _top_if_due(state: DecideState, outputs: Outputs, configured: MarketConfigured, instrument_id: str) -> None:
    written_ns = state.top_written_ns.get(instrument_id)
    if written_ns is None or state.market.clock.now_ns - written_ns >= configured.top_interval_ns:
        outputs.top(instrument_id)


def _tick(state: DecideState, outputs: Outputs, configured: MarketConfigured) -> None:
    """Stream time has come for a watermark: ask the strategies, write what waits, then counters, then the watermark itself."""
    market = state.market
    now = market.clock.now_ns
    counters: list[tuple[str, list[Draft]]] = []
    for name, strategy in state.strategies.items():
        drafts = strategy.on(market, _TIME)
        counted = [draft for draft in drafts if type(draft.record) is EdgeStatistics]
        if len(counted) < len(drafts):
            outputs.put(name, [draft for draft in drafts if type(draft.record) is not EdgeStatistics])
        counters.append((name, counted))
    if market.references.prices:
        _note_freshness(state)
    for instrument_id in list(state.tops_unwritten):
        _top_if_due(state, outputs, configured, instrument_id)
    for name, counted in counters:
        outputs.put(name, counted)
    outputs.watermark()
    state.watermark_due_ns = now + configured.watermark_interval_ns


def _note_freshness(state: DecideState) -> None:
    """Have the top of a reference written anew when it went stale, or is fresh again, since it was last written.

    Whoever carries its last price on would take silence for a price that stands still.
    """
    market = state.market
    for reference_id, reference in market.references.prices.items():
        fresh = market.references.fresh(reference, market.clock.now_ns, market.feed_stale_ns)
        if fresh != state.references_fresh.get(reference_id, fresh):
            state.tops_unwritten[reference_id] = None
