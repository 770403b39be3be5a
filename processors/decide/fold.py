"""decide: what one event of a `market` partition makes known and wanted.

`step(state, position, record) -> outputs` is the whole decision. It decides when an edge opens, changes, closes or is suspended,
what is counted, and when a TradeIntent is due. Must never look at anything but its arguments: no clock, file, setting or
environment; settings arrive in the log as DecideConfigured, and until the first one it only keeps track.

One evaluation is counted a pair and package whenever a best level of either leg changed, or a polled leg was polled anew, while
both books are usable, both sides to be bought are displayed, and the clock is not suspect. A change at a depth below the best
levels is not a new evaluation. Episodes are runs of consecutive evaluations; a suspension between two does not end one.
"""

from collections.abc import Sequence

from crossbook.market.book import Level
from crossbook.market.book_state import Change
from crossbook.market.market_state import MarketState
from processors.decide.outputs import Outputs
from processors.decide.state import DecideState, Output, PackageState, PairState, make_package_terms
from processors.errors import CodeDigestError
from processors.strategies.edges import NOTHING, Evaluation, Refused, Terms, cap_quantity, evaluate, leaves_in_whole
from schemas.records import (
    DecideConfigured,
    InstrumentListed,
    IntentLeg,
    OrderMinimum,
    Package,
    PairListed,
    Record,
)

#: Trading in the instrument has ended: its quotes are closed, not suspended.
_OVER = frozenset({"closed", "after_close"})
#: Changes that cause nothing by themselves unless a best level changed or a polled book was polled anew.
_MAY_BE_IDLE = frozenset({"book", "none", "trade", "reference"})


def step(state: DecideState, position: int, record: Record) -> Sequence[Output]:
    """Fold the record at a position; return what it causes, in order.

    Raises CodeDigestError when the record configures other decision code than the one that runs; the state is then not to be
    used any more.
    """
    market = state.market
    change = market.apply(position, record)
    kind = change.kind
    clock = market.clock
    if kind in _MAY_BE_IDLE:
        if not (change.top_changed or change.refreshed) and clock.now_ns < state.watermark_due_ns and not clock.claims:
            return ()
    elif kind == "configured":
        _adopt(state)
    configured = market.configured
    if configured is None or not clock.now_ns:
        _track(state, change)
        return ()
    outputs = Outputs(state)
    if clock.claims and state.quotes:
        _suspend_unusable(state, outputs)
    if kind == "book":
        _book(state, outputs, configured, change)
    elif kind == "reference":
        _reference(state, outputs, configured, change)
    elif kind not in {"none", "trade"}:
        _track(state, change)
        _listing(state, outputs, change)
    forced = kind == "feed" and change.reason in {"down", "ended"}
    if forced or clock.now_ns >= state.watermark_due_ns:
        _tick(state, outputs, configured)
    return outputs.written


def skip(state: DecideState, position: int) -> None:
    """Pass a record that could not be decoded: an event that changes nothing."""
    state.market.skip(position)


def _adopt(state: DecideState) -> None:
    configured = state.market.configured
    assert configured is not None
    if configured.code_digest != state.code_digest:
        raise CodeDigestError(
            partition=state.market.partition,
            position=state.market.position,
            configured=configured.code_digest,
            running=state.code_digest,
        )


def _track(state: DecideState, change: Change) -> None:
    """Keep memos and unwritten tops in step with a change; writes nothing."""
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
        for pair_id in state.pairs_of(instrument_id):
            state.forget_terms(pair_id)
    elif kind == "pair" and change.pair_id is not None:
        state.list_pair(market.pairs[change.pair_id])
    elif kind == "contradicted" and change.pair_id is not None:
        state.forget_terms(change.pair_id)
    elif kind == "delisted":
        state.forget_pairs()
        if change.pair_id is not None:
            state.forget_terms(change.pair_id)
    elif kind == "friction":
        for pair_id in state.pairs:
            state.forget_terms(pair_id)
    elif kind == "feed":
        for broken in change.instruments:
            state.tops_unwritten[broken] = None
    elif kind == "reference" and instrument_id is not None and change.top_changed:
        state.tops_unwritten[instrument_id] = None


def _book(state: DecideState, outputs: Outputs, configured: DecideConfigured, change: Change) -> None:
    """A book was touched: evaluate its pairs if that may matter, then write its top if that is due."""
    instrument_id = change.instrument_id
    assert instrument_id is not None
    if not (change.top_changed or change.refreshed):
        return
    state.tops_unwritten[instrument_id] = None
    for pair_id in state.pairs_of(instrument_id):
        _evaluate_pair(state, outputs, configured, pair_id)
    written_ns = state.top_written_ns.get(instrument_id)
    if written_ns is None or state.market.clock.now_ns - written_ns >= configured.top_interval_ns:
        outputs.top(instrument_id)


