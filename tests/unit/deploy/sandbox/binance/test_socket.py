"""The sandbox's Binance socket: addresses, commands, errors, wrapping, limits and faults, without a network."""

import json
from typing import Any

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Request

from deploy.sandbox.binance import wire
from deploy.sandbox.binance.price import Spot, SpotQuote, SpotTrade
from deploy.sandbox.binance.socket import STREAMS_MAX, BinanceHub, is_binance
from deploy.sandbox.faults import GARBAGE_KINDS, FaultBoard, parse_fault
from deploy.sandbox.frames import text_frame

WALL_NS = 1_790_000_000_000_000_000
QUOTE = SpotQuote(5_000_000, 77, 6_000_012, 1_500_000, 6_000_013, 20)
TRADE = SpotTrade(5_000_000, 9, 6_000_013, 2_000, False)


class Line:
    """Stands where a VenueSocket stands: keeps what is sent."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.closed = False

    def send(self, frame: bytes) -> None:
        self.frames.append(frame)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    abort = close

    def ping(self, body: bytes) -> None:
        self.frames.append(b"ping " + body)

    def texts(self) -> list[str]:
        taken, self.frames = self.frames, []
        return [_text(frame) for frame in taken]


def _text(frame: bytes) -> str:
    body = frame[2:] if frame[1] < 126 else frame[4:]
    assert text_frame(body) == frame
    return body.decode()


class Bench:
    """A hub at a settable time."""

    def __init__(self) -> None:
        self.now_ns = 1
        self.board = FaultBoard()
        self.hub = BinanceHub(Spot("a"), self.board, lambda: WALL_NS, lambda: self.now_ns)

    def join(self, path: str) -> Line:
        line: Any = Line()
        assert self.hub.refuse(Request(path, Headers())) is None
        self.hub.join(line)
        return line

    def say(self, line: Any, command: Any) -> Any:
        self.now_ns += 1_000_000_000
        self.hub.receive(line, command if isinstance(command, str) else json.dumps(command))
        return json.loads(line.texts()[-1])

    def publish(self, *events: Any) -> None:
        self.hub.publish(list(events), WALL_NS)


def test_paths() -> None:
    assert all(is_binance(path) for path in ("/ws", "/ws/btcusdt@trade", "/ws/a@trade/!serverShutdown", "/stream"))
    assert not any(is_binance(path) for path in ("/", "/wsx", "/stream/x", "/ws/market/other", "/trade-api/ws/v2"))


def test_combined_and_raw_frames() -> None:
    bench = Bench()
    wrapped, raw = bench.join("/stream?streams=btcusdt@bookTicker/btcusdt@aggTrade"), bench.join("/ws/btcusdt@trade")
    bench.publish(QUOTE, TRADE)
    quote, agg = (json.loads(text) for text in wrapped.texts())
    assert quote == {
        "stream": "btcusdt@bookTicker",
        "data": {
            "u": 77,
            "s": "BTCUSDT",
            "b": "60000.12000000",
            "B": "1.50000000",
            "a": "60000.13000000",
            "A": "0.00002000",
        },
    }
    ms = WALL_NS // 1_000_000 + 5
    assert agg["data"] == {
        "e": "aggTrade", "E": ms, "s": "BTCUSDT", "a": 9, "p": "60000.13000000", "q": "0.00200000", "f": 9, "l": 9,
        "T": ms, "m": False, "M": True,
    }  # fmt: skip
    (trade,) = (json.loads(text) for text in raw.texts())
    assert trade == {
        "e": "trade", "E": ms, "s": "BTCUSDT", "t": 9, "p": "60000.13000000", "q": "0.00200000", "T": ms, "m": False,
        "M": True,
    }  # fmt: skip


def test_commands() -> None:
    bench = Bench()
    line = bench.join("/stream")
    bench.publish(QUOTE)
    assert line.texts() == []
    names = ["btcusdt@bookTicker", "nosuch@trade"]
    assert bench.say(line, {"method": "SUBSCRIBE", "params": names, "id": 1}) == {"result": None, "id": 1}
    assert bench.say(line, {"method": "LIST_SUBSCRIPTIONS", "id": "x"}) == {"result": names, "id": "x"}
    bench.publish(QUOTE)
    assert len(line.texts()) == 1
    assert bench.say(line, {"method": "GET_PROPERTY", "params": ["combined"], "id": 2}) == {"result": True, "id": 2}
    bench.say(line, {"method": "SET_PROPERTY", "params": ["combined", False], "id": 3})
    bench.publish(QUOTE)
    assert "stream" not in json.loads(line.texts()[0])
    bench.say(line, {"method": "UNSUBSCRIBE", "params": names, "id": None})
    bench.publish(QUOTE)
    assert line.texts() == []


@pytest.mark.parametrize(
    ("command", "code", "word", "number"),
    [
        ("{", 3, "Invalid JSON", None),
        ([], 2, "expected an object", None),
        ({"id": 1}, 2, "missing field", 1),
        ({"method": "DANCE", "id": 1}, 2, "unknown variant `DANCE`", 1),
        ({"method": "SUBSCRIBE", "params": [], "id": 1}, 2, "stream names", 1),
        ({"method": "SUBSCRIBE", "params": "x", "id": 1}, 2, "array", 1),
        ({"method": "SUBSCRIBE", "params": [3], "id": 1}, 2, "stream names", 1),
        ({"method": "SUBSCRIBE", "params": ["a"], "id": 1.5}, 2, "request ID", None),
        ({"method": "SUBSCRIBE", "params": ["a"], "id": "x" * 37}, 2, "request ID", None),
        ({"method": "GET_PROPERTY", "params": ["colour"], "id": 1}, 0, "Unknown property", 1),
        ({"method": "GET_PROPERTY", "params": [5], "id": 1}, 2, "property name", 1),
        ({"method": "SET_PROPERTY", "params": ["combined", "yes"], "id": 1}, 1, "expected Boolean", 1),
        ({"method": "SET_PROPERTY", "params": ["combined"], "id": 1}, 2, "parameters", 1),
    ],
)
def test_errors(command: Any, code: int, word: str, number: Any) -> None:
    bench = Bench()
    answer = bench.say(bench.join("/ws"), command)
    assert (answer["code"], answer["id"]) == (code, number)
    assert word in answer["msg"]


def test_limits_end_the_connection() -> None:
    bench = Bench()
    fast: Any = bench.join("/ws")
    for _ in range(6):
        assert not fast.closed
        bench.hub.receive(fast, '{"method":"LIST_SUBSCRIPTIONS","id":1}')
    assert fast.closed
    greedy: Any = bench.join("/ws")
    bench.say(greedy, {"method": "SUBSCRIBE", "params": [f"s{n}@trade" for n in range(STREAMS_MAX + 1)], "id": 1})
    assert greedy.closed


def test_before_the_start_the_opening_quote_is_repeated_and_pings_come() -> None:
    bench = Bench()
    line = bench.join("/ws/btcusdt@bookTicker")
    for _ in range(20):
        bench.now_ns += 100_000_000
        bench.hub.turn(started=False)
    quotes = [json.loads(text) for text in line.texts()]
    assert len(quotes) == 20
    ids = [quote["u"] for quote in quotes]
    assert ids == sorted(set(ids))
    assert ids[-1] < Spot("a").take(10**9)[0].update_id  # type: ignore[union-attr]
    bench.now_ns += 20_000_000_000
    bench.hub.turn(started=True)
    assert line.frames == [b"ping 1790000000000"]


def arm(bench: Bench, fault: str, **more: Any) -> None:
    bench.board.arm(parse_fault({"venue": "binance", "fault": fault, **more}), None, bench.now_ns)


def test_frame_faults_and_silence() -> None:
    bench = Bench()
    line = bench.join("/ws/btcusdt@bookTicker")
    later = QUOTE._replace(update_id=78)
    for fault, ids in (("drop_delta", [78]), ("duplicate", [77, 77, 78]), ("reorder", [78, 77])):
        arm(bench, fault)
        bench.publish(QUOTE, later)
        assert [json.loads(text)["u"] for text in line.texts()] == ids
    arm(bench, "silence", seconds=1)
    bench.publish(QUOTE)
    assert line.texts() == []
    bench.now_ns += 2_000_000_000
    bench.publish(QUOTE)
    assert len(line.texts()) == 1


def test_garbage_and_the_shutdown_notice() -> None:
    bench = Bench()
    wrapped, raw = bench.join("/stream?streams=btcusdt@bookTicker"), bench.join("/ws")
    assert bench.hub.announce_shutdown() == 2
    assert json.loads(wrapped.texts()[0])["stream"] == "!serverShutdown"
    assert json.loads(raw.texts()[0])["e"] == "serverShutdown"
    bad = [wire.garbage(kind, Spot("a").newest) for kind in GARBAGE_KINDS]
    assert len(set(bad)) == len(GARBAGE_KINDS)
    for kind in GARBAGE_KINDS:
        assert bench.hub.bad_frame(kind) == 2
    assert wrapped.texts() == bad
