"""The sandbox's Binance socket: raw and combined streams, commands and their errors, quotes and trades.

Decides what each connection is told. Laws of the venue: `/ws/<stream>` is raw, `/stream?streams=a/b` wraps each frame; a stream
that does not exist is acknowledged and stays silent; more than five messages a second, or more than 1,024 streams, end the
connection; the server pings every 20 s; a shutdown is announced.
"""

import json
from collections import deque
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.http11 import Request

from deploy.sandbox.binance import wire
from deploy.sandbox.binance.price import FIRST_UPDATE_ID, Spot, SpotEvent, SpotQuote
from deploy.sandbox.faults import FaultBoard, Verdict
from deploy.sandbox.frames import VenueSocket, text_frame

RAW_PATH = "/ws"
COMBINED_PATH = "/stream"
MESSAGES_PER_S = 5
STREAMS_MAX = 1_024
ID_LENGTH_MAX = 36
PING_EVERY_NS = 20_000_000_000
#: Before the world starts the opening quote is repeated this often: a real spot market is never silent.
IDLE_NS = 100_000_000
METHODS = ("SUBSCRIBE", "UNSUBSCRIBE", "LIST_SUBSCRIPTIONS", "SET_PROPERTY", "GET_PROPERTY")


def is_binance(path: str) -> bool:
    """Whether a path is this venue's: below /ws it names streams, and a stream has an @ or begins with an exclamation mark."""
    if not path.startswith(f"{RAW_PATH}/"):
        return path in {RAW_PATH, COMBINED_PATH}
    return all("@" in name or name.startswith("!") for name in path[len(RAW_PATH) + 1 :].split("/"))


class _Session:
    """One connection: its streams in the order of subscription, and whether frames are wrapped."""

    __slots__ = ("combined", "messages", "streams")

    def __init__(self, path: str) -> None:
        parts = urlsplit(path)
        self.combined = parts.path == COMBINED_PATH
        names = parse_qs(parts.query).get("streams", [""])[0] if self.combined else parts.path[len(RAW_PATH) + 1 :]
        self.streams = dict.fromkeys(name for name in names.split("/") if name)
        self.messages: deque[int] = deque(maxlen=MESSAGES_PER_S)


class _RefusedError(Exception):
    """A command that is answered with an error."""

    def __init__(self, code: int, msg: str) -> None:
        super().__init__(msg)
        self.code = code


