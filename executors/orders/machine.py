"""The machine port: what becomes of one kind of intent, as pure steps.

A machine makes a work of an intent, and answers whatever the work is told, `open` and `advance`, with the work as it is then, the orders
that it wants out or back, and its moves. The core does all else: journal, ledger, reservations, timers, sending; it tells a work of
reports, timers, the books that it watches and the operator's resume. Which machine takes which intent is a table
(`executors.machines`). A machine must never read a clock, a venue or another work, and never leave a work that still works without an
order that the venue may fill, a timer, or a halt to wait for.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from executors.orders.order import Effect, Order
from executors.orders.work import Work
from executors.portfolio.equity import TradeTerms
from executors.portfolio.risk import Standing
from executors.terms import Terms
from schemas.records import (
    IntentLeg,
    ListingSeen,
    OrderReport,
    OrderSent,
    Package,
    PlanBound,
    TimerFired,
    TopSeen,
    TradePlan,
    TradeState,
)

#: An error's text is a reason of a TradeUpdate: cut to what a person reads.
_REASON_MAX: Final = 200

W = TypeVar("W", bound=Work)


class Resume(NamedTuple):
    """The operator lets orders out again."""


Event: TypeAlias = OrderReport | OrderSent | TimerFired | TopSeen | ListingSeen | Resume


class Send(NamedTuple):
    """An order to send now; its bound is what was committed for it. `replaces`: the order of the work whose place it takes, by its id."""

    order: Order
    bound: PlanBound
    replaces: str = ""


class Withdraw(NamedTuple):
    """An order to take back, and why."""

    order_id: str
    reason: str


Command: TypeAlias = Send | Withdraw


class Move(NamedTuple, Generic[W]):
    """A change of the work's state, with the work as it was then."""

    state: TradeState
    reason: str
    work: W


class Step(NamedTuple, Generic[W]):
    """What an input did. `failed`: the machine could not work it out, and the work is a person's now."""

    work: W
    commands: tuple[Command, ...]
    moves: tuple[Move[W], ...]
    effect: Effect | None
    failed: bool = False


class Context(NamedTuple):
    """What a machine may know beside the work: stream time, terms, and the risk gate's word on an order.

    `permits(work, bound, price, quantity)` is empty when the order may be sent, else the reason why not.
    """

    now_ns: int
    terms: Terms
    permits: Callable[[Any, PlanBound, int, int], str]


class Desk(NamedTuple):
    """What a machine may use to open a work. `lagging`: the watchdog lets nothing open; `tops` and `listings` were seen for the intent.

    `life` is that of the executor. `take_sequence` numbers a plan, which stands in the journal before all that follows from it.
    """

    standing: Standing
    context: Context
    lagging: bool
    tops: dict[str, TopSeen]
    listings: Sequence[ListingSeen]
    life: int
    take_sequence: Callable[[], int]


class Opened(NamedTuple, Generic[W]):
    """A work that begins, and its plan."""

    plan: TradePlan
    step: Step[W]


class Book(NamedTuple):
    """An instrument that an intent or a work looks at: what is known of its listing and its top; None where nothing is."""

    instrument_id: str
    rules: IntentLeg | ListingSeen | None
    top: TopSeen | None


class Summary(NamedTuple):
    """What an update tells of a work or an intent, micros; the legs in the order of the intent."""

    pair_id: str
    package: Package
    quantity_a: int = 0
    quantity_b: int = 0
    cost: int = 0
    fees: int = 0
    edge: int = 0


class Machine(Protocol[W]):
    """Works of one kind of intent. `work`: their class; `legs`: the names that the legs of its orders may have."""

    work: type[W]
    legs: tuple[str, ...]

    def open(self, seen: Any, desk: Desk) -> Opened[W] | str:
        """Begin with an intent that was just seen, or the reason why not."""
        ...

    def advance(self, work: W, event: Event, context: Context) -> Step[W]:
        """Tell a work something that happened. It must never raise: what it cannot work out is a person's."""
        ...

    def give_in(self, work: W, error: Exception, context: Context) -> Step[W]:
        """The work as one that a person must look at, because of an error outside the machine."""
        ...

    # What is said of a work

    def summary(self, work: W) -> Summary:
        """The work for an update."""
        ...

    def declined(self, intent: Any) -> Summary:
        """An intent that is not acted on, for an update."""
        ...

    def planned_price(self, work: W, name: str) -> int:
        """Price at which a leg was meant to trade, in the outcome's terms, micros."""
        ...

    def valued(self, work: W) -> TradeTerms:
        """What the work is valued by."""
        ...

    def stuck_with(self, step: Step[W]) -> tuple[str, ...]:
        """Legs at whose venues nothing new may open, because a step left the work stuck with them; empty when it did not."""
        ...

    # What it looks at

    def books_of(self, intent: Any) -> tuple[Book, ...]:
        """What must be seen before an intent is acted on, in this order."""
        ...

    def advised(self, intent: Any) -> tuple[str, ...]:
        """Two instruments of which it wants to know which moves first; none where nobody leads."""
        ...

    def books(self, work: W) -> tuple[Book, ...]:
        """What must be fresh before a work decides anything, in this order."""
        ...

    def watches(self, work: W) -> bool:
        """Whether a change of a book may change what the work waits for, with no other input."""
        ...

    def watched(self, work: W, changed: str | None) -> str | None:
        """The instrument to look at after a change of one (None: of a feed or a listing) while it `watches`; None: nothing to look at."""
        ...

    def turns(self, work: W, top: TopSeen) -> bool:
        """Whether a top of the watched instrument changes what the work waits for."""
        ...

    def reopens(self, work: W) -> bool:
        """Whether it sends orders, or may do so again: then it is told of instruments that leave the partition or come back."""
        ...

    def unmatched(self, work: W) -> bool:
        """Whether contracts of it stay unmatched for long, so that their mark must be kept fresh."""
        ...


#: Kind of intent → its machine.
MachineTable: TypeAlias = "dict[type[Any], Machine[Any]]"


def reason_of(error: Exception) -> str:
    """Class and message of an error, as a reason."""
    return f"{type(error).__name__}: {error}"[:_REASON_MAX]
