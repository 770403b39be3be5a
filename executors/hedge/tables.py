"""The lifecycle of a hedge trade as a table: every (state, input) cell has its answer.

Decides which handler of the machine answers which input, and the states that the trade may go to then: the machine makes no other
move. A cell that cannot happen is `REFUSED` by name: the input stays in the
journal and changes nothing. Must never hold a price or a quantity.
"""

from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from executors.orders.order import OrderInput
from executors.orders.table import REFUSED
from schemas.records import TimerKind, TradeState

#: What a trade can be told.
InputKind: TypeAlias = Literal[
    "intent",  # the intent that it begins with
    OrderInput,  # what a report is to it
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

#: Names of the machine's handlers; `wait` and `REFUSED` do nothing, the latter because it cannot be meant.
Handler: TypeAlias = Literal[
    "wait",
    "refused",
    "open",
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


class Answer(NamedTuple):
    """What a trade does about an input: the handler that works it out, and the states that it may go to; it may also stay.

    From a state that it goes to it may go on within the same input, as `ONWARD` says.
    """

    handler: Handler
    following: tuple[TradeState, ...] = ()


WAIT: Final = Answer("wait")
_REFUSED: Final = Answer(REFUSED)
_LOSE_SIGHT: Final = Answer("lose_sight")
_NOTHING: Final[dict[InputKind, Answer]] = dict.fromkeys(INPUTS, _REFUSED)


def _settled(*again: TradeState) -> dict[InputKind, Answer]:
    """Row of a trade that is done unless a fill comes late or is reversed; `again`: where it goes when no order may fill any more."""
    return {
        "intent": _REFUSED,
        "open": Answer("reopen", ("hedging",)),
        "done": Answer("reopen", again),
        "unknown": WAIT,
        "reversed": Answer("reopen", again),
        "confirmed": Answer("confirm", ("closed",) if "closed" in again else ()),
        "top": WAIT,
        "resume": _REFUSED,
        "order_timeout": _LOSE_SIGHT,
        "retry": _REFUSED,
        "adverse": _REFUSED,
        "finality": Answer("declare_dead", again),
    }


_LED: Final[tuple[TradeState, ...]] = ("hedging", "flat")
_COMPLETED: Final[tuple[TradeState, ...]] = ("unwinding", "hedged", "flat")
_UNWOUND: Final[tuple[TradeState, ...]] = ("hedged", "flat", "stuck")

TRADE_TABLE: Final[dict[TradeState, dict[InputKind, Answer]]] = {
    # A proposed trade is planned, or declined by the gate, within the step that reads its intent.
    "proposed": {**_NOTHING, "intent": Answer("open", ("declined", "leading"))},
    "declined": _NOTHING,
    "leading": {
        "intent": _REFUSED,
        "open": WAIT,
        "done": Answer("leader_done", _LED),
        "unknown": WAIT,
        "reversed": WAIT,
        "confirmed": WAIT,
        "top": WAIT,
        "resume": _REFUSED,
        "order_timeout": _LOSE_SIGHT,
        "retry": _REFUSED,
        "adverse": _REFUSED,
        "finality": Answer("declare_dead", _LED),
    },
    "hedging": {
        "intent": _REFUSED,
        "open": WAIT,
        "done": Answer("settle", _COMPLETED),
        "unknown": WAIT,
        "reversed": Answer("settle", _COMPLETED),
        "confirmed": WAIT,
        "top": Answer("watch"),
        "resume": Answer("proceed", _COMPLETED),
        "order_timeout": _LOSE_SIGHT,
        "retry": Answer("proceed", _COMPLETED),
        "adverse": Answer("give_up", _COMPLETED),
        "finality": Answer("declare_dead", _COMPLETED),
    },
    "unwinding": {
        "intent": _REFUSED,
        "open": WAIT,
        "done": Answer("unwind", _UNWOUND),
        "unknown": WAIT,
        "reversed": Answer("unwind", _UNWOUND),
        "confirmed": Answer("unwind", _UNWOUND),
        "top": WAIT,
        "resume": Answer("unwind_on", _UNWOUND),
        "order_timeout": _LOSE_SIGHT,
        "retry": Answer("unwind_on", _UNWOUND),
        "adverse": _REFUSED,
        "finality": Answer("declare_dead", _UNWOUND),
    },
    "hedged": _settled("hedging", "flat", "closed"),
    "flat": _settled("hedging"),
    "closed": _settled("hedging", "flat"),
    # A person has been called: reports are booked, nothing is sent.
    "stuck": {
        "intent": _REFUSED,
        "open": WAIT,
        "done": WAIT,
        "unknown": WAIT,
        "reversed": WAIT,
        "confirmed": WAIT,
        "top": WAIT,
        "resume": _REFUSED,
        "order_timeout": _LOSE_SIGHT,
        "retry": _REFUSED,
        "adverse": _REFUSED,
        "finality": Answer("declare_dead"),
    },
}

#: Where a trade may go on to in the very step that brought it into a state: refused by the gate, given up at once, nothing provisional.
ONWARD: Final[dict[TradeState, tuple[TradeState, ...]]] = {
    "proposed": (),
    "declined": (),
    "leading": ("flat",),
    "hedging": ("unwinding",),
    "unwinding": ("stuck",),
    "hedged": ("closed",),
    "flat": (),
    "stuck": (),
    "closed": (),
}
#: An input that the machine cannot work out is a person's, whatever the trade was doing.
FAILED: Final = Answer("wait", ("stuck",))