class BinanceHub:
    """All connections; `publish` is called with the spot's events, in order."""

    def __init__(self, spot: Spot, board: FaultBoard, wall_ns: Callable[[], int], now_ns: Callable[[], int]) -> None:
        self._spot = spot
        self._board = board
        self._wall_ns = wall_ns
        self._now_ns = now_ns
        self._sessions: dict[VenueSocket, _Session] = {}
        self._asked_path = RAW_PATH
        self._held: list[tuple[str, str]] = []
        self._pinged_ns = now_ns()
        self._idle_ns = 0
        self._idle_id = FIRST_UPDATE_ID - 1_000_000_000
        self.overflows = 0

    # -- connections

    def refuse(self, request: Request) -> tuple[int, str] | None:
        # `join` follows in the same call of the socket, and only the request knows the streams that its address names.
        self._asked_path = request.path
        return None

    def join(self, socket: VenueSocket) -> None:
        self._sessions[socket] = session = _Session(self._asked_path)
        if len(session.streams) > STREAMS_MAX:
            socket.close()

    def leave(self, socket: VenueSocket) -> None:
        self._sessions.pop(socket, None)

    def overflow(self, socket: VenueSocket) -> None:
        self.overflows += 1
        socket.abort()

    @property
    def sockets(self) -> list[VenueSocket]:
        return list(self._sessions)

    # -- commands

    def receive(self, socket: VenueSocket, text: str) -> None:
        session = self._sessions[socket]
        now_ns = self._now_ns()
        if len(session.messages) == MESSAGES_PER_S and now_ns - session.messages[0] < 1_000_000_000:
            socket.close()
            return
        session.messages.append(now_ns)
        number: object = None
        try:
            command = _parse(text)
            number = _request_id(command.get("id"))
            answer = json.dumps({"result": self._command(session, command), "id": number}, separators=(",", ":"))
        except _RefusedError as refused:
            answer = json.dumps({"code": refused.code, "msg": str(refused), "id": number}, separators=(",", ":"))
        socket.send(text_frame(answer.encode()))
        if len(session.streams) > STREAMS_MAX:
            socket.close()

    def _command(self, session: _Session, command: dict[str, Any]) -> object:
        method, params = command.get("method"), command.get("params", [])
        if method is None:
            raise _RefusedError(2, "Invalid request: missing field `method` at line 1 column 2")
        if method not in METHODS:
            known = ", ".join(f"`{one}`" for one in METHODS)
            raise _RefusedError(
                2, f"Invalid request: unknown variant `{method}`, expected one of {known} at line 1 column 2"
            )
        if method == "LIST_SUBSCRIPTIONS":
            return list(session.streams)
        if not isinstance(params, list):
            raise _RefusedError(2, "Invalid request: params must be an array")
        if method in {"SET_PROPERTY", "GET_PROPERTY"}:
            return _property(session, params, changes=method == "SET_PROPERTY")
        if not params or not all(isinstance(one, str) for one in params):
            raise _RefusedError(2, "Invalid request: params must be an array of stream names")
        for name in params:
            if method == "SUBSCRIBE":
                session.streams[name] = None
            else:
                session.streams.pop(name, None)
        return None

    # -- data

    def publish(self, events: list[SpotEvent], started_wall_ns: int) -> None:
        """Tell what happened, unless a fault says otherwise."""
        if not self._sessions:
            return
        for event in events:
            verdict = Verdict.SEND if self._board.quiet else self._board.verdict(0, self._now_ns())
            if verdict is Verdict.DROP:
                continue
            wall_ns = started_wall_ns + event.t_ns
            if isinstance(event, SpotQuote):
                frames = [(wire.QUOTES, wire.quote(event))]
            else:
                frames = [(wire.TRADES, wire.trade(event, wall_ns)), (wire.AGG_TRADES, wire.agg_trade(event, wall_ns))]
            if verdict is Verdict.HOLD:
                self._held += frames
                continue
            held, self._held = self._held, []
            for kind, payload in (*frames, *(frames if verdict is Verdict.TWICE else ()), *held):
                self._send(kind, payload)

    def turn(self, *, started: bool) -> None:
        """Ping when it is time; before the world starts, repeat the opening quote with another size."""
        now_ns = self._now_ns()
        if now_ns - self._pinged_ns >= PING_EVERY_NS:
            self._pinged_ns = now_ns
            for socket in self._sessions:
                socket.ping(str(self._wall_ns() // 1_000_000).encode())
        if started or not self._sessions or now_ns - self._idle_ns < IDLE_NS or self._board.silent(0, now_ns):
            return
        self._idle_ns = now_ns
        self._idle_id += 1
        size = 1_000_000 + self._idle_id % 1_000 * 1_000
        self._send(wire.QUOTES, wire.quote(self._spot.newest._replace(update_id=self._idle_id, bid_size=size)))
        self.flush()

    def _send(self, kind: str, payload: str) -> None:
        name = wire.stream_of(kind)
        raw = wrapped = b""
        for socket, session in self._sessions.items():
            if name not in session.streams:
                continue
            if session.combined:
                wrapped = wrapped or text_frame(wire.combined(name, payload).encode())
                socket.send(wrapped)
            else:
                raw = raw or text_frame(payload.encode())
                socket.send(raw)

    def flush(self) -> None:
        for socket in self.sockets:
            socket.flush()

    # -- faults

    def inject(self, text: str) -> int:
        """Send a made-up frame to every connection; returns how many got it."""
        frame = text_frame(text.encode())
        for socket in self._sessions:
            socket.send(frame)
        self.flush()
        return len(self._sessions)

    def bad_frame(self, kind: str) -> int:
        """Send one frame of a kind of garbage."""
        return self.inject(wire.garbage(kind, self._spot.newest))

    def announce_shutdown(self) -> int:
        """Tell every connection that it will be closed; the caller closes them later."""
        notice = wire.shutdown(self._wall_ns())
        for socket, session in self._sessions.items():
            socket.send(text_frame((wire.combined("!serverShutdown", notice) if session.combined else notice).encode()))
        self.flush()
        return len(self._sessions)


def _parse(text: str) -> dict[str, Any]:
    try:
        command = json.loads(text)
    except ValueError:
        raise _RefusedError(3, "Invalid JSON: expected value at line 1 column 1") from None
    if not isinstance(command, dict):
        raise _RefusedError(2, "Invalid request: expected an object at line 1 column 1")
    return command


def _request_id(number: object) -> object:
    whole = isinstance(number, int) and not isinstance(number, bool) and -(2**63) <= number < 2**63
    if number is None or whole or (isinstance(number, str) and len(number) <= ID_LENGTH_MAX):
        return number
    raise _RefusedError(2, "Invalid request: request ID must be an integer, a short string or null")


def _property(session: _Session, params: list[Any], *, changes: bool) -> object:
    if len(params) != 1 + changes:
        raise _RefusedError(2, "Invalid request: too many parameters")
    if not isinstance(params[0], str):
        raise _RefusedError(2, "Invalid request: property name must be a string")
    if params[0] != "combined":
        raise _RefusedError(0, "Unknown property")
    if not changes:
        return session.combined
    if not isinstance(params[1], bool):
        raise _RefusedError(1, "Invalid value type: expected Boolean")
    session.combined = params[1]
    return None
