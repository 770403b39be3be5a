"""Complete or unwind: the economic choice of an unmatched trade, on the tops it has seen.

Decides from displayed prices with exact taker fees; what was already paid counts only against the cap on a trade's loss. Must
never price what is not displayed as if it were: a stale book is no price, and an order into it is bounded by the plan.
Amounts are totals in micros of a dollar, prices are in the outcome's own terms.
"""

from typing import NamedTuple

from crossbook.domain.fees import taker_fee
from crossbook.domain.money import MICROS, cost_micros
from executors.hedge.plan import highest_price, minimum_quantity, outcome_grid
from executors.hedge.trade import OTHER, LegName, Trade, floor_step, planned_price, price_to_buy, price_to_sell
from schemas.records import IntentLeg, PlanBound, Side


class Completion(NamedTuple):
    """Verdict on buying what is missing: `refusal` is empty when it pays; then it must be worth `threshold_micros`."""

    refusal: str
    threshold_micros: int


class Way(NamedTuple):
    """One way out."""

    leg: LegName
    side: Side
    price_micros: int
    quantity_micros: int


def completed_value(trade: Trade, leg: IntentLeg, price: int, quantity: int) -> int:
    """Payout of a completed quantity minus what completing it at a price costs."""
    payout = trade.intent.payout_micros * quantity // trade.intent.quantity_micros
    return payout - cost_micros(price, quantity) - taker_fee(leg.fee_schedule, price, quantity, "buy")


def sold_value(leg: IntentLeg, price: int, quantity: int) -> int:
    """What selling a quantity at a price brings."""
    return price * quantity // MICROS - taker_fee(leg.fee_schedule, price, quantity, "sell")


def displayed_price(trade: Trade, name: LegName, side: Side) -> int | None:
    """Executable price of a leg; None while its book is unusable or empty."""
    top = trade.top(name)
    if top is None or not top.usable:
        return None
    outcome = trade.leg(name).outcome
    return price_to_buy(top, outcome) if side == "buy" else price_to_sell(top, outcome)


def weigh_completion(trade: Trade, name: LegName, quantity: int, max_loss: int) -> Completion:
    """Whether buying `quantity` of the short leg (`name`) is worth more than selling the other, within the cap."""
    leg, other = trade.leg(name), trade.leg(OTHER[name])
    price = displayed_price(trade, name, "buy")
    threshold = trade.cost_of(OTHER[name], quantity) - max_loss
    out_price = displayed_price(trade, OTHER[name], "sell")
    unwound = None if out_price is None else sold_value(other, out_price, quantity)
    if unwound is not None:
        threshold = max(threshold, unwound)
    if quantity < minimum_quantity(leg, leg.price_limit_micros if price is None else price):
        return Completion("below_minimum", threshold)
    top = trade.top(name)
    if price is None:
        return Completion("depth_collapsed" if top is not None and top.usable else "", threshold)
    value = completed_value(trade, leg, price, quantity)
    if value >= threshold:
        return Completion("", threshold)
    return Completion("completion_costs_more" if unwound is not None and value < unwound else "max_loss", threshold)


def completion_limit(trade: Trade, name: LegName, quantity: int, threshold: int, price_worst: int) -> int | None:
    """Highest price of the grid, up to the plan's worst, at which completing is still worth the threshold; None when no price is.

    The fee is part of what completing is worth, and of nothing else. A price that is displayed and worth the threshold is always
    reached. While the book is unusable there is nothing to weigh, and the limit of the intent bounds the order.
    """
    leg = trade.leg(name)
    grid = outcome_grid(leg)
    if price_worst < grid.lowest_micros:
        return None
    shown = displayed_price(trade, name, "buy")
    if shown is None:
        return grid.floor(max(min(leg.price_limit_micros, price_worst), grid.lowest_micros))

    def pays(price: int) -> bool:
        return completed_value(trade, leg, price, quantity) >= threshold

    highest = grid.floor(min(price_worst, grid.highest_micros))
    # Rounding of a fee can make a dearer price of a tiny quantity worth a few micros more: what is displayed is asked first.
    lowest = grid.floor(shown) if grid.lowest_micros <= shown <= highest else grid.lowest_micros
    if not pays(lowest):
        lowest = grid.lowest_micros
    return highest_price(grid, lowest, highest, pays) if pays(lowest) else None


