"""Polymarket's addresses and habits for the shell: market socket, text PING, book by REST.

Decides nothing. It must never send anything but subscriptions and PING.
"""

from contextlib import AbstractAsyncContextManager

import httpx
from websockets.asyncio.client import ClientConnection, connect

from crossbook.runtime.settings import PolymarketSettings
from producers.feed import FRAME_MAX, FRAMES_QUEUED_MAX
from schemas.records import InstrumentListed


class PolymarketVenue:
    """The real venue or the sandbox, by address."""

    heartbeat: str | None = "PING"

    def __init__(self, settings: PolymarketSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._book_url = f"{settings.clob_url.rstrip('/')}/book"

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        """Open the market socket. Protocol pings beside PING find a half-open connection."""
        return connect(
            self._settings.ws_url,
            compression=None,
            max_size=FRAME_MAX,
            max_queue=FRAMES_QUEUED_MAX,
            open_timeout=10,
            close_timeout=1,
            ping_interval=10,
            ping_timeout=10,
        )

    async def fetch_book(self, listed: InstrumentListed) -> bytes:
        """The YES token's book. Raises httpx.HTTPError."""
        response = await self._client.get(self._book_url, params={"token_id": listed.yes_token or ""})
        response.raise_for_status()
        return response.content
