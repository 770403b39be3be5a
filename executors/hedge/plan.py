"""Which leg leads, and how far the orders that a trade may ever send can go.

Decides the leader and the bounds that are committed before the first byte leaves: of hedges and of unwinds, for both directions in
which a trade can be unmatched (a reversed or late fill turns the direction round). A bound fixes, for one role at one leg and side,
worst price, largest quantity, deadline, and how many orders there may be; what is sent under it is a function of the fills. Must
never plan a price off the grid.

Ids of the orders, with H hedge and U unwind attempts:

    l1                 buy the leader
    h1 .. hH           buy the hedge            (too little of the hedge)
    hH+1 .. h2H        buy the leader           (too little of the leader: a fill of it was reversed)
    u1 .. uU           sell the leader          (too little of the hedge)
    uU+1 .. u2U        buy the hedge dearly     (the cheaper way out of the same)
    u2U+1 .. u3U       sell the hedge           (too little of the leader)
    u3U+1 .. u4U       buy the leader dearly    (the cheaper way out of the same)
"""

from collections.abc import Callable
from typing import Final

from crossbook.domain.fees import taker_fee
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS, ceil_div, cost_micros
from executors.errors import PlanError
from executors.hedge.trade import OTHER, LegName, common_step
from executors.journal import trade_id_of
from executors.orders.order import order_id_of
from executors.terms import NS_PER_S, ExecuteTerms
from schemas.records import IntentLeg, PlanBound, Role, Side, TimeInForce, TradeIntent, TradePlan

#: Until when a trade may send orders. Chain reorganisations and venue pauses that reverse a fill are over by then or need
#: a person.
TRADE_HORIZON_NS: Final = 600 * NS_PER_S


def choose_leader(intent: TradeIntent, leader_advised: str | None = None) -> bool | None:
    """Whether leg a leads; None when both legs hold takers back (no trade).

    A delayed leg leads, because nobody can wait for it with a naked position. Else the leg of the smaller rank, which its venue's
    listings state: what fills exactly as asked can hedge. Else the leg that lead-lag advice names, the one that *moves first*, is bought first: its next move comes
    without a warning and would take the price away from under a naked leg, while the follower's price stays for its lag where the
    leader already said it would go, and the hedge needs a fraction of that. Else the thinner book leads: what may fail fails
    first. Advice about an instrument that is no leg counts for nothing.
    """
    a, b = intent.legs
    if a.taker_delay_ms and b.taker_delay_ms:
        return None
    if a.taker_delay_ms or b.taker_delay_ms:
        return bool(a.taker_delay_ms)
    if a.lead_rank != b.lead_rank:
        return a.lead_rank < b.lead_rank
    if leader_advised in (a.instrument_id, b.instrument_id) and a.instrument_id != b.instrument_id:
        return leader_advised == a.instrument_id
    return a.depth_micros <= b.depth_micros


def outcome_grid(leg: IntentLeg) -> PriceGrid:
    """Grid of the leg's outcome, in its own terms."""
    grid = PriceGrid.from_ranges(leg.grid)
    return grid if leg.outcome == "yes" else grid.mirrored()


