"""Which leg leads, and which orders a trade may ever send.

Decides the leader and the slots that are committed before the first byte leaves: hedge attempts and unwinds, for both
directions in which a trade can be unmatched (a reversed or late fill turns the direction round). A slot fixes instrument, side,
worst price, largest quantity and id; what is sent under it is a function of the fills. Must never plan a price off the grid.

Numbers of the slots, with H hedge and U unwind attempts (the machine finds them by the same arithmetic):

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
from executors.hedge.trade import OTHER, LegName, common_step
from executors.journal import trade_id_of
from executors.terms import NS_PER_S, ExecuteTerms
from schemas.records import IntentLeg, PlanSlot, Role, Side, TimeInForce, TradeIntent, TradePlan

#: Until when slots of a trade may be used. Chain reorganisations and venue pauses that reverse a fill are over by then or need
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
    """The plan of a trade: its leader and every slot that may follow. Raises GridError for a grid that is none."""
    leader, hedge = intent.legs if leader_is_a else reversed(intent.legs)
    legs: dict[LegName, IntentLeg] = {"leader": leader, "hedge": hedge}
    grids = {name: outcome_grid(leg) for name, leg in legs.items()}
    hedges, unwinds = terms.hedge_attempts_max, terms.unwind_attempts_max
    deadline = ts_ns + TRADE_HORIZON_NS
    trade_id = trade_id_of(portfolio, intent.intent_id)

    def slot(role: Role, attempt: int, *, name: LegName, side: Side, worst: int, tif: TimeInForce) -> PlanSlot:
        leg = legs[name]
        return PlanSlot(
            order_id=f"{trade_id}-{role[0]}{attempt}",
            role=role,
            attempt=attempt,
            instrument_id=leg.instrument_id,
            venue=leg.venue,
            outcome=leg.outcome,
            side=side,
            price_worst_micros=worst,
            quantity_max_micros=quantity_micros,
            time_in_force=tif,
            ts_deadline_ns=deadline,
        )

    slots: list[PlanSlot] = []
    for index, name in enumerate(COMPLETIONS):
        worst = _worst_hedge(intent, legs[name], legs[OTHER[name]], quantity_micros, terms.max_loss_per_trade_micros)
        for attempt in range(1, hedges + 1):
            number = index * hedges + attempt
            slots.append(slot("hedge", number, name=name, side="buy", worst=worst, tif="immediate_or_cancel"))
    for index, (name, side) in enumerate(UNWIND_WAYS):
        worst = grids[name].lowest_micros if side == "sell" else grids[name].highest_micros
        for attempt in range(1, unwinds + 1):
            number = index * unwinds + attempt
            slots.append(slot("unwind", number, name=name, side=side, worst=worst, tif="immediate_or_cancel"))
    return TradePlan(
        sequence=sequence,
        ts_ns=ts_ns,
        portfolio=portfolio,
        life=life,
        strategy=intent.strategy,
        partition=intent.partition,
        position=position,
        trade_id=trade_id,
        intent_id=intent.intent_id,
        pair_id=intent.pair_id,
        quantity_micros=quantity_micros,
        leader=slot(
            "leader",
            1,
            name="leader",
            side="buy",
            worst=grids["leader"].floor(leader.price_limit_micros),
            tif=leader_time_in_force(intent, leader, hedge),
        ),
        slots=tuple(slots),
    )


def _worst_hedge(intent: TradeIntent, leg: IntentLeg, other: IntentLeg, quantity: int, max_loss: int) -> int:
    """Highest price of a leg at which the whole trade, its other leg at its limit, still loses no more than may be lost."""
    grid, payout = outcome_grid(leg), intent.payout_micros * quantity // intent.quantity_micros
    most = payout - _price_of(other, other.price_limit_micros, quantity) + max_loss

    def pays(price: int) -> bool:
        return _price_of(leg, price, quantity) <= most

    limit = grid.floor(leg.price_limit_micros)
    return highest_price(grid, limit, grid.highest_micros, pays) if pays(limit) else limit


#: The legs that may have to be bought to match the other, in the order of their slots.
COMPLETIONS: Final[tuple[LegName, ...]] = ("hedge", "leader")
#: The ways out, in the order of their slots: leg and side.
UNWIND_WAYS: Final[tuple[tuple[LegName, Side], ...]] = (
    ("leader", "sell"),
    ("hedge", "buy"),
    ("hedge", "sell"),
    ("leader", "buy"),
)


def slot_of(plan: TradePlan, role: Role, *, name: LegName, side: Side, attempt: int) -> PlanSlot | None:
    """The slot of an attempt (from 1) of a role, leg and side; None when the plan holds no such slot any more."""
    if role == "leader":
        return plan.leader if attempt == 1 else None
    hedges = sum(1 for s in plan.slots if s.role == "hedge") // 2
    unwinds = sum(1 for s in plan.slots if s.role == "unwind") // len(UNWIND_WAYS)
    if role == "hedge":
        per_way, start = hedges, hedges * COMPLETIONS.index(name)
    else:
        per_way, start = unwinds, 2 * hedges + UNWIND_WAYS.index((name, side)) * unwinds
    return plan.slots[start + attempt - 1] if 1 <= attempt <= per_way else None
