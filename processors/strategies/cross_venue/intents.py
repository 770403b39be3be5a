"""Decides when a quoted edge is intended, and how much of it."""

from processors.strategies.base import Draft, MarketView
from processors.strategies.cross_venue import drafts
from processors.strategies.cross_venue.settings import CrossVenueSettings
from processors.strategies.cross_venue.state import PackageState, PairState
from processors.strategies.edges import Evaluation, Levels, Refused, Terms, cap_quantity, evaluate
from schemas.records import InstrumentListed, IntentLeg, OrderMinimum, PairListed


def intent_allowed(view: MarketView, settings: CrossVenueSettings, pair: PairListed, pair_state: PairState) -> bool:
    """Whether time and status allow an intent on the pair at all."""
    now = view.now_ns
    last = pair_state.last_intent_ns
    if last is not None and now - last < settings.cooldown_ns:
        return False
    return _open_for_intents(view, pair.instrument_a, settings, now) and _open_for_intents(
        view, pair.instrument_b, settings, now
    )


def _open_for_intents(view: MarketView, instrument_id: str, settings: CrossVenueSettings, now: int) -> bool:
    """It trades, and goes on trading for the closing window: a hedge needs that time before a close and before a pause."""
    trading = view.hours(instrument_id)
    if trading.shut or now >= trading.until_ns - settings.close_window_ns:
        return False
    start = view.instruments[instrument_id].ts_game_start_ns
    return start is None or abs(now - start) >= settings.game_start_window_ns


def intend(
    view: MarketView,
    settings: CrossVenueSettings,
    pair: PairListed,
    package: PackageState,
    terms: Terms,
    evaluation: Evaluation,
    levels: Levels,
) -> Draft | None:
    """Intend the quoted quantity if its average net reaches the threshold, else the part whose marginal net does.

    Both are cut to the cost cap of a leg; what falls below a venue's minimum is not intended.
    """
    now = view.now_ns
    least = settings.min_edge_micros
    levels_a, levels_b = levels
    if terms.payout_micros - levels_a[0][0] - levels_b[0][0] < least:
        return None  # not even the best levels leave that before fees
    if evaluation.net_per_contract_micros < least:
        narrower = evaluate(terms, levels_a, levels_b, now, marginal_micros=least)
        if isinstance(narrower, Refused):
            return None
        evaluation = narrower
    wanted = cap_quantity(terms, levels_a, levels_b, now, evaluation, settings.cost_max_micros)
    if isinstance(wanted, Refused) or wanted.net_micros <= 0 or wanted.net_per_contract_micros < least:
        return None
    leg_a = _leg(view.instruments[pair.instrument_a], wanted, levels, terms, first=True)
    leg_b = _leg(view.instruments[pair.instrument_b], wanted, levels, terms, first=False)
    if leg_a is None or leg_b is None:
        return None
    return drafts.intent(view, settings, pair, package, wanted, (leg_a, leg_b))


def _leg(listed: InstrumentListed, wanted: Evaluation, both: Levels, terms: Terms, *, first: bool) -> IntentLeg | None:
    """One leg of an intent, or None below the venue's minimum for a marketable buy (or if that is not known)."""
    minimum = _marketable_minimum(listed)
    levels, price, cost, fee = (
        (both[0], wanted.price_a_micros, wanted.cost_a_micros, wanted.fee_a_micros)
        if first
        else (both[1], wanted.price_b_micros, wanted.cost_b_micros, wanted.fee_b_micros)
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
