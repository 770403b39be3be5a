"""What goes into a step of the hedge machine and what comes out of it. Values; they decide nothing."""

from collections.abc import Callable
from typing import NamedTuple

from executors.hedge.trade import Trade
from executors.orders.order import Effect, Order
from executors.terms import Terms
from schemas.records import ListingSeen, OrderReport, OrderSent, PlanBound, TimerFired, TopSeen, TradeState


class Resume(NamedTuple):
    """The operator lets orders out again."""


class Send(NamedTuple):
    """An order to send now."""

    order: Order
    bound: PlanBound


class Move(NamedTuple):
    """A change of the trade's state, with the trade as it was then."""

    state: TradeState
    reason: str
    trade: Trade


class Step(NamedTuple):
    """What an input did. `failed`: the machine could not work it out, and the trade is a person's now."""

    trade: Trade
    sends: tuple[Send, ...]
    moves: tuple[Move, ...]
    effect: Effect | None
    failed: bool = False


class Context(NamedTuple):
    """What the machine may know beside the trade: stream time, terms, and the risk gate's word on an order.

    `permits(trade, bound, price, quantity)` is empty when the order may be sent, else the reason why not.
    """

    now_ns: int
    terms: Terms
    permits: Callable[[Trade, PlanBound, int, int], str]


Event = OrderReport | OrderSent | TimerFired | TopSeen | ListingSeen | Resume
