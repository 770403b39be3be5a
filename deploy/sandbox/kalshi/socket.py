"""The sandbox's Kalshi socket: commands, subscriptions with their sequence, snapshots, deltas, trades.

Decides what each subscriber is told. Laws: ``seq`` is per (connection, sid), shared by all its tickers and by ``ok`` and
``unsubscribed``; ``subscribed`` and errors carry none; a second subscribe on a channel merges into the sid, is answered
``ok`` and gives no snapshot for tickers already held. A dropped frame has consumed its sequence number. The lifecycle
channel takes no tickers and tells of every market.
"""

import json
from collections.abc import Callable, Mapping

from websockets.http11 import Request

from deploy.sandbox.faults import FaultBoard, Verdict
from deploy.sandbox.frames import VenueSocket, text_frame
from deploy.sandbox.kalshi import keys as kalshi_keys
from deploy.sandbox.kalshi import wire as kalshi_wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TradeDone

PATH = "/trade-api/ws/v2"
BOOKS, TRADES, LIFECYCLE = "orderbook_delta", "trade", "market_lifecycle_v2"
PING_BODY = b"heartbeat"
_ERRORS = {
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market Ticker required",
    15: "Action required",
    25: "Subscription buffer overflow",
}


class RefusedError(Exception):
    """A command that is answered by an error frame with this code."""

    def __init__(self, code: int) -> None:
        super().__init__(_ERRORS[code])
        self.code = code


class Subscription:
    """One sid of one connection."""

    __slots__ = ("channel", "held", "seq", "sid", "socket", "tickers", "yes_price")

    def __init__(self, socket: VenueSocket, sid: int, channel: str, *, yes_price: bool) -> None:
        self.socket = socket
        self.sid = sid
        self.channel = channel
        self.yes_price = yes_price
        self.tickers: dict[str, None] = {}
        self.seq = 0
        self.held: list[bytes] = []

    def frame(self, kind: str, msg: str, extra: str = "") -> bytes:
        """A sequenced frame of this sid; calling it consumes the number."""
        self.seq += 1
        return text_frame(f'{{"type":"{kind}",{extra}"sid":{self.sid},"seq":{self.seq},"msg":{msg}}}'.encode())


