"""Binance's address and habits for the shell: the combined socket, and the feed that the settings ask for.

Decides nothing about frames. The server pings every 20 s and the library answers; we send no pings of our own, for a slow reader
would be cut by them (close code 1011): silence is judged by the age of data instead.
"""

import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import structlog
from websockets.asyncio.client import ClientConnection, connect

from crossbook.runtime.settings import BinanceSettings, Settings
from producers.binance.protocol import BinanceProtocol
from producers.connections.connection import FRAME_MAX, FRAMES_QUEUED_MAX, TIMER_S, Sink, SocketFeed
from producers.feeds.backoff import DialBudget

MS = 1_000_000
#: The shell looks this often at what is held, however short the interval: held quotes are late by at most half an interval.
TIMER_LEAST_S = 0.005


class BinanceVenue:
    """The real venue or the sandbox, by address."""

    heartbeat: str | None = None

    def __init__(self, settings: BinanceSettings) -> None:
        self._settings = settings

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        """Open the combined socket without streams; the protocol subscribes, so that a refusal is answered."""
        return connect(
            f"{self._settings.ws_url.rstrip('/')}/stream",
            compression=None,
            max_size=FRAME_MAX,
            max_queue=FRAMES_QUEUED_MAX,
            open_timeout=10,
            close_timeout=1,
            ping_interval=None,
        )


def reference_feeds(
    settings: Settings,
    sink: Sink,
    stamp: Callable[[], int],
    sessions: dict[str, int],
    log: structlog.stdlib.BoundLogger,
) -> list[SocketFeed[BinanceProtocol]]:
    """The reference feeds that the settings ask for: one for all symbols, none without symbols."""
    binance = settings.binance
    if not binance.symbols:
        return []
    protocol = BinanceProtocol(
        binance.symbols,
        trades=binance.trades,
        interval_ns=binance.quote_interval_ms * MS,
        silence_ns=binance.silence_ms * MS,
        watch_quotes=True,
    )
    feed = SocketFeed(
        protocol=protocol,
        dialer=BinanceVenue(binance),
        settings=settings.feed,
        sink=sink,
        stamp=stamp,
        session_floor=sessions.get(protocol.feed, 0),
        log=log,
        rng=random.Random(),
        budget=DialBudget(),
        timer_s=min(TIMER_S, max(TIMER_LEAST_S, binance.quote_interval_ms / 2_000)),
    )
    return [feed]
