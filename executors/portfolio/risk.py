"""The risk gate: whether an order may go out, and how large a trade may be.

Decides before every order, from what the journal has said so far: ledger, trading state, change of equity by period, breakers.
Must never let an opening order past a limit; must never keep a hedge or an unwind from shrinking an exposure, unless an operator
has halted everything or the cash is not there. A refusal has a name, which the journal keeps.

Limits are per leg (one instrument at one venue): its cost incl. fees, of what is held, reserved and asked for together. The
worst case of an order is its limit price: a better price saves more than the fee curve can add (d(p + r·p(1-p))/dp > 0).
"""

from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple, TypeAlias

from crossbook.domain.fees import fee_bound, payout_unit, taker_fee
from crossbook.domain.money import MICROS, ceil_div, cost_micros
from executors.hedge.plan import choose_leader, minimum_quantity
from executors.hedge.trade import common_step, floor_step, planned_price, price_to_buy, size_to_buy
from executors.portfolio.equity import EquityBook
from executors.portfolio.halts import Halts
from executors.portfolio.ledger import Account, Ledger, Place
from executors.terms import NS_PER_S, ExecuteTerms, capital_micros, cash_at, cash_by_venue
from schemas.records import IntentLeg, PlanBound, TopSeen, TradeIntent, TradingState, Venue

#: Most executions that an order's fee bound allows for; deeper walks exceed it by micros only.
FILLS_MAX: Final = 50
#: How long a venue's breaker stays open after too many rejections in a row: one venue-side incident, not a day.
BREAKER_NS: Final = 30 * NS_PER_S
#: A holding below this (0.01 contracts) does not keep a pair open.
PAIR_DUST_MICROS: Final = 10_000
#: Steps that are looked at below a cut; more are worth it only where a contract leaves next to nothing.
CUT_TRIES_MAX: Final = 500
_DAY_S: Final = 86_400

Period: TypeAlias = Literal["day", "week", "month"]


class Refusal(NamedTuple):
    """No trade, and why."""

    reason: str


class Grant(NamedTuple):
    """A trade of at most this quantity."""

    quantity_micros: int


class Standing:
    """What the gate of one portfolio looks at. Mutable; owned by the fold."""

    __slots__ = (
        "breaker_until_ns",
        "changes",
        "equity",
        "errors_in_row",
        "halts",
        "ledger",
        "pairs",
        "portfolio",
        "working_pairs",
    )

    def __init__(self) -> None:
        self.portfolio = ""
        self.ledger = Ledger()
        self.equity = EquityBook()
        self.halts = Halts()
        self.errors_in_row: dict[Venue, int] = {}
        self.breaker_until_ns: dict[Venue, int] = {}
        self.changes: dict[Period, dict[int, int]] = {}  # of equity, by period and its number
        self.pairs: dict[str, tuple[str, str]] = {}
        self.working_pairs: dict[str, int] = {}

    def note_equity(self, ts_ns: int, change_micros: int) -> None:
        """Count a change of equity in the day, week and month of its moment, which may be over: partitions do not wait for each other."""
        if change_micros:
            for period, number in periods_of(ts_ns).items():
                sums = self.changes.setdefault(period, {})
                sums[number] = sums.get(number, 0) + change_micros

    def equity_in(self, period: Period, ts_ns: int) -> int:
        """Change of equity in the period that holds a moment, micros."""
        return self.changes.get(period, {}).get(periods_of(ts_ns)[period], 0)

    def note_answer(self, venue: Venue, ts_ns: int, *, rejected: bool, errors_max: int) -> bool:
        """Count rejections in a row; too many open the venue's breaker for BREAKER_NS. Whether this one did."""
        errors = self.errors_in_row.get(venue, 0) + 1 if rejected else 0
        opened = rejected and errors >= errors_max
        if opened:
            self.breaker_until_ns[venue] = ts_ns + BREAKER_NS
            errors = 0
        self.errors_in_row[venue] = errors
        return opened

    def open_pairs(self) -> set[str]:
        """Pairs with a working trade or a holding that is not settled."""
        held = {
            position.place.instrument_id
            for position in self.ledger.positions.values()
            if position.quantity_micros >= PAIR_DUST_MICROS
        }
        return {
            pair_id
            for pair_id, (a, b) in self.pairs.items()
            if a in held or b in held or self.working_pairs.get(pair_id, 0)
        }

    def state_for(self, venues: tuple[Venue, ...], category: str, pair_id: str, strategy: str = "") -> TradingState:
        """The strictest trading state that applies in this portfolio."""
        return self.halts.state_for(venues, category, pair_id, strategy, self.portfolio)


