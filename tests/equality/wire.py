"""A venue of the sandbox and the feed that listens to it, joined without sockets: frames go over as bytes, after a fixed delay.

Decides nothing of either: the hub is the sandbox's own, the protocol the producers' own.
"""

import json
from collections.abc import Callable, Sequence
from typing import Protocol

from deploy.sandbox.frames import VenueSocket
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.polymarket import wire as polymarket_wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.pricing import contracts, dollars
from producers.feeds.protocol import VenueProtocol

#: Lengths of a frame's head by the length that its second byte states.
_HEAD = {126: 4, 127: 10}


class Hub(Protocol):
    """What is used of a venue's hub."""

    def join(self, socket: VenueSocket) -> None:
        """A connection is there."""

    def receive(self, socket: VenueSocket, text: str) -> None:
        """It said something."""

    def leave(self, socket: VenueSocket) -> None:
        """It is gone."""


class HeldSocket(VenueSocket):
    """A connection that keeps what was sent on it as the payloads of its frames."""

    def __init__(self) -> None:
        super().__init__(lambda _path: None)
        self.payloads: list[bytes] = []

    def send(self, frame: bytes) -> None:
        """Keep the payload of one frame."""
        self.payloads.append(frame[_HEAD.get(frame[1], 2) :])

    def flush(self) -> None:
        """Nothing is queued elsewhere."""

    def take(self) -> list[bytes]:
        """What was sent since the last call."""
        found, self.payloads = self.payloads, []
        return found


class Line:
    """One feed on one connection after another; `delay_ns` is what a frame needs from the venue to us."""

    def __init__(self, hub: Hub, protocol: VenueProtocol, book: Callable[[Market], bytes], delay_ns: int) -> None:
        self.hub, self.protocol, self.book, self.delay_ns = hub, protocol, book, delay_ns
        self.socket: HeldSocket | None = None
        self.connection = 0

    def open(self) -> HeldSocket:
        """A new connection; the protocol is told by the caller."""
        self.socket = HeldSocket()
        self.connection += 1
        self.hub.join(self.socket)
        return self.socket

    def close(self) -> None:
        """The connection is gone, with whatever is on its way."""
        if self.socket is not None:
            self.hub.leave(self.socket)
        self.socket = None
        self.connection += 1

    def say(self) -> None:
        """Let the hub hear what the protocol queued."""
        for text in self.protocol.to_send():
            if self.socket is not None:
                self.hub.receive(self.socket, text)


def polymarket_book(market: Market, wall_ns: int) -> bytes:
    """The answer of `GET /book` for the YES token."""
    return polymarket_wire.rest_book(market, yes=True, wall_ms=wall_ns // 1_000_000).encode()


def kalshi_book(market: Market, _wall_ns: int) -> bytes:
    """A row of `GET /markets/orderbooks`: both sides, best price last."""
    yes, no = kalshi_wire.sides(market, yes_price=False)

    def rows(levels: Sequence[tuple[int, int]]) -> list[list[str]]:
        return [[dollars(price), contracts(size)] for price, size in levels]

    body = {"yes_dollars": rows(yes), "no_dollars": rows(no)}
    return json.dumps({"ticker": kalshi_wire.listing_of(market).ticker, "orderbook_fp": body}).encode()
