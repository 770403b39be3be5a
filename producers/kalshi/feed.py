"""Kalshi's addresses and habits for the shell: signed handshake, book by REST. The server pings; the library answers.

Decides nothing. The handshake is signed anew for each connection: the venue refuses old stamps.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import httpx
from websockets.asyncio.client import ClientConnection, connect

from crossbook.runtime.settings import KalshiSettings
from producers.feed import FRAME_MAX, FRAMES_QUEUED_MAX
from producers.kalshi.auth import RequestSigner
from schemas.records import InstrumentListed


class KalshiVenue:
    """The real venue or the sandbox, by address."""

    heartbeat: str | None = None

    def __init__(
        self, settings: KalshiSettings, client: httpx.AsyncClient, signer: RequestSigner, wall_ns: Callable[[], int]
    ) -> None:
        self._settings = settings
        self._client = client
        self._signer = signer
        self._wall_ns = wall_ns

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        """Open the socket with signed headers."""
        return connect(
            self._settings.ws_url,
            additional_headers=self._signer.headers("GET", self._settings.ws_url, self._wall_ns() // 1_000_000),
            compression=None,
            max_size=FRAME_MAX,
            max_queue=FRAMES_QUEUED_MAX,
            open_timeout=10,
            close_timeout=1,
            ping_interval=10,
            ping_timeout=10,
        )

    async def fetch_book(self, listed: InstrumentListed) -> bytes:
        """The whole book. Raises httpx.HTTPError."""
        url = f"{self._settings.rest_url.rstrip('/')}/markets/{quote(listed.symbol, safe='')}/orderbook"
        response = await self._client.get(url)
        response.raise_for_status()
        return response.content
