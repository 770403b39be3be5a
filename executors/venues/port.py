"""The gateway port: where orders go, and how answers come back.

What a gateway is given is on the log already: the engine hands over records and commands together, the shell writes the records and
only then sends the commands. So nothing is sent that is not written, whatever gateway it is. A gateway on stream time says what it
does next and when; whoever drives it does that in the order of time. Must never see the trade behind an order.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

import msgspec

from crossbook.market.book_state import Change
from crossbook.market.market_state import MarketState
from executors.errors import CheckpointError, LaneError
from executors.terms import PaperTerms
from schemas.records import CancelRequested, OrderReport, OrderRequested, OrderSent

NEVER_NS: Final = 2**63 - 1
ARRIVAL: Final = 0
REPORT: Final = 1
#: Best bid or ask in YES terms: (price, size), micros.
Level: TypeAlias = tuple[int, int]


class Place(NamedTuple):
    """Send this order. `taker_delay_ms` and `terms` are those of the moment of the request, whenever it is sent."""

    request: OrderRequested
    terms: PaperTerms
    taker_delay_ms: int


class Cancel(NamedTuple):
    """Take an order back: what of it is not filled when this reaches the venue is cancelled.

    A venue that has no such order, or not any more, says `unknown` of it: that proves nothing, and whatever else it says of the order stands.
    """

    request: CancelRequested
    terms: PaperTerms


class Replace(NamedTuple):
    """Put an order in the place of another one of ours, named by its id. The venue takes the old one back first.

    Where it cannot, because it has no such order, or not any more, the new one is rejected: never are both live.
    """

    place: Place
    replaced: str

    @property
    def request(self) -> OrderRequested:
        """The new order."""
        return self.place.request

    @property
    def terms(self) -> PaperTerms:
        """Those of the new order."""
        return self.place.terms


Command: TypeAlias = Place | Cancel | Replace


class Due(NamedTuple):
    """When a gateway has something to do next, and what: something inside the venue (ARRIVAL), or a report (REPORT)."""

    ts_ns: int
    kind: int


class Gateway(Protocol):
    """Orders of one partition of `market` at a venue.

    Reports of different orders may come in any order, and the same report twice: the fold of the journal ignores what it knows.
    """

    def send(self, commands: Iterable[Command]) -> None:
        """Take orders, cancels and replacements, in this order. Everything that they follow from must be on the log."""
        ...

    def expected_ns(self, command: Command) -> int:
        """Stream time before which the venue cannot have the command, Unix ns. The command must be sent before anyone looks past it."""
        ...

    def leaves_ns(self, request: OrderRequested, terms: PaperTerms) -> int:
        """Stream time at which the order is assumed to leave, Unix ns; one that leaves later is journaled as `OrderSent`."""
        ...

    def sent(self, word: OrderSent) -> None:
        """An order that is not at the venue yet leaves at this moment instead, or never."""
        ...

    def unsent(self) -> list[OrderRequested]:
        """Requests of which nobody said when they left, and nothing was heard yet."""
        ...

    def begin(self, change: Change) -> None:
        """A record of `market` was folded; what was due before its time must be done."""
        ...

    @property
    def next_due_ns(self) -> int:
        """When something is due next, Unix ns of stream time; NEVER_NS: nothing is under way."""
        ...

    def peek(self) -> Due | None:
        """What is due next; None when nothing is under way."""
        ...

    def pop(self) -> OrderReport | None:
        """Do what is due next: a report to journal (its sequence still -1), or None for something inside the venue."""
        ...

    def top(self, instrument_id: str) -> tuple[Level | None, Level | None]:
        """Best bid and ask that an order of ours would meet; None: there is none."""
        ...

    def image(self) -> msgspec.Raw:
        """Where the gateway stands, as JSON, without its market: equal images, equal bytes."""
        ...

    def restore(self, image: msgspec.Raw) -> None:
        """Bring a fresh gateway to where an image stands; its market stands there already. Raises CheckpointError."""
        ...

    def busy_trades(self) -> set[str]:
        """Trades of which something may still be reported: they are kept in checkpoints however they ended."""
        ...

    @property
    def attentive(self) -> bool:
        """Whether the next record of `market` matters whatever it is."""
        ...

    @property
    def consumed(self) -> Container[str]:
        """Instruments of which every change of the book matters, as they stand at any time."""
        ...


#: Makes the gateway of one partition over its market.
GatewayMaker: TypeAlias = Callable[[MarketState], Gateway]
#: Venue → who makes its gateway. Venues with the same maker share one gateway.
GatewayTable: TypeAlias = Mapping[str, GatewayMaker]


def open_gateways(table: GatewayTable, market: MarketState) -> Gateway:
    """One gateway for all venues of a table: the only one that there is, or one that asks the right one.

    Raises LaneError when the table is empty.
    """
    if not table:
        raise LaneError("no gateway is named for any venue; orders would go nowhere")
    made = {maker: maker(market) for maker in dict.fromkeys(table.values())}
    if len(made) == 1:
        return next(iter(made.values()))
    return Routed({venue: made[maker] for venue, maker in table.items()})


class Routed:
    """Several gateways as one: an order goes to its venue's, and what is due comes from all in the order of time."""

    def __init__(self, by_venue: Mapping[str, Gateway]) -> None:
        self._by_venue = by_venue
        self._all = tuple({id(one): one for one in by_venue.values()}.values())
        self._consumed = _AnyOf([one.consumed for one in self._all])

    def send(self, commands: Iterable[Command]) -> None:
        """As Gateway."""
        for command in commands:
            self._of(command.request).send((command,))

    def expected_ns(self, command: Command) -> int:
        """As Gateway."""
        return self._of(command.request).expected_ns(command)

    def leaves_ns(self, request: OrderRequested, terms: PaperTerms) -> int:
        """As Gateway."""
        return self._of(request).leaves_ns(request, terms)

    def sent(self, word: OrderSent) -> None:
        """As Gateway."""
        for one in self._all:
            if any(request.order_id == word.order_id for request in one.unsent()):
                one.sent(word)

    def unsent(self) -> list[OrderRequested]:
        """As Gateway."""
        return [request for one in self._all for request in one.unsent()]

    def begin(self, change: Change) -> None:
        """As Gateway."""
        for one in self._all:
            one.begin(change)

    @property
    def next_due_ns(self) -> int:
        """As Gateway."""
        return min(one.next_due_ns for one in self._all)

    def peek(self) -> Due | None:
        """As Gateway."""
        first = self._first()
        return None if first is None else first.peek()

    def pop(self) -> OrderReport | None:
        """As Gateway. Of things due together, those inside a venue go first, then those of the venue named first."""
        first = self._first()
        assert first is not None, "something is due"
        return first.pop()

    def top(self, instrument_id: str) -> tuple[Level | None, Level | None]:
        """As Gateway."""
        one = self._by_venue.get(instrument_id.partition(":")[0])
        return (None, None) if one is None else one.top(instrument_id)

    def image(self) -> msgspec.Raw:
        """As Gateway."""
        return msgspec.Raw(msgspec.json.encode([one.image() for one in self._all]))

    def restore(self, image: msgspec.Raw) -> None:
        """As Gateway."""
        images = msgspec.json.decode(image, type=list[msgspec.Raw])
        if len(images) != len(self._all):
            raise CheckpointError(f"it holds {len(images)} gateways, here are {len(self._all)}")
        for one, part in zip(self._all, images, strict=True):
            one.restore(part)

    def busy_trades(self) -> set[str]:
        """As Gateway."""
        return {trade_id for one in self._all for trade_id in one.busy_trades()}

    @property
    def attentive(self) -> bool:
        """As Gateway."""
        return any(one.attentive for one in self._all)

    @property
    def consumed(self) -> Container[str]:
        """As Gateway."""
        return self._consumed

    def _of(self, request: OrderRequested | CancelRequested) -> Gateway:
        gateway = self._by_venue.get(request.venue)
        if gateway is None:
            raise LaneError(f"no gateway is named for {request.venue}; known are {', '.join(self._by_venue)}")
        return gateway

    def _first(self) -> Gateway | None:
        best: tuple[Due, Gateway] | None = None
        for one in self._all:
            due = one.peek()
            if due is not None and (best is None or due < best[0]):
                best = (due, one)
        return None if best is None else best[1]


class _AnyOf:
    def __init__(self, parts: list[Container[str]]) -> None:
        self._parts = parts

    def __contains__(self, name: object) -> bool:
        return any(name in part for part in self._parts)
