"""The plug-in's venue itself on the loopback: a socket that answers subscriptions with books and goes on by itself, and REST."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

#: Best bids and asks by market, one after the other. The first two pair: YES of ONE and NO of TWO cost 90 cents and four of fees.
PRICES = {
    "ONE": (("0.36", "0.40"), ("0.34", "0.38")),
    "TWO": (("0.50", "0.54"), ("0.52", "0.56")),
    "SIX": (("0.44", "0.48"), ("0.42", "0.46")),
}


class AcmeExchange:
    """Three markets. `pace_s`: how often each of them trades and shows its book anew; None: it only answers."""

    def __init__(self, pace_s: float | None = None) -> None:
        self.markets: list[dict[str, Any]] = [{"symbol": name, "open": True, "payout": None} for name in PRICES]
        self.subscribed: list[list[str]] = []
        self.requests: list[str] = []
        self._pace_s = pace_s
        self._round = 0

    async def socket(self, connection: ServerConnection) -> None:
        """One connection of a feed."""
        mine: list[str] = []
        self.subscribed.append(mine)
        lively = asyncio.create_task(self._go_on(connection, mine))
        try:
            async for text in connection:
                for symbol in json.loads(text).get("subscribe", []):
                    mine.append(symbol)
                    await connection.send(json.dumps(self.book(symbol)))
                    level = {"level": symbol, "side": "bid", "price": "0.30", "size": "3"}
                    await connection.send(json.dumps(level))
        finally:
            lively.cancel()

    async def _go_on(self, connection: ServerConnection, mine: list[str]) -> None:
        if self._pace_s is None:
            return
        try:
            for number in count(1):
                await asyncio.sleep(self._pace_s)
                self._round = number
                for symbol in mine:
                    trade = {"trade": symbol, "id": number, "price": self.best(symbol)[1], "size": "1", "side": "buy"}
                    await connection.send(json.dumps(trade))
                    await connection.send(json.dumps(self.book(symbol)))
        except ConnectionClosed:
            return

    def book(self, symbol: str) -> dict[str, Any]:
        """The book of a market, whole, as it stands now."""
        bid, ask = self.best(symbol)
        return {"book": symbol, "bids": [[bid, "10"]], "asks": [[ask, "20"]]}

    def best(self, symbol: str) -> tuple[str, str]:
        """Best bid and ask of a market as they stand now."""
        prices = PRICES[symbol]
        return prices[self._round % len(prices)]

    async def rest(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request: the markets, or a book."""
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.requests.append(path)
        body = json.dumps(self.markets if path == "/markets" else self.book(path.rpartition("/")[2])).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def exchange(pace_s: float | None = None) -> AsyncIterator[tuple[AcmeExchange, dict[str, str]]]:
    """The venue, and the section of settings that reaches it."""
    venue = AcmeExchange(pace_s)
    async with serve(venue.socket, "127.0.0.1", 0) as sockets:
        rest = await asyncio.start_server(venue.rest, "127.0.0.1", 0)
        port, rest_port = (next(iter(one.sockets)).getsockname()[1] for one in (sockets, rest))
        async with rest:
            yield venue, {"url": f"http://127.0.0.1:{rest_port}", "socket_url": f"ws://127.0.0.1:{port}"}


@contextmanager
def exchange_in_a_thread(pace_s: float) -> Iterator[dict[str, str]]:
    """The venue beside whatever the block does; the section of settings that reaches it."""
    loop, stop, ready = asyncio.new_event_loop(), asyncio.Event(), threading.Event()
    section: dict[str, str] = {}

    async def run() -> None:
        async with exchange(pace_s) as (_, reached):
            section.update(reached)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    try:
        assert ready.wait(30), "the exchange does not listen"
        yield section
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
