"""Polymarket's addresses and habits for the shell: market socket, text PING, books by REST.

Decides nothing. It must never send anything but subscriptions and PING.
"""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from crossbook.runtime.settings import PolymarketSettings
from producers.connections.books_by_rest import NO_BATCHES, one_by_one, split
from producers.connections.connection import FRAME_MAX, FRAMES_QUEUED_MAX
from schemas.records import InstrumentListed

#: `POST /books` takes 500; where there is none, `/book` may be read 150 times a second.
SINGLES_MAX = 100
SINGLES_AT_ONCE = 8
SINGLES_SPACING_S = 0.05


class _Row(msgspec.Struct):
    """What names a book of a batch."""

    asset_id: str


class PolymarketVenue:
    """The real venue or the sandbox, by address."""

    heartbeat: str | None = "PING"

    def __init__(self, settings: PolymarketSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._book_url = f"{settings.clob_url.rstrip('/')}/book"
        self._books_url: str | None = f"{settings.clob_url.rstrip('/')}/books"  # None: there are no batches

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

    async def fetch_books(self, listed: Sequence[InstrumentListed]) -> dict[str, bytes]:
        """The YES tokens' books. Raises httpx.HTTPError."""
        if self._books_url is not None:
            body = [{"token_id": one.yes_token or ""} for one in listed]
            response = await self._client.post(self._books_url, json=body)
            if response.status_code not in NO_BATCHES:
                response.raise_for_status()
                by_token = {one.yes_token or "": one for one in listed}
                try:
                    rows = msgspec.json.decode(response.content, type=list[msgspec.Raw])
                except msgspec.MsgspecError:
                    return {}
                return dict(split(rows, _name_of, by_token))
            self._books_url = None
        return await one_by_one(
            self.fetch_book, listed, most=SINGLES_MAX, at_once=SINGLES_AT_ONCE, spacing_s=SINGLES_SPACING_S
        )


def _name_of(body: bytes) -> str:
    return msgspec.json.decode(body, type=_Row).asset_id
