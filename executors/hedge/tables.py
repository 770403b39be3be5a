"""Lifecycles of an order and of a trade, as tables: every (state, input) cell has its answer.

Decides which report may follow which order status, and which handler of the machine answers which input of a trade. A cell that
cannot happen is `REFUSED` by name: the input stays in the journal and changes nothing. Must never hold a price or a quantity.
"""

from typing import Final, Literal, TypeAlias, get_args

from schemas.records import OrderStatus, TimerKind, TradeState

#: What a trade can be told.
InputKind: TypeAlias = Literal[
    "open",  # an order is at the venue, possibly filled in part
    "done",  # an order came to its end
    "unknown",  # nobody knows what an order is
    "reversed",  # an execution never happened after all
    "confirmed",  # an execution became final
    "top",  # a book that the choice rests on
    "resume",  # the operator lets orders out again
    "order_timeout",  # timers
    "retry",
    "adverse",
    "finality",
]
INPUTS: Final[tuple[InputKind, ...]] = get_args(InputKind)
#: What a timer that ran out tells a trade.
TIMER_INPUTS: Final[dict[TimerKind, InputKind]] = {
    "order_timeout": "order_timeout",
    "retry": "retry",
    "adverse": "adverse",
    "finality": "finality",
}
STATES: Final[tuple[TradeState, ...]] = (
    "proposed",
    "declined",
    "leading",
    "hedging",
    "unwinding",
    "hedged",
    "flat",
    "stuck",
    "closed",
)
STATUSES: Final[tuple[OrderStatus, ...]] = (
    "requested",
    "accepted",
    "delayed",
    "partially_filled",
    "filled",
    "canceled",
    "rejected",
    "expired",
    "unknown",
)

#: Names of the machine's handlers; `wait` and `REFUSED` do nothing, the latter because it cannot be meant.
Handler: TypeAlias = Literal[
    "wait",
    "refused",
    "leader_done",
    "settle",
    "proceed",
    "unwind",
    "unwind_on",
    "reopen",
    "confirm",
    "lose_sight",
    "declare_dead",
    "give_up",
    "watch",
]
REFUSED: Final = "refused"

_NOTHING: Final[dict[InputKind, Handler]] = dict.fromkeys(INPUTS, REFUSED)
_SETTLED: Final[dict[InputKind, Handler]] = {
    "open": "reopen",
    "done": "reopen",
    "unknown": "wait",
    "reversed": "reopen",
    "confirmed": "confirm",
    "top": "wait",
    "resume": REFUSED,
    "order_timeout": "lose_sight",
    "retry": REFUSED,
    "adverse": REFUSED,
    "finality": "declare_dead",
}

TRADE_TABLE: Final[dict[TradeState, dict[InputKind, Handler]]] = {
    # A proposed trade is planned or declined within the step that reads its intent.
    "proposed": _NOTHING,
    "declined": _NOTHING,
    "leading": {
        "open": "wait",
        "done": "leader_done",
        "unknown": "wait",
        "reversed": "wait",
        "confirmed": "wait",
        "top": "wait",
        "resume": REFUSED,
        "order_timeout": "lose_sight",
        "retry": REFUSED,
        "adverse": REFUSED,
        "finality": "declare_dead",
    },
    "hedging": {
        "open": "wait",
        "done": "settle",
        "unknown": "wait",
        "reversed": "settle",
        "confirmed": "wait",
        "top": "watch",
        "resume": "proceed",
        "order_timeout": "lose_sight",
        "retry": "proceed",
        "adverse": "give_up",
        "finality": "declare_dead",
    },
    "unwinding": {
        "open": "wait",
        "done": "unwind",
        "unknown": "wait",
        "reversed": "unwind",
        "confirmed": "unwind",
        "top": "wait",
        "resume": "unwind_on",
        "order_timeout": "lose_sight",
        "retry": "unwind_on",
        "adverse": REFUSED,
        "finality": "declare_dead",
    },
    "hedged": _SETTLED,
    "flat": _SETTLED,
    "closed": _SETTLED,
    # A person has been called: reports are booked, nothing is sent.
    "stuck": {
        "open": "wait",
        "done": "wait",
        "unknown": "wait",
        "reversed": "wait",
        "confirmed": "wait",
        "top": "wait",
        "resume": REFUSED,
        "order_timeout": "lose_sight",
        "retry": REFUSED,
        "adverse": REFUSED,
        "finality": "declare_dead",
    },
}

#: Marks a report that is older than what is known: it changes no status.
STALE: Final = "stale"
OrderNext: TypeAlias = OrderStatus | Literal["stale", "refused"]

_LIVE_NEXT: Final[dict[OrderStatus, OrderNext]] = {
    "requested": REFUSED,
    "accepted": "accepted",
    "delayed": "delayed",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "rejected": "rejected",
    "expired": "expired",
    "unknown": "unknown",
}
_DONE_NEXT: Final[dict[OrderStatus, OrderNext]] = {
    "requested": REFUSED,
    "accepted": STALE,
    "delayed": STALE,
    "partially_filled": STALE,
    "filled": STALE,
    "canceled": STALE,
    "rejected": STALE,
    "expired": STALE,
    "unknown": STALE,
}

#: {status: {reported status: next status}}.
ORDER_TABLE: Final[dict[OrderStatus, dict[OrderStatus, OrderNext]]] = {
    "requested": _LIVE_NEXT,
    "accepted": _LIVE_NEXT,
    "delayed": _LIVE_NEXT,
    # What was filled in part was neither refused nor is it waiting to be accepted.
    "partially_filled": {**_LIVE_NEXT, "accepted": STALE, "delayed": STALE, "rejected": REFUSED},
    "filled": _DONE_NEXT,
    "canceled": _DONE_NEXT,
    "rejected": {**_DONE_NEXT, "partially_filled": "partially_filled", "filled": "filled", "canceled": "canceled"},
    # Declared dead by us or by the venue's clock; a venue that knows better is believed.
    "expired": {**_LIVE_NEXT, "unknown": STALE},
    "unknown": {**_LIVE_NEXT, "unknown": STALE},
}