class KalshiHub:
    """All Kalshi connections; ``publish_*`` is called with each world event, in order."""

    def __init__(
        self, markets: Mapping[str, Market], board: FaultBoard, wall_ns: Callable[[], int], now_ns: Callable[[], int]
    ) -> None:
        self._markets = markets
        self._board = board
        self._wall_ns = wall_ns
        self._now_ns = now_ns
        self._subscriptions: dict[VenueSocket, dict[int, Subscription]] = {}
        self._by_ticker: dict[tuple[str, str], list[Subscription]] = {}
        self._sids: dict[VenueSocket, int] = {}
        self.overflows = 0

    # -- connections

    def refuse(self, request: Request) -> tuple[int, str] | None:
        headers = {name.upper(): value for name, value in request.headers.raw_items()}
        return kalshi_keys.refusal(headers, method="GET", path=request.path, now_ms=self._wall_ns() // 1_000_000)

    def join(self, socket: VenueSocket) -> None:
        self._subscriptions[socket] = {}
        self._sids[socket] = 0

    def leave(self, socket: VenueSocket) -> None:
        for subscription in list(self._subscriptions.pop(socket, {}).values()):
            self._detach(subscription, list(subscription.tickers))
        self._sids.pop(socket, None)

    def overflow(self, socket: VenueSocket) -> None:
        """Error 25 and the loss of the subscriptions: what a slow consumer gets."""
        self.overflows += 1
        lost = self._subscriptions.get(socket, {})
        for subscription in list(lost.values()):
            self._detach(subscription, list(subscription.tickers))
            socket.write_last(text_frame(_error(25, f'"sid":{subscription.sid},')))
        lost.clear()
        socket.close()

    @property
    def sockets(self) -> list[VenueSocket]:
        return list(self._subscriptions)

    @property
    def subscribed(self) -> bool:
        return any(self._by_ticker.values())

    # -- commands

    def receive(self, socket: VenueSocket, text: str) -> None:
        identity = ""
        try:
            command = json.loads(text)
        except ValueError:
            socket.send(text_frame(_error(1, "")))
            return
        if isinstance(command, dict) and isinstance(command.get("id"), int):
            identity = f'"id":{command["id"]},'
        try:
            self._obey(socket, command, identity)
        except RefusedError as refused:
            socket.send(text_frame(_error(refused.code, identity)))

    def _obey(self, socket: VenueSocket, command: object, identity: str) -> None:
        if not isinstance(command, dict):
            raise RefusedError(1)
        name, params = command.get("cmd"), command.get("params")
        if name == "list_subscriptions":
            rows = [{"channel": s.channel, "sid": s.sid} for s in self._subscriptions[socket].values()]
            socket.send(
                text_frame(f'{{{identity}"type":"ok","msg":{json.dumps(rows, separators=(",", ":"))}}}'.encode())
            )
            return
        if name not in ("subscribe", "unsubscribe", "update_subscription"):
            raise RefusedError(5)
        if not isinstance(params, dict):
            raise RefusedError(2)
        if name == "subscribe":
            self._subscribe(socket, params, identity)
        elif name == "unsubscribe":
            self._unsubscribe(socket, params, identity)
        else:
            self._update(socket, params, identity)

    def _subscribe(self, socket: VenueSocket, params: dict[str, object], identity: str) -> None:
        channels = params.get("channels")
        if not isinstance(channels, list) or not channels:
            raise RefusedError(3)
        if any(channel not in (BOOKS, TRADES, LIFECYCLE) for channel in channels):
            raise RefusedError(8)
        tickers = _tickers(params)
        if BOOKS in channels and not tickers:
            raise RefusedError(14)
        mine = self._subscriptions[socket]
        for channel in channels:
            held = next((s for s in mine.values() if s.channel == channel), None)
            if held is not None:
                fresh = self._attach(held, tickers)
                self._acknowledge(held, identity)
                self._snapshots(held, fresh)
                continue
            self._sids[socket] += 1
            yes_price = params.get("use_yes_price") is True
            subscription = Subscription(socket, self._sids[socket], str(channel), yes_price=yes_price)
            mine[subscription.sid] = subscription
            socket.send(
                text_frame(
                    f'{{{identity}"type":"subscribed","msg":{{"channel":"{channel}","sid":{subscription.sid}}}}}'.encode()
                )
            )
            wanted = tickers or (list(self._markets) if channel == TRADES else [])
            self._snapshots(subscription, self._attach(subscription, wanted))

    def _unsubscribe(self, socket: VenueSocket, params: dict[str, object], identity: str) -> None:
        sids = params.get("sids")
        if not isinstance(sids, list) or not sids:
            raise RefusedError(4)
        mine = self._subscriptions[socket]
        if any(not isinstance(sid, int) or sid not in mine for sid in sids):
            raise RefusedError(7)
        for sid in sids:
            subscription = mine.pop(sid)
            self._detach(subscription, list(subscription.tickers))
            subscription.seq += 1
            socket.send(
                text_frame(f'{{{identity}"sid":{sid},"seq":{subscription.seq},"type":"unsubscribed"}}'.encode())
            )

    def _update(self, socket: VenueSocket, params: dict[str, object], identity: str) -> None:
        sids = params.get("sids", [params["sid"]] if "sid" in params else None)
        if not isinstance(sids, list) or len(sids) != 1:
            raise RefusedError(12)
        sid = sids[0]
        subscription = self._subscriptions[socket].get(sid) if isinstance(sid, int) else None
        if subscription is None:
            raise RefusedError(7)
        action, tickers = params.get("action"), _tickers(params)
        if action is None:
            raise RefusedError(15)
        if action not in ("add_markets", "delete_markets", "get_snapshot"):
            raise RefusedError(13)
        if not tickers:
            raise RefusedError(14)
        if action == "get_snapshot":
            self._snapshots(subscription, [t for t in tickers if t in subscription.tickers])
            return
        if action == "delete_markets":
            self._detach(subscription, tickers)
            self._acknowledge(subscription, identity)
            return
        self._attach(subscription, tickers)
        self._acknowledge(subscription, identity)
        self._snapshots(subscription, tickers)  # a ticker already held gets a fresh snapshot here

    def _attach(self, subscription: Subscription, tickers: list[str]) -> list[str]:
        fresh = [t for t in dict.fromkeys(tickers) if t not in subscription.tickers]
        for ticker in fresh:
            subscription.tickers[ticker] = None
            self._by_ticker.setdefault((subscription.channel, ticker), []).append(subscription)
        return fresh

    def _detach(self, subscription: Subscription, tickers: list[str]) -> None:
        for ticker in tickers:
            if ticker in subscription.tickers:
                del subscription.tickers[ticker]
                self._by_ticker[subscription.channel, ticker].remove(subscription)

    def _acknowledge(self, subscription: Subscription, identity: str) -> None:
        tickers = json.dumps(list(subscription.tickers), separators=(",", ":"))
        subscription.socket.send(subscription.frame("ok", f'{{"market_tickers":{tickers}}}', identity))

    def _snapshots(self, subscription: Subscription, tickers: list[str]) -> None:
        if subscription.channel != BOOKS:
            return
        for ticker in tickers:
            market = self._markets.get(ticker)
            if market is None:  # unknown or settled: an empty market id and no sides
                msg = f'{{"market_ticker":{json.dumps(ticker)},"market_id":""}}'
            elif self._board.silent(market.index, self._now_ns()):
                continue
            else:
                msg = kalshi_wire.snapshot_msg(market, yes_price=subscription.yes_price)
            subscription.socket.send(subscription.frame("orderbook_snapshot", msg))

    # -- data

    def publish_level(self, market: Market, event: LevelSet, wall_ns: int) -> None:
        receivers = self._by_ticker.get((BOOKS, kalshi_wire.listing_of(market).ticker))
        if not receivers:
            return
        verdict = Verdict.SEND if self._board.quiet else self._board.verdict(market.index, self._now_ns())
        msgs: dict[bool, str] = {}
        for subscription in receivers:
            way = subscription.yes_price
            if way not in msgs:
                msgs[way] = kalshi_wire.delta_msg(market, event, yes_price=way, wall_ns=wall_ns)
            self._deliver(subscription, subscription.frame("orderbook_delta", msgs[way]), verdict)

    def publish_trade(self, market: Market, event: TradeDone, wall_ns: int) -> None:
        receivers = self._by_ticker.get((TRADES, kalshi_wire.listing_of(market).ticker))
        if not receivers or self._board.silent(market.index, self._now_ns()):
            return
        msg = kalshi_wire.trade_msg(market, event, wall_ns)
        for subscription in receivers:
            subscription.socket.send(subscription.frame("trade", msg))

    def publish_lifecycle(self, kind: str, msg: str) -> int:
        """Tell everybody on the lifecycle channel, which has no filter; returns how many."""
        found = [s for mine in self._subscriptions.values() for s in mine.values() if s.channel == LIFECYCLE]
        for subscription in found:
            subscription.socket.send(subscription.frame(kind, msg))
            subscription.socket.flush()
        return len(found)

    def _deliver(self, subscription: Subscription, frame: bytes, verdict: Verdict) -> None:
        socket = subscription.socket
        if verdict is Verdict.DROP:
            return
        if verdict is Verdict.HOLD:
            subscription.held.append(frame)
            return
        socket.send(frame)
        if verdict is Verdict.TWICE:
            socket.send(frame)
        if subscription.held:
            for late in subscription.held:
                socket.send(late)
            subscription.held.clear()

    def inject(self, market: Market, msg_of: Callable[[bool], str], kind: str = "orderbook_delta") -> int:
        """Send a made-up sequenced message to the market's book subscribers; returns how many got it."""
        receivers = self._by_ticker.get((BOOKS, kalshi_wire.listing_of(market).ticker), [])
        for subscription in receivers:
            subscription.socket.send(subscription.frame(kind, msg_of(subscription.yes_price)))
            subscription.socket.flush()
        return len(receivers)

    def inject_raw(self, payload: bytes) -> int:
        """Send bytes that consume no sequence number to every connection."""
        for socket in self._subscriptions:
            socket.send(text_frame(payload))
            socket.flush()
        return len(self._subscriptions)


def _tickers(params: dict[str, object]) -> list[str]:
    tickers = params.get("market_tickers")
    if tickers is None and "market_ticker" in params:
        tickers = [params["market_ticker"]]
    if tickers is None:
        return []
    if not isinstance(tickers, list) or any(not isinstance(ticker, str) for ticker in tickers):
        raise RefusedError(11)
    return tickers


def _error(code: int, extra: str) -> bytes:
    return f'{{{extra}"type":"error","msg":{{"code":{code},"msg":"{_ERRORS[code]}"}}}}'.encode()
