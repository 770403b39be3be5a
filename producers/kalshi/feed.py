"""Kalshi's addresses and habits for the shell: signed handshake, books by REST. The server pings; the library answers.

Decides nothing. The handshake is signed anew for each connection: the venue refuses old stamps.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from urllib.parse import quote

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from crossbook.runtime.settings import KalshiSettings
from crossbook.venues.kalshi_auth import RequestSigner
from producers.connections.books_by_rest import NO_BATCHES, one_by_one, split
from producers.connections.connection import FRAME_MAX, FRAMES_QUEUED_MAX
from schemas.records import InstrumentListed

#: A batch holds a hundred books; where there are none, a public address may read some four books a second.
BATCH_MAX = 100
SINGLES_MAX = 20
SINGLES_SPACING_S = 0.25


class _Row(msgspec.Struct):
    """What names a book of a batch."""

    ticker: str


class _Batch(msgspec.Struct):
    """The body of `GET /markets/orderbooks`."""

    orderbooks: list[msgspec.Raw]


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
        self._books_url: str | None = (
            f"{settings.rest_url.rstrip('/')}/markets/orderbooks"  # None: there are no batches
        )

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

    async def fetch_books(self, listed: Sequence[InstrumentListed]) -> dict[str, bytes]:
        """The whole books. Raises httpx.HTTPError."""
        asked = listed[:BATCH_MAX]
        if self._books_url is not None:
            response = await self._client.get(self._books_url, params=[("tickers", one.symbol) for one in asked])
            if response.status_code not in NO_BATCHES:
                response.raise_for_status()
                try:
                    rows = msgspec.json.decode(response.content, type=_Batch).orderbooks
                except msgspec.MsgspecError:
                    return {}
                return dict(split(rows, _name_of, {one.symbol: one for one in asked}))
            self._books_url = None
        return await one_by_one(self.fetch_book, listed, most=SINGLES_MAX, at_once=1, spacing_s=SINGLES_SPACING_S)


def _name_of(body: bytes) -> str:
    return msgspec.json.decode(body, type=_Row).ticker