def _reference(state: DecideState, outputs: Outputs, configured: DecideConfigured, change: Change) -> None:
    """A reference was priced: write its top if that is due. No pair is evaluated: nothing traded rests on a reference."""
    reference_id = change.instrument_id
    if reference_id is None or not change.top_changed:
        return  # the word of a feed ends or restores freshness: the next tick tells
    state.tops_unwritten[reference_id] = None
    written_ns = state.top_written_ns.get(reference_id)
    if written_ns is None or state.market.clock.now_ns - written_ns >= configured.top_interval_ns:
        outputs.top(reference_id)


def _listing(state: DecideState, outputs: Outputs, change: Change) -> None:
    """Something other than a book changed: quotes that rested on it are closed or suspended at once."""
    kind = change.kind
    if kind == "delisted" and change.pair_id is not None:
        for key in [key for key in state.quotes if key[0] == change.pair_id]:
            _end(state, outputs, key, "delisted")
    elif kind == "pair" and change.pair_id is not None:
        _, _, packages = state.active(change.pair_id)
        wanted = {package.package for package in packages}
        for key in [key for key in state.quotes if key[0] == change.pair_id and key[1] not in wanted]:
            _end(state, outputs, key, "relation_changed")
    elif kind == "contradicted" and change.pair_id is not None:
        pair, _, packages = state.active(change.pair_id)
        for package in packages:
            _refuse(state, outputs, pair, package, change.reason)
    elif kind in {"moved", "settled", "instrument"} and change.instrument_id is not None:
        closed = kind == "instrument" and state.market.hours(change.instrument_id).shut in _OVER
        if kind != "instrument" or closed:
            reason = "closed" if closed else kind
            pairs = set(state.pairs_of(change.instrument_id))
            for key in [key for key in state.quotes if key[0] in pairs]:
                _end(state, outputs, key, reason)
    if state.quotes:
        _suspend_unusable(state, outputs)


def _evaluate_pair(state: DecideState, outputs: Outputs, configured: DecideConfigured, pair_id: str) -> None:
    market = state.market
    pair, pair_state, packages = state.active(pair_id)
    if market.clock.claims or not (market.usable(pair.instrument_a) and market.usable(pair.instrument_b)):
        for package in packages:
            if package.status == "open":
                _suspend(outputs, pair, package, _why_unusable(market, pair))
        return
    for package in packages:
        _evaluate_package(state, outputs, configured, pair, pair_state, package)


def _evaluate_package(
    state: DecideState,
    outputs: Outputs,
    configured: DecideConfigured,
    pair: PairListed,
    pair_state: PairState,
    package: PackageState,
) -> None:
    market = state.market
    terms = package.terms
    if terms is None or market.clock.now_ns >= package.terms_until_ns:
        terms = make_package_terms(market, pair, package)
    if isinstance(terms, Refused):
        _refuse(state, outputs, pair, package, terms.reason)
        return
    book_a, book_b = market.books[pair.instrument_a].book, market.books[pair.instrument_b].book
    best_a, best_b = book_a.best_to_buy(terms.outcome_a), book_b.best_to_buy(terms.outcome_b)
    if best_a is None or best_b is None:
        if package.status != "none":
            _quote(state, outputs, pair, package, NOTHING, "no_depth")
        return
    if best_a[0] + best_b[0] >= terms.payout_micros and package.status == "none":
        _count(state, configured, package, None, counts=False)
        return
    levels_a, levels_b = book_a.levels_to_buy(terms.outcome_a), book_b.levels_to_buy(terms.outcome_b)
    evaluation = evaluate(terms, levels_a, levels_b, market.clock.now_ns)
    if isinstance(evaluation, Refused):
        _refuse(state, outputs, pair, package, evaluation.reason)
        return
    package.refusal = ""
    levels = (levels_a, levels_b)
    counts = evaluation.net_micros > 0 and leaves_in_whole(terms, *levels, market.clock.now_ns, evaluation)
    _count(state, configured, package, evaluation, counts=counts)
    _quote_if_news(state, outputs, configured, pair, package, terms, evaluation)
    if evaluation.net_micros > 0 and _intent_allowed(market, configured, pair, pair_state):
        _intend(state, outputs, configured, pair, pair_state, package, terms, evaluation, levels_a, levels_b)