def highest_price(grid: PriceGrid, low: int, high: int, pays: Callable[[int], bool]) -> int:
    """Highest price of the grid from `low`, which pays, to `high` that pays: bisected, because dearer pays less. Both are valid."""
    while low < high:
        middle = grid.ceil((low + high + 1) // 2)
        if pays(middle):
            low = middle
        else:
            high = grid.floor(middle - 1)
    return low


def minimum_quantity(leg: IntentLeg, price_micros: int) -> int:
    """Smallest marketable purchase at a price: quantity and notional minimum of the venue, micros of a contract."""
    notional = ceil_div(leg.notional_minimum_micros * MICROS, max(price_micros, 1))
    return max(leg.quantity_minimum_micros, leg.quantity_step_micros, notional)


def _price_of(leg: IntentLeg, price: int, quantity: int) -> int:
    return cost_micros(price, quantity) + taker_fee(leg.fee_schedule, price, quantity, "buy")


def leader_time_in_force(intent: TradeIntent, leader: IntentLeg, hedge: IntentLeg) -> TimeInForce:
    """fill_or_kill where a partial fill could fall below what the hedge's venue takes, else immediate_or_cancel."""
    del leader
    smallest = minimum_quantity(hedge, hedge.price_limit_micros)
    return "fill_or_kill" if smallest > common_step(intent) else "immediate_or_cancel"


def make_plan(
    intent: TradeIntent,
    *,
    leader_is_a: bool,
    quantity_micros: int,
    terms: ExecuteTerms,
    ts_ns: int,
    position: int,
    sequence: int,
    portfolio: str,
    life: int,
) -> TradePlan:
    """The plan of a trade: the bounds of its leader and of all that may follow. Raises GridError for a grid that is none."""
    leader, hedge = intent.legs if leader_is_a else reversed(intent.legs)
    legs: dict[LegName, IntentLeg] = {"leader": leader, "hedge": hedge}
    grids = {name: outcome_grid(leg) for name, leg in legs.items()}

    def bound(
        role: Role,
        name: LegName,
        side: Side,
        worst: int,
        *,
        attempts: int,
        before: int = 0,
        tif: TimeInForce = "immediate_or_cancel",
    ) -> PlanBound:
        leg = legs[name]
        return PlanBound(
            role=role,
            leg=name,
            instrument_id=leg.instrument_id,
            venue=leg.venue,
            outcome=leg.outcome,
            side=side,
            price_worst_micros=worst,
            quantity_max_micros=quantity_micros,
            time_in_force=tif,
            attempt_first=before * attempts + 1,
            attempts_max=attempts,
            ts_deadline_ns=ts_ns + TRADE_HORIZON_NS,
        )

    bounds: list[PlanBound] = []
    for index, name in enumerate(COMPLETIONS):
        worst = _worst_hedge(intent, legs[name], legs[OTHER[name]], quantity_micros, terms.max_loss_per_trade_micros)
        bounds.append(bound("hedge", name, "buy", worst, attempts=terms.hedge_attempts_max, before=index))
    for index, (name, side) in enumerate(UNWIND_WAYS):
        worst = grids[name].lowest_micros if side == "sell" else grids[name].highest_micros
        bounds.append(bound("unwind", name, side, worst, attempts=terms.unwind_attempts_max, before=index))
    worst, tif = grids["leader"].floor(leader.price_limit_micros), leader_time_in_force(intent, leader, hedge)
    return TradePlan(
        sequence=sequence,
        ts_ns=ts_ns,
        portfolio=portfolio,
        life=life,
        strategy=intent.strategy,
        partition=intent.partition,
        position=position,
        trade_id=trade_id_of(portfolio, intent.intent_id),
        intent_id=intent.intent_id,
        pair_id=intent.pair_id,
        quantity_micros=quantity_micros,
        leader=bound("leader", "leader", "buy", worst, attempts=1, tif=tif),
        bounds=tuple(bounds),
    )


def _worst_hedge(intent: TradeIntent, leg: IntentLeg, other: IntentLeg, quantity: int, max_loss: int) -> int:
    """Highest price of a leg at which the whole trade, its other leg at its limit, still loses no more than may be lost."""
    grid, payout = outcome_grid(leg), intent.payout_micros * quantity // intent.quantity_micros
    most = payout - _price_of(other, other.price_limit_micros, quantity) + max_loss

    def pays(price: int) -> bool:
        return _price_of(leg, price, quantity) <= most

    limit = grid.floor(leg.price_limit_micros)
    return highest_price(grid, limit, grid.highest_micros, pays) if pays(limit) else limit


#: The legs that may have to be bought to match the other, in the order of their bounds.
COMPLETIONS: Final[tuple[LegName, ...]] = ("hedge", "leader")
#: The ways out, in the order of their bounds: leg and side.
UNWIND_WAYS: Final[tuple[tuple[LegName, Side], ...]] = (
    ("leader", "sell"),
    ("hedge", "buy"),
    ("hedge", "sell"),
    ("leader", "buy"),
)


def bound_of(plan: TradePlan, role: Role, *, name: LegName, side: Side) -> PlanBound:
    """The bound of a role at a leg and side. Raises PlanError when the plan has none."""
    for one in (plan.leader, *plan.bounds):
        if (one.role, one.leg, one.side) == (role, name, side):
            return one
    raise PlanError(f"{plan.trade_id}: no {role} may {side} its {name}")


def order_ids(plan: TradePlan) -> dict[str, PlanBound]:
    """Every order that the plan covers, by its id."""
    return {
        order_id_of(plan.trade_id, one.role, one.attempt_first + number): one
        for one in (plan.leader, *plan.bounds)
        for number in range(one.attempts_max)
    }