def periods_of(ts_ns: int) -> dict[Period, int]:
    """Numbers of the UTC day, the ISO week (Monday first) and the month that hold a moment."""
    day = ts_ns // NS_PER_S // _DAY_S
    moment = datetime.fromtimestamp(day * _DAY_S, UTC)
    return {"day": day, "week": (day + 3) // 7, "month": moment.year * 12 + moment.month}  # day 0 was a Thursday


def place_of(leg: IntentLeg) -> Place:
    """Where a leg's cost is booked."""
    return Place(Account(leg.venue, leg.shard), leg.instrument_id, leg.category, payout_unit(leg.fee_schedule))


def purchase_bound(leg: IntentLeg, price: int, quantity: int) -> int:
    """Cash that buying a quantity at this price or better cannot exceed, fees included, micros."""
    return cost_micros(price, quantity) + fee_bound(leg.fee_schedule, price, quantity, fills_max=FILLS_MAX)


def hedge_reserve(leg: IntentLeg, quantity: int, terms: ExecuteTerms) -> int:
    """Cash held back for the hedge while the leader is out: its planned bound and the loss that completing may cost."""
    return purchase_bound(leg, leg.price_limit_micros, quantity) + terms.max_loss_per_trade_micros


def gate_trade(
    standing: Standing,
    intent: TradeIntent,
    tops: dict[str, TopSeen],
    terms: ExecuteTerms,
    *,
    now_ns: int,
    decide_ns: int,
    lag_ns: int = 0,
) -> Grant | Refusal:
    """Whether a trade may open, and how large. `decide_ns` passes between this moment and the request; the wall clock is past it by `lag_ns`."""
    reason = (
        _refusal_of_state(standing, intent, now_ns, decide_ns, lag_ns)
        or _refusal_of_books(intent, tops)
        or _refusal_of_capital(intent, terms)
        or _refusal_of_losses(standing, terms, now_ns)
        or _refusal_of_pairs(standing, intent, terms)
    )
    if reason:
        return Refusal(reason)
    if choose_leader(intent) is None:
        return Refusal("two_delayed_legs")
    step = common_step(intent)
    quantity = floor_step(intent.quantity_micros, step)
    limit_reason = "quantity_step"
    for leg in intent.legs:
        left = floor_step(_left(leg, tops[leg.instrument_id], quantity), step)
        if left < quantity:
            quantity, limit_reason = left, "depth_taken"
        for name, room in _rooms(standing, leg, intent.legs, terms):
            fitting = _fitting(leg, quantity, step, room)
            if fitting < quantity:
                quantity, limit_reason = fitting, name
    if 0 < quantity < intent.quantity_micros:
        quantity = best_cut(intent, quantity, step)
    for leg in intent.legs:
        if quantity <= 0 or quantity < minimum_quantity(leg, planned_price(intent, leg)):
            return Refusal(limit_reason if quantity < intent.quantity_micros else "below_minimum")
    if quantity < intent.quantity_micros and edge_at(intent, quantity) * MICROS < intent.edge_min_micros * quantity:
        return Refusal("edge_of_cut")
    return Grant(quantity)


def best_cut(intent: TradeIntent, quantity_max: int, step: int) -> int:
    """The quantity up to a cut that leaves the most: fees are rounded by fill, so a few steps less can leave more; the cut itself if none does."""
    each = (
        (intent.net_micros + intent.friction_fixed_micros) * step // intent.quantity_micros
    )  # of a step, before rounding
    favour = sum(2 * leg.fee_schedule.member_precision_micros + 2 for leg in intent.legs)
    tries = min(CUT_TRIES_MAX, favour // max(each, 1) + 1)
    lowest = max(quantity_max - tries * step, 0)
    return max(range(quantity_max, lowest, -step), key=lambda quantity: edge_at(intent, quantity), default=quantity_max)


def edge_at(intent: TradeIntent, quantity: int) -> int:
    """Net edge of a smaller quantity of an intent, micros: what does not shrink with it (gas) is spread over fewer contracts.

    Costs at the average displayed price, which a smaller walk never exceeds; fees at that price as well, where they are highest
    (p(1-p) is concave) and rounded once for the smaller order.
    """
    whole = intent.quantity_micros
    shrinking = intent.friction_micros - intent.friction_fixed_micros + intent.lockup_micros
    costs = intent.friction_fixed_micros + ceil_div(shrinking * quantity, whole)
    for leg in intent.legs:
        share = ceil_div(leg.fee_micros * quantity, whole)
        price = min(ceil_div(leg.cost_micros * MICROS, whole), MICROS)
        costs += ceil_div(leg.cost_micros * quantity, whole)
        costs += max(share, taker_fee(leg.fee_schedule, price, quantity))
    return intent.payout_micros * quantity // whole - costs


def gate_order(
    standing: Standing,
    bound: PlanBound,
    leg: IntentLeg,
    price: int,
    quantity: int,
    *,
    pair_id: str,
    strategy: str,
    spare: int,
    terms: ExecuteTerms,
) -> str:
    """Why an order of an open trade may not go out; empty when it may.

    `spare` is what its plan has reserved for it, `terms` are those that the trade was planned under. The caps hold for every
    purchase, whoever asks; the leader was fitted into them with its hedge, a moment ago, by `gate_trade`.
    """
    if standing.state_for((bound.venue,), leg.category, pair_id, strategy) == "halted":
        return "halted"
    if bound.side == "buy" and bound.role != "leader":
        ledger, needed = standing.ledger, purchase_bound(leg, price, quantity) - spare
        if needed > ledger.free(bound.venue, cash_at(terms, bound.venue)):
            return "cash"
        if needed > terms.cost_per_leg_micros - ledger.instrument_cost(leg.instrument_id):
            return "leg_limit"
        if needed > terms.category_cost_micros - ledger.category_cost(leg.category):
            return "category_limit"
    return ""


def _refusal_of_state(standing: Standing, intent: TradeIntent, now_ns: int, decide_ns: int, lag_ns: int) -> str:
    venues = tuple(leg.venue for leg in intent.legs)
    for leg in intent.legs:
        state = standing.state_for(venues, leg.category, intent.pair_id, intent.strategy)
        if state != "running":
            return state
    if now_ns + decide_ns > intent.valid_until_ns:
        return "expired"
    if now_ns + lag_ns > intent.valid_until_ns:
        return "late"  # the market has gone on without us
    if any(standing.breaker_until_ns.get(venue, 0) > now_ns for venue in venues):
        return "venue_errors"
    return ""


def _refusal_of_books(intent: TradeIntent, tops: dict[str, TopSeen]) -> str:
    for leg in intent.legs:
        top = tops.get(leg.instrument_id)
        if top is None or not top.usable:
            return "feed_health"
        price = price_to_buy(top, leg.outcome)
        if price is None or price > leg.price_limit_micros:
            return "depth_taken"  # decide saw it displayed; an earlier order of ours has it
    return ""


def _left(leg: IntentLeg, top: TopSeen, quantity: int) -> int:
    """How much of a quantity is still there, where the best level is also the last one that the leg may walk to."""
    price, size = price_to_buy(top, leg.outcome), size_to_buy(top, leg.outcome)
    return min(quantity, size) if price == leg.price_limit_micros else quantity


def _refusal_of_capital(intent: TradeIntent, terms: ExecuteTerms) -> str:
    for leg in intent.legs:
        if leg.venue not in cash_by_venue(terms):
            return f"no_capital_at_{leg.venue}"
    return ""


def _refusal_of_losses(standing: Standing, terms: ExecuteTerms, now_ns: int) -> str:
    capital = capital_micros(terms)
    stops: tuple[tuple[str, Period, int], ...] = (
        ("daily_stop", "day", terms.daily_stop_ppm),
        ("weekly_stop", "week", terms.weekly_stop_ppm),
        ("monthly_stop", "month", terms.monthly_stop_ppm),
    )
    for name, period, ppm in stops:
        loss = -standing.equity_in(period, now_ns)
        if loss > 0 and loss * MICROS >= capital * ppm:
            return name
    return ""


def _refusal_of_pairs(standing: Standing, intent: TradeIntent, terms: ExecuteTerms) -> str:
    if standing.working_pairs.get(intent.pair_id, 0):
        return "pair_busy"
    open_pairs = standing.open_pairs()
    if intent.pair_id not in open_pairs and len(open_pairs) >= terms.pairs_open_max:
        return "pairs_open"
    return ""


def _rooms(
    standing: Standing, leg: IntentLeg, legs: tuple[IntentLeg, ...], terms: ExecuteTerms
) -> list[tuple[str, int]]:
    """Head-room of each limit for one leg, micros. What both legs share is split between them."""
    ledger = standing.ledger
    same_category = 2 if legs[0].category == legs[1].category else 1
    same_venue = 2 if legs[0].venue == legs[1].venue else 1
    category_room = terms.category_cost_micros - ledger.category_cost(leg.category)
    cash_room = ledger.free(leg.venue, cash_at(terms, leg.venue)) - terms.max_loss_per_trade_micros
    return [
        ("leg_limit", terms.cost_per_leg_micros - ledger.instrument_cost(leg.instrument_id)),
        ("category_limit", category_room // same_category),
        ("cash", cash_room // same_venue),
    ]


def _fitting(leg: IntentLeg, quantity: int, step: int, room: int) -> int:
    """Largest quantity, a multiple of the step and at most `quantity`, whose bound fits the room."""
    low, high = 0, quantity // step
    if high and purchase_bound(leg, leg.price_limit_micros, high * step) <= room:
        return high * step
    while low < high:  # the bound grows with the quantity
        middle = (low + high + 1) // 2
        if purchase_bound(leg, leg.price_limit_micros, middle * step) <= room:
            low = middle
        else:
            high = middle - 1
    return low * step