def _count(
    state: DecideState,
    configured: DecideConfigured,
    package: PackageState,
    evaluation: Evaluation | None,
    *,
    counts: bool,
) -> None:
    """Count an evaluation; None stands for one without gross, whose waterfall nobody asked for.

    `counts`: levels taken whole leave something, see `leaves_in_whole`.
    """
    state.statistics_unwritten[package.pair_id, package.package] = None
    package.evaluations += 1
    if evaluation is None:
        package.in_episode = package.in_episode_at_threshold = False
        return
    if evaluation.gross_top_micros > 0:
        package.gross_positive += 1
        best = evaluation.net_per_contract_nearest_micros
        if package.net_best_micros is None or best > package.net_best_micros:
            package.net_best_micros = best
    if counts:
        package.net_positive += 1
        package.episodes += not package.in_episode
    package.in_episode = counts
    above = counts and evaluation.net_per_contract_micros >= configured.min_edge_micros
    if above:
        package.at_threshold += 1
        package.episodes_at_threshold += not package.in_episode_at_threshold
    package.in_episode_at_threshold = above


def _quote_if_news(
    state: DecideState,
    outputs: Outputs,
    configured: DecideConfigured,
    pair: PairListed,
    package: PackageState,
    terms: Terms,
    evaluation: Evaluation,
) -> None:
    if evaluation.net_micros <= 0:
        if package.status != "none":
            _quote(state, outputs, pair, package, evaluation, "no_net")
        return
    if package.status == "open":
        quoted = package.quoted
        moved = abs(evaluation.net_per_contract_micros - quoted.net_per_contract_micros)
        resized = abs(evaluation.quantity_micros - quoted.quantity_micros)
        if moved < configured.edge_change_micros and resized < terms.step_micros:
            return
    _quote(state, outputs, pair, package, evaluation, "")


def _quote(
    state: DecideState,
    outputs: Outputs,
    pair: PairListed,
    package: PackageState,
    evaluation: Evaluation,
    reason_closed: str,
) -> None:
    """Open or change a quote, or close it when a reason is given."""
    key = (package.pair_id, package.package)
    if reason_closed:
        outputs.quote(pair, package, "closed", reason_closed, evaluation)
        package.status = "none"
        package.quoted = NOTHING
        package.refusal = ""
        state.quotes.pop(key, None)
        return
    outputs.quote(pair, package, "changed" if package.status == "open" else "opened", "", evaluation)
    package.status = "open"
    package.quoted = evaluation
    state.quotes[key] = None


def _end(state: DecideState, outputs: Outputs, key: tuple[str, Package], reason: str) -> None:
    """Close a quote whose pair or leg is gone; its last waterfall is repeated."""
    package = state.package(key)
    _quote(state, outputs, state.pairs[key[0]].listing, package, package.quoted, reason)


def _suspend(outputs: Outputs, pair: PairListed, package: PackageState, reason: str) -> None:
    """A leg cannot be relied on: the last waterfall is repeated and stands until the package is evaluated again."""
    outputs.quote(pair, package, "suspended", reason, package.quoted)
    package.status = "suspended"


def _suspend_unusable(state: DecideState, outputs: Outputs) -> None:
    """Suspend every open quote that time, a feed or the clock has overtaken."""
    market = state.market
    for key in state.quotes:
        package = state.package(key)
        if package.status != "open":
            continue
        pair = state.pairs[key[0]].listing
        reason = _why_unusable(market, pair)
        if reason:
            _suspend(outputs, pair, package, reason)


def _refuse(state: DecideState, outputs: Outputs, pair: PairListed, package: PackageState, reason: str) -> None:
    """A package cannot be priced: say so once a reason, loudly, as a suspended quote without quantity."""
    if package.refusal == reason and package.status != "open":
        return
    package.refusal = reason
    package.quoted = NOTHING
    outputs.quote(pair, package, "suspended", reason, NOTHING)
    package.status = "suspended"
    state.quotes[package.pair_id, package.package] = None


def _why_unusable(market: MarketState, pair: PairListed) -> str:
    """Why a pair may not be quoted now; empty when it may."""
    if market.clock.claims:
        return "clock_suspect"
    for leg, instrument_id in (("a", pair.instrument_a), ("b", pair.instrument_b)):
        if market.usable(instrument_id):
            continue
        book_state = market.books.get(instrument_id)
        if book_state is None:
            return f"leg_{leg}_no_book"
        if not book_state.valid:
            return f"leg_{leg}_{book_state.reason}"
        return f"leg_{leg}_stale" if not market.fresh(book_state) else f"leg_{leg}_{market.hours(instrument_id).shut}"
    return ""


# Intents