def within(bound: PlanBound, leg: IntentLeg, price: int) -> int:
    """The price on the leg's grid, and no worse than the plan's: a grid that became finer or coarser moves neither bound."""
    grid, worst = outcome_grid(leg), bound.price_worst_micros
    if bound.side == "buy":
        return grid.floor(max(min(price, worst), grid.lowest_micros))
    return grid.ceil(worst) if price < worst else price


def unwind_choice(trade: Trade, made: int, slack: int, max_loss: int) -> list[Way]:
    """The ways out that can be taken now, the better one first; empty while the better one must wait.

    `made`: attempts so far; each further one accepts `slack` more than displayed, because the last one missed. What is not
    final cannot be sold (Polymarket: before it is mined); if selling is displayed better than completing, it is waited for.
    """
    short, unmatched = trade.short, abs(trade.residual)
    excess = OTHER[short]
    selling = _sale(trade, excess, unmatched, slack * (made + 1))
    buying = _purchase(trade, short, unmatched, slack * (made + 1))
    if selling is None:
        if buying is None:
            return []
        quantity = buying[0].quantity_micros
        shown = displayed_price(trade, excess, "sell")
        if shown is not None and sold_value(trade.leg(excess), shown, quantity) > buying[1]:
            return []
        loss = trade.cost_of(excess, quantity) - buying[1]
        return [buying[0]] if loss <= max_loss else []
    if buying is None:
        return [selling[0]]
    # Per contract, because the steps of the legs may differ.
    worth_sold = None if selling[1] is None else selling[1] * MICROS // selling[0].quantity_micros
    worth_bought = buying[1] * MICROS // buying[0].quantity_micros
    if worth_sold is None or worth_bought > worth_sold:
        return [buying[0], selling[0]]
    return [selling[0], buying[0]]


def _sale(trade: Trade, name: LegName, unmatched: int, slack: int) -> tuple[Way, int | None] | None:
    """Sell what is too much: the order and its displayed worth (None: no price is displayed).

    The limit of a sale is rounded down to the grid, never up: the venue pays what is bid, and a limit above the bid would leave the
    leg naked for the sake of less than a tick.
    """
    leg = trade.leg(name)
    quantity = floor_step(unmatched, leg.quantity_step_micros)
    if quantity <= 0 or quantity > trade.sellable(name):
        return None
    grid = outcome_grid(leg)
    shown = displayed_price(trade, name, "sell")
    last = shown if shown is not None else price_to_sell(trade.top(name), leg.outcome)
    base = planned_price(trade.intent, leg) if last is None else last
    price = grid.floor(min(max(base - slack, grid.lowest_micros), grid.highest_micros))
    return Way(name, "sell", price, quantity), None if shown is None else sold_value(leg, shown, quantity)


def _purchase(trade: Trade, name: LegName, unmatched: int, slack: int) -> tuple[Way, int] | None:
    """Buy what is missing, dearer than a hedge would: the order and its displayed worth."""
    leg = trade.leg(name)
    quantity = min(floor_step(unmatched, leg.quantity_step_micros), trade.purchasable(name))
    shown = displayed_price(trade, name, "buy")
    if shown is None or quantity <= 0 or quantity < minimum_quantity(leg, shown):
        return None
    grid = outcome_grid(leg)
    price = grid.floor(max(min(shown + slack, grid.highest_micros), grid.lowest_micros))
    if price < shown <= grid.highest_micros:
        price = grid.ceil(shown)  # a limit below what is displayed could only miss
    return Way(name, "buy", price, quantity), completed_value(trade, leg, shown, quantity)
