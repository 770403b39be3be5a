"""A third venue, as a package beside the product would add it: words, settings, catalogue, protocol, connection, one row.

Its wire is made up: whole books `{"book", "bids", "asks"}`, levels `{"level", "side", "price", "size"}`, trades `{"trade", ...}`; prices in
dollars, text, a tick of a fiftieth. Nothing of the product is edited for it.
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any

import httpx
import msgspec
from websockets.asyncio.client import ClientConnection, connect

from crossbook.domain.errors import DomainError
from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import parse_micros, parse_price
from crossbook.runtime.settings import VenueSettings
from producers.errors import CatalogError, WireDriftError
from producers.feeds.followed import Followed
from producers.feeds.protocol import FetchBook, Output, VenueProtocol, decode_json
from producers.venues import VenueAdapter
from schemas.records import InstrumentListed, InstrumentSettled, OrderMinimum, PublicTrade, VenuePolicy
from tests.builders.plugin.fees import FLAT, FlatFee
from tests.builders.vocabularies import added_fee_model, added_words

ACME = "acme"
TICK_MICROS = 20_000
POLICY = VenuePolicy(crossed_book="broken", fill_finality="final", lead_rank=2)


@contextmanager
def plugged_in() -> Iterator[None]:
    """What the package does when it is imported, for the length of a block."""
    with added_words("venue", ACME), added_fee_model(FLAT, FlatFee()):
        yield


class AcmeSettings(VenueSettings):
    """Section `venues.acme`."""

    url: str
    socket_url: str = ""
    per_connection: int = 2


def listing(symbol: str, ts_ns: int, *, status: str = "active") -> InstrumentListed:
    """A market as the venue states it; its word and its fee model must be known."""
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=f"{ACME}:{symbol}",
        venue=ACME,
        symbol=symbol,
        event_id=f"{ACME}:{symbol}",
        group="",
        title=symbol,
        category="other",
        rules_hash="",
        resolution_source="",
        grid=PriceGrid.linear(TICK_MICROS).ranges,
        quantity_step_micros=1_000_000,
        minimums=(
            OrderMinimum(order_type="marketable", side="buy", quantity_micros=1_000_000, notional_micros=0),
            OrderMinimum(order_type="marketable", side="sell", quantity_micros=1_000_000, notional_micros=0),
        ),
        taker_delay_ms=0,
        neg_risk=False,
        exchange_version="1",
        shard=0,
        status=status,
        fee_schedule=make_schedule(model=FLAT, taker_rate_ppm=20_000, ts_effective_ns=0, source="acme"),
        policy=POLICY,
        keyframe=False,
    )


class AcmeCatalog:
    """`GET /markets`: a list of {"symbol", "open", "payout"}."""

    def __init__(self, settings: AcmeSettings, client: httpx.AsyncClient) -> None:
        self._url, self._client = f"{settings.url}/markets", client

    async def discover(
        self, volume_min_micros: int, limit: int, ts_ns: int, refused: list[str]
    ) -> list[InstrumentListed]:
        return [listing(row["symbol"], ts_ns) for row in await self._rows() if row["open"]][:limit]

    async def find(self, symbol: str, ts_ns: int, refused: list[str]) -> InstrumentListed | None:
        found = [row for row in await self._rows() if row["symbol"] == symbol]
        return listing(symbol, ts_ns, status="active" if found[0]["open"] else "closed") if found else None

    async def settlements(
        self, listed: Sequence[InstrumentListed], ts_ns: int, refused: list[str]
    ) -> list[InstrumentSettled]:
        asked = {one.symbol: one for one in listed}
        return [
            InstrumentSettled(
                ts_received_ns=ts_ns,
                instrument_id=asked[row["symbol"]].instrument_id,
                payout_yes_micros=parse_price(row["payout"]),
                source="GET /markets",
            )
            for row in await self._rows()
            if row["symbol"] in asked and row["payout"] is not None
        ]

    async def _rows(self) -> list[dict[str, Any]]:
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            rows: list[dict[str, Any]] = msgspec.json.decode(response.content)
        except (httpx.HTTPError, msgspec.MsgspecError) as error:
            raise CatalogError(f"acme: {error}") from error
        return rows


class AcmeConnection:
    """Socket and books by REST."""

    heartbeat: str | None = None

    def __init__(self, settings: AcmeSettings, client: httpx.AsyncClient) -> None:
        self._settings, self._client = settings, client

    def connect(self) -> AbstractAsyncContextManager[ClientConnection]:
        return connect(self._settings.socket_url, compression=None)

    async def fetch_book(self, listed: InstrumentListed) -> bytes:
        response = await self._client.get(f"{self._settings.url}/books/{listed.symbol}")
        response.raise_for_status()
        return response.content

    async def fetch_books(self, listed: Sequence[InstrumentListed]) -> dict[str, bytes]:
        return {one.instrument_id: await self.fetch_book(one) for one in listed}


class AcmeProtocol(VenueProtocol):
    """One connection; a subscription is answered by a whole book."""

    venue = ACME

    def __init__(self, feed: str = ACME, **times: int) -> None:
        super().__init__(feed, **times)
        self._symbols: dict[str, Followed] = {}

    def receive(self, frame: bytes | str, ts_ns: int) -> list[Output]:
        raw = frame.encode("utf-8", "surrogatepass") if isinstance(frame, str) else frame
        self.counters["frames"] += 1
        outputs: list[Output] = []
        try:
            content = decode_json(raw)
            if type(content) is not dict:
                raise WireDriftError("a frame is no JSON object")
            self._event(content, ts_ns, outputs)
        except (WireDriftError, DomainError, KeyError, TypeError, ValueError, AttributeError) as error:
            outputs.append(self._dead("drift", f"{type(error).__name__}: {error}"[:200], raw, ts_ns))
            for symbol, one in self._symbols.items():
                if symbol.encode() in raw:
                    outputs += self.distrust(one.id, "a frame that names it was not read", ts_ns)
        return outputs

    def _event(self, event: dict[str, Any], ts_ns: int, outputs: list[Output]) -> None:
        if "book" in event:
            self._take_book(self._named(event["book"]), event, ts_ns, outputs)
        elif "level" in event:
            one = self._named(event["level"])
            price, size = self._price(one, event["price"]), parse_micros(event["size"])
            if event["side"] not in {"bid", "ask"} or size < 0:
                raise WireDriftError("a level is a bid or an ask of some size")
            self._data_came(ts_ns, outputs)
            self._heard(one, ts_ns)
            is_bid = event["side"] == "bid"
            if one.valid and one.mirror.set(price, size, is_bid=is_bid):
                level = [(price, size)]
                outputs.append(self._delta(one, level if is_bid else [], [] if is_bid else level, None, ts_ns))
            self.counters["levels"] += 1
        elif "trade" in event:
            one = self._named(event["trade"])
            outputs.append(
                PublicTrade(
                    ts_received_ns=ts_ns,
                    instrument_id=one.id,
                    feed=self.feed,
                    session=self.session,
                    trade_id=str(event["id"]),
                    price_micros=self._price(one, event["price"]),
                    quantity_micros=parse_micros(event["size"]),
                    taker_side={"buy": "buy", "sell": "sell"}[event["side"]],
                )
            )
        else:
            raise WireDriftError("a frame is a book, a level or a trade")

    def _take_book(self, one: Followed, event: dict[str, Any], ts_ns: int, outputs: list[Output]) -> None:
        bids, asks = self._sides(one, event)
        self._data_came(ts_ns, outputs)
        self._answered(one, ts_ns)
        if one.valid and (bids, asks) == (one.mirror.bids, one.mirror.asks):
            self.counters["same_book"] += 1
            return
        one.mirror.replace(bids, asks)
        self._show(one, ts_ns, outputs)

    def _named(self, symbol: str) -> Followed:
        one = self._symbols.get(symbol)
        if one is None:
            raise WireDriftError(f"market {symbol!r:.40} is not followed")
        return one

    @staticmethod
    def _price(one: Followed, text: str) -> int:
        price = parse_price(text)
        if not one.grid.contains(price):
            raise WireDriftError(f"price {text!r:.20} lies on no tick")
        return price

    def _sides(self, one: Followed, event: dict[str, Any]) -> tuple[dict[int, int], dict[int, int]]:
        sides: list[dict[int, int]] = []
        for name in ("bids", "asks"):
            rows = event[name]
            side = {self._price(one, price): parse_micros(size) for price, size in rows}
            if len(side) != len(rows) or any(size <= 0 for size in side.values()):
                raise WireDriftError("a level stands twice, or is empty")
            sides.append(side)
        if sides[0] and sides[1] and max(sides[0]) >= min(sides[1]):
            raise WireDriftError("a crossed book")
        return sides[0], sides[1]

    def rest_book(self, instrument_id: str, body: bytes, ts_ns: int) -> list[Output]:
        one = self.followed.get(instrument_id)
        outputs: list[Output] = []
        if one is not None:
            self._take_book(one, decode_json(body), ts_ns, outputs)
        return outputs

    def rest_differs(self, instrument_id: str, body: bytes) -> bool | None:
        one = self.followed.get(instrument_id)
        if one is None or not (one.valid or one.withheld):
            return None
        return self._sides(one, decode_json(body)) != (one.mirror.bids, one.mirror.asks)

    def distrust(self, instrument_id: str, reason: str, ts_ns: int) -> list[Output]:
        one = self.followed.get(instrument_id)
        return [] if one is None else [*self._fail_closed([one], reason, ts_ns), *self._ask_again(ts_ns)]

    def _ask_again(self, ts_ns: int) -> list[Output]:
        due = [self.followed[name] for name in self._troubled if name in self.followed]
        return [FetchBook(instrument_id=one.id, reason=one.reason) for one in due if self._due(one, ts_ns)]

    def _subscribe(self, ts_ns: int) -> None:
        self._subscribe_more(list(self.followed.values()), ts_ns)

    def _subscribe_more(self, ones: list[Followed], ts_ns: int) -> None:
        if ones:
            self._outgoing.append(json.dumps({"subscribe": [one.listed.symbol for one in ones]}))
            self._subscription_asked(ts_ns)

    def _unsubscribe(self, one: Followed) -> None:
        self._outgoing.append(json.dumps({"unsubscribe": [one.listed.symbol]}))

    def _renew_subscription(self, ones: list[Followed], ts_ns: int) -> None:
        for one in ones:
            self._unsubscribe(one)
        self._subscribe_more(ones, ts_ns)

    def _index(self, one: Followed) -> None:
        self._symbols[one.listed.symbol] = one

    def _unindex(self, one: Followed) -> None:
        self._symbols.pop(one.listed.symbol, None)


ADAPTER = VenueAdapter(
    venue=ACME,
    section=AcmeSettings,
    catalogue=AcmeCatalog,
    protocol=AcmeProtocol,
    connection=AcmeConnection,
    assets_per_connection=lambda settings: settings.per_connection,
    dials_max=30,
)