def _intent_allowed(market: MarketState, configured: DecideConfigured, pair: PairListed, pair_state: PairState) -> bool:
    """Whether time and status allow an intent on the pair at all."""
    now = market.clock.now_ns
    last = pair_state.last_intent_ns
    if last is not None and now - last < configured.cooldown_ns:
        return False
    return _open_for_intents(market, pair.instrument_a, configured, now) and _open_for_intents(
        market, pair.instrument_b, configured, now
    )


def _open_for_intents(market: MarketState, instrument_id: str, configured: DecideConfigured, now: int) -> bool:
    """It trades, and goes on trading for the closing window: a hedge needs that time before a close and before a pause."""
    trading = market.hours(instrument_id)
    if trading.shut or now >= trading.until_ns - configured.close_window_ns:
        return False
    start = market.instruments[instrument_id].ts_game_start_ns
    return start is None or abs(now - start) >= configured.game_start_window_ns


def _intend(
    state: DecideState,
    outputs: Outputs,
    configured: DecideConfigured,
    pair: PairListed,
    pair_state: PairState,
    package: PackageState,
    terms: Terms,
    evaluation: Evaluation,
    levels_a: list[Level],
    levels_b: list[Level],
) -> None:
    """Intend the quoted quantity if its average net reaches the threshold, else the part whose marginal net does.

    Both are cut to the cost cap of a leg; what falls below a venue's minimum is not intended.
    """
    now = state.market.clock.now_ns
    least = configured.min_edge_micros
    if terms.payout_micros - levels_a[0][0] - levels_b[0][0] < least:
        return  # not even the best levels leave that before fees
    if evaluation.net_per_contract_micros < least:
        narrower = evaluate(terms, levels_a, levels_b, now, marginal_micros=least)
        if isinstance(narrower, Refused):
            return
        evaluation = narrower
    wanted = cap_quantity(terms, levels_a, levels_b, now, evaluation, configured.cost_max_micros)
    if isinstance(wanted, Refused) or wanted.net_micros <= 0 or wanted.net_per_contract_micros < least:
        return
    instruments = state.market.instruments
    leg_a = _leg(instruments[pair.instrument_a], wanted, levels_a, terms, first=True)
    leg_b = _leg(instruments[pair.instrument_b], wanted, levels_b, terms, first=False)
    if leg_a is None or leg_b is None:
        return
    outputs.intent(pair, package, wanted, (leg_a, leg_b))
    pair_state.last_intent_ns = now


def _leg(
    listed: InstrumentListed, wanted: Evaluation, levels: list[Level], terms: Terms, *, first: bool
) -> IntentLeg | None:
    """One leg of an intent, or None below the venue's minimum for a marketable buy (or if that is not known)."""
    minimum = _marketable_minimum(listed)
    price, cost, fee = (
        (wanted.price_a_micros, wanted.cost_a_micros, wanted.fee_a_micros)
        if first
        else (wanted.price_b_micros, wanted.cost_b_micros, wanted.fee_b_micros)
    )
    if minimum is None or wanted.quantity_micros < minimum.quantity_micros or cost < minimum.notional_micros:
        return None
    return IntentLeg(
        instrument_id=listed.instrument_id,
        venue=listed.venue,
        outcome=terms.outcome_a if first else terms.outcome_b,
        price_limit_micros=price,
        cost_micros=cost,
        fee_micros=fee,
        depth_micros=sum(size for level_price, size in levels if level_price <= price),
        quantity_step_micros=listed.quantity_step_micros,
        quantity_minimum_micros=minimum.quantity_micros,
        notional_minimum_micros=minimum.notional_micros,
        taker_delay_ms=listed.taker_delay_ms,
        grid=listed.grid,
        fee_schedule=terms.schedule_a if first else terms.schedule_b,
        category=listed.category,
        shard=listed.shard,
        lead_rank=listed.policy.lead_rank,
    )


def _marketable_minimum(listed: InstrumentListed) -> OrderMinimum | None:
    for minimum in listed.minimums:
        if minimum.order_type == "marketable" and minimum.side == "buy":
            return minimum
    return None


# Time


def _tick(state: DecideState, outputs: Outputs, configured: DecideConfigured) -> None:
    """Stream time has come for a watermark: suspend what is stale, write what waits, then the watermark itself."""
    market = state.market
    now = market.clock.now_ns
    if state.quotes:
        _suspend_unusable(state, outputs)
    if market.references.prices:
        _note_freshness(state)
    for instrument_id in list(state.tops_unwritten):
        written_ns = state.top_written_ns.get(instrument_id)
        if written_ns is None or now - written_ns >= configured.top_interval_ns:
            outputs.top(instrument_id)
    for key in state.statistics_unwritten:
        outputs.statistics(state.pairs[key[0]].listing.group, state.package(key))
    state.statistics_unwritten.clear()
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
