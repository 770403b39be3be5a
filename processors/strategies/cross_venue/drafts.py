"""Puts what the cross-venue strategy found into drafts of records. Decides nothing.

The empty place is written out, where `**UNPLACED` would do: a call with unpacked keywords takes three times as long.
"""

from processors.strategies.base import Draft, MarketView
from processors.strategies.cross_venue.settings import NAME, CrossVenueSettings
from processors.strategies.cross_venue.state import PackageState
from processors.strategies.edges import Evaluation
from schemas.records import EdgeState, EdgeStatistics, EdgeUpdate, IntentLeg, PairListed, TradeIntent


def edge(
    view: MarketView,
    settings: CrossVenueSettings,
    pair: PairListed,
    package: PackageState,
    edge_state: EdgeState,
    reason: str,
    evaluation: Evaluation,
) -> Draft:
    """The word that an edge opened, changed, closed or is suspended."""
    per_contract = evaluation.net_per_contract_micros
    friction, now = view.friction, view.now_ns
    record = EdgeUpdate(
        ts_ns=0,
        log_id="",
        partition=-1,
        position=-1,
        index=-1,
        strategy=NAME,
        pair_id=pair.pair_id,
        instrument_a=pair.instrument_a,
        instrument_b=pair.instrument_b,
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
        distance_micros=per_contract - settings.min_edge_micros,
        schedule_a=_schedule_hash(view, pair.instrument_a, now),
        schedule_b=_schedule_hash(view, pair.instrument_b, now),
        friction_hash="" if friction is None else friction.hash,
    )
    return Draft(record, pair.group, (pair.instrument_a, pair.instrument_b))


def _schedule_hash(view: MarketView, instrument_id: str, now: int) -> str:
    if instrument_id not in view.instruments:
        return ""
    return view.schedule(instrument_id, now).hash


def intent(
    view: MarketView,
    settings: CrossVenueSettings,
    pair: PairListed,
    package: PackageState,
    evaluation: Evaluation,
    legs: tuple[IntentLeg, ...],
) -> Draft:
    """The wish to buy both legs."""
    friction = view.friction
    assert friction is not None, "a package without friction has no terms"
    record = TradeIntent(
        ts_ns=0,
        log_id="",
        partition=-1,
        position=-1,
        index=-1,
        intent_id="",
        strategy="",
        ts_received_ns=0,
        number=0,
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
        valid_until_ns=view.now_ns + settings.intent_valid_ns,
        friction_fixed_micros=friction.gas_micros,
        edge_min_micros=settings.min_edge_micros,
    )
    return Draft(record, pair.group, (pair.instrument_a, pair.instrument_b))


def statistics(group: str, package: PackageState) -> Draft:
    """The counters of a package."""
    record = EdgeStatistics(
        ts_ns=0,
        log_id="",
        partition=-1,
        position=-1,
        index=-1,
        strategy=NAME,
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
    return Draft(record, group)
