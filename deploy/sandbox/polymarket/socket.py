"""The sandbox's Polymarket market socket: subscriptions, books, price changes, trades, tick changes.

Decides what each subscriber is told. Laws: there is no sequence, no acknowledgement and no error for an unknown asset,
only silence; the first frame is an array of books; a ``book`` follows each trade; text PING is answered PONG.
"""

import json
from collections.abc import Callable, Mapping

from websockets.http11 import Request

from deploy.sandbox.faults import FaultBoard, Verdict
from deploy.sandbox.frames import VenueSocket, text_frame
from deploy.sandbox.polymarket import wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TickChanged, TradeDone

PATH = "/ws/market"
_PONG = text_frame(b"PONG")


class PolymarketHub:
    """All Polymarket market-channel connections; ``publish_*`` is called with each world event, in order."""

    def __init__(
        self,
        tokens: Mapping[str, tuple[Market, bool]],
        board: FaultBoard,
        stamp_ns: Callable[[], int],
        now_ns: Callable[[], int],
    ) -> None:
        self._tokens = tokens
        self._board = board
        # The world's own time, not the wall's: a book stamped later than changes that follow it would void them.
        self._stamp_ns = stamp_ns
        self._now_ns = now_ns
        self._assets: dict[VenueSocket, set[str]] = {}
        self._by_market: dict[int, list[VenueSocket]] = {}
        self._held: list[tuple[int, bytes]] = []
        self.overflows = 0

    # -- connections

    def refuse(self, request: Request) -> tuple[int, str] | None:
        del request
        return None

    def join(self, socket: VenueSocket) -> None:
        self._assets[socket] = set()

    def leave(self, socket: VenueSocket) -> None:
        self._assets.pop(socket, None)
        for receivers in self._by_market.values():
            if socket in receivers:
                receivers.remove(socket)

    def overflow(self, socket: VenueSocket) -> None:
        self.overflows += 1
        socket.abort()

    @property
    def sockets(self) -> list[VenueSocket]:
        return list(self._assets)

    @property
    def subscribed(self) -> bool:
        return any(self._by_market.values())

    # -- commands

    def receive(self, socket: VenueSocket, text: str) -> None:
        if text.strip() == "PING":
            socket.send(_PONG)
            return
        try:
            command = json.loads(text)
        except ValueError:
            return  # the venue does not answer what it does not understand
        if not isinstance(command, dict):
            return
        assets = command.get("assets_ids")
        if not isinstance(assets, list):
            return
        known = [a for a in assets if isinstance(a, str) and a in self._tokens]
        if command.get("operation") == "unsubscribe":
            self._drop(socket, known)
        elif command.get("type") == "market" or command.get("operation") == "subscribe":
            self._add(socket, known, dump=command.get("initial_dump", True) is not False)

    def _add(self, socket: VenueSocket, assets: list[str], *, dump: bool) -> None:
        self._assets[socket].update(assets)
        books = []
        for asset in dict.fromkeys(assets):
            market, yes = self._tokens[asset]
            receivers = self._by_market.setdefault(market.index, [])
            if socket not in receivers:
                receivers.append(socket)
            if not self._board.silent(market.index, self._now_ns()):
                books.append(wire.socket_book(market, yes=yes, wall_ms=self._stamp_ns() // 1_000_000, initial=True))
        if dump and books:
            socket.send(text_frame(f"[{','.join(books)}]\n".encode()))

    def _drop(self, socket: VenueSocket, assets: list[str]) -> None:
        mine = self._assets[socket]
        mine.difference_update(assets)
        for asset in assets:
            market, _ = self._tokens[asset]
            receivers = self._by_market.get(market.index, [])
            if socket in receivers and not self._wanted(mine, market):
                receivers.remove(socket)

    @staticmethod
    def _wanted(mine: set[str], market: Market) -> bool:
        listing = wire.listing_of(market)
        return listing.token_yes in mine or listing.token_no in mine

    # -- data

    def publish_level(self, market: Market, event: LevelSet, wall_ns: int) -> None:
        if not self._by_market.get(market.index):
            return
        verdict = Verdict.SEND if self._board.quiet else self._board.verdict(market.index, self._now_ns())
        if verdict is Verdict.DROP:
            return
        frame = text_frame(wire.price_change(market, event, wall_ns // 1_000_000))
        if verdict is Verdict.HOLD:
            self._held.append((market.index, frame))
            return
        self._send(market.index, frame)
        if verdict is Verdict.TWICE:
            self._send(market.index, frame)
        if self._held:
            held, self._held = self._held, []
            for index, late in held:
                self._send(index, late)

    def publish_trade(self, market: Market, event: TradeDone, wall_ns: int) -> None:
        if self._by_market.get(market.index) and not self._board.silent(market.index, self._now_ns()):
            self._send(market.index, text_frame(wire.last_trade(market, event, wall_ns // 1_000_000)))

    def publish_books(self, market: Market, wall_ns: int) -> None:
        """The book of each token that a receiver holds, as the venue sends it after a trade."""
        if self._board.silent(market.index, self._now_ns()):
            return
        listing = wire.listing_of(market)
        receivers = self._by_market.get(market.index, [])
        for token, yes in ((listing.token_yes, True), (listing.token_no, False)):
            wanted = [s for s in receivers if token in self._assets[s]]
            if wanted:
                text = wire.socket_book(market, yes=yes, wall_ms=wall_ns // 1_000_000, initial=False)
                frame = text_frame(text.encode())
                for socket in wanted:
                    socket.send(frame)

    def publish_tick(self, market: Market, event: TickChanged, wall_ns: int) -> None:
        """One ``tick_size_change`` a token; a fresh book with the new tick follows, as after a new subscription."""
        if self._board.silent(market.index, self._now_ns()):
            return
        listing = wire.listing_of(market)
        wall_ms = wall_ns // 1_000_000
        for token, yes in ((listing.token_yes, True), (listing.token_no, False)):
            for socket in self._by_market.get(market.index, []):
                if token in self._assets[socket]:
                    socket.send(text_frame(wire.tick_size_change(market, event, token, wall_ms)))
                    book = wire.socket_book(market, yes=yes, wall_ms=wall_ms, initial=True)
                    socket.send(text_frame(book.encode()))

    def _send(self, market: int, frame: bytes) -> None:
        for socket in self._by_market.get(market, []):
            socket.send(frame)

    def inject(self, market: Market, payload: bytes) -> int:
        """Send a made-up message to the market's subscribers; returns how many got it."""
        receivers = self._by_market.get(market.index, [])
        self._send(market.index, text_frame(payload))
        for socket in receivers:
            socket.flush()
        return len(receivers)

    def inject_raw(self, payload: bytes) -> int:
        """Send bytes to every connection."""
        for socket in self._assets:
            socket.send(text_frame(payload))
            socket.flush()
        return len(self._assets)
