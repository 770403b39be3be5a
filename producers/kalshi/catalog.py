"""Kalshi's catalogue: open events with their markets, their fees now and announced, and what finalized markets pay.

Decides which markets can be listed safely and turns a row into InstrumentListed, and which statement of a payout is believed. Grid
names are ignored, `price_ranges` count. It must never price from here (answers are up to 15 s old), never list a market under a fee
type that it does not know, and never pay out where result and settlement value do not say the same.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import httpx

from crossbook.domain.errors import DomainError
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.names import KALSHI, instrument_id
from crossbook.runtime.settings import KalshiSettings
from crossbook.venues.policies import POLICIES
from producers.connections.rest import read_json
from producers.errors import CatalogError, ListingError
from producers.feeds.fields import digest, micros, rows, text, time_ns, volume_micros
from producers.kalshi.fees import NO_CHANGES, FeeChanges, Member, fee
from schemas.records import InstrumentListed, InstrumentSettled, InstrumentStatus, OrderMinimum

PAGE = 200
PAGES_MAX = 2_000
QUANTITY_STEP_MICROS = 10_000
#: Markets asked for at once by ticker: keeps the address of a request well below 8 kB.
TICKERS = 100
#: A market before its open is listed as active: it opens by the clock, and nothing tells when it does.
_STATUS: dict[str, InstrumentStatus] = {"active": "active", "inactive": "paused", "initialized": "active"}
_PAID = {"yes": MICROS, "no": 0}


class KalshiCatalog:
    """Reader of the catalogue."""

    def __init__(self, settings: KalshiSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._root = settings.rest_url.rstrip("/")

    async def discover(
        self, volume_min_micros: int, limit: int, ts_ns: int, refused: list[str]
    ) -> list[InstrumentListed]:
        """Open markets at or above the volume (contracts, each of one dollar), the most traded first.

        Raises:
            CatalogError: the catalogue does not answer.
        """
        chosen: list[tuple[int, dict[str, Any], dict[str, Any]]] = []
        async for page in self._pages():
            for event in page:
                for market in _nested(event):
                    volume = volume_micros(market.get("volume_fp")) or 0
                    if volume >= volume_min_micros and market.get("market_type") == "binary":
                        chosen.append((volume, event, market))
        chosen.sort(key=lambda entry: (-entry[0], text(entry[2].get("ticker"))))
        series: dict[str, Any] = {}
        changes = await self.fee_changes(refused)
        found: list[InstrumentListed] = []
        for _, event, market in chosen[:limit]:
            listed = await self._list(event, market, series, changes, ts_ns, refused)
            if listed is not None:
                found.append(listed)
        return found

    async def find(self, symbol: str, ts_ns: int, refused: list[str]) -> InstrumentListed | None:
        """One market by ticker, whatever its volume; None when the venue does not have it."""
        try:
            market = (await read_json(self._client, f"{self._root}/markets/{symbol}")).get("market")
            event_ticker = text(market.get("event_ticker"))
            event = (await read_json(self._client, f"{self._root}/events/{event_ticker}")).get("event")
        except CatalogError as error:
            if "HTTP 404" in str(error):
                return None
            raise
        except AttributeError as error:
            raise CatalogError(f"/markets/{symbol} answered another form than {{market}}") from error
        changes = await self.fee_changes(refused)
        return await self._list(event if isinstance(event, dict) else {}, market, {}, changes, ts_ns, refused)

    async def settlements(
        self, listed: Sequence[InstrumentListed], ts_ns: int, refused: list[str]
    ) -> list[InstrumentSettled]:
        """The payouts of those that are finalized; see `settled`."""
        found: list[InstrumentSettled] = []
        url = f"{self._root}/markets"
        for start in range(0, len(listed), TICKERS):
            asked = {one.symbol: one for one in listed[start : start + TICKERS]}
            params = {"tickers": ",".join(asked), "limit": str(len(asked))}
            for market in rows(await read_json(self._client, url, params), "markets", url):
                one = asked.get(text(market.get("ticker")))
                payout = None if one is None else settled(one, market, ts_ns, refused)
                found += [] if payout is None else [payout]
        return found

    async def fee_changes(self, refused: list[str]) -> FeeChanges:
        """What the venue has announced; what it does not answer is named, and the fees in force are read anew with each listing."""
        pages: list[list[dict[str, Any]]] = []
        for path, name in (("series", "series_fee_change_arr"), ("events", "event_fee_changes")):
            url = f"{self._root}/{path}/fee_changes"
            try:
                pages.append(rows(await read_json(self._client, url), name, url))
            except CatalogError as error:
                refused.append(f"kalshi: announced fee changes cannot be read: {error}")
                pages.append([])
        return FeeChanges(*pages)

    async def _pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        url = f"{self._root}/events"
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"limit": str(PAGE), "with_nested_markets": "true", "status": "open"}
            if cursor:
                params["cursor"] = cursor
            body = await read_json(self._client, url, params)
            yield rows(body, "events", url)
            cursor = text(body.get("cursor"))
            if not cursor:
                return

    async def _list(
        self,
        event: dict[str, Any],
        market: dict[str, Any],
        series: dict[str, Any],
        changes: FeeChanges,
        ts_ns: int,
        refused: list[str],
    ) -> InstrumentListed | None:
        ticker = text(event.get("series_ticker"))
        try:
            if ticker not in series:
                body = await read_json(self._client, f"{self._root}/series/{ticker}")
                found = body.get("series") if isinstance(body, dict) else None
                series[ticker] = found if isinstance(found, dict) else {}
            return listing(event, market, series[ticker], self._settings.member, ts_ns, changes)
        except (ListingError, DomainError, CatalogError) as error:
            refused.append(f"kalshi {text(market.get('ticker'))}: {error}")
            return None


def listing(
    event: dict[str, Any],
    market: dict[str, Any],
    series: dict[str, Any],
    member: Member,
    ts_ns: int,
    changes: FeeChanges = NO_CHANGES,
) -> InstrumentListed:
    """One market, its event and its series as a listing. Numbers are text; see `read_json`.

    Raises:
        ListingError: something that matters is missing or unknown.
        DomainError: a number is out of its bounds.
    """
    ticker = text(market.get("ticker"))
    ranges = market.get("price_ranges")
    if not isinstance(ranges, list) or not all(isinstance(one, dict) for one in ranges):
        raise ListingError("price_ranges is missing")
    if market.get("market_type") != "binary":
        raise ListingError(f"market_type {market.get('market_type')!r} is not binary")
    open_ns, close_ns = time_ns(market.get("open_time")), time_ns(market.get("close_time"))
    status = text(market.get("status"))
    if close_ns is None:
        raise ListingError("close_time is missing: nobody knows until when it trades")
    if status == "initialized" and open_ns is None:
        raise ListingError("open_time is missing: nobody knows from when on it trades")
    expected_ns = time_ns(market.get("expected_expiration_time"))
    timer = market.get("settlement_timer_seconds")
    timer_ns = int(timer) * 1_000_000_000 if isinstance(timer, str) and timer.isdigit() and len(timer) < 10 else 0
    sources = series.get("settlement_sources")
    source = sources[0].get("name") if isinstance(sources, list) and sources and isinstance(sources[0], dict) else ""
    shard = market.get("exchange_index", "0")
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id(KALSHI, ticker),
        venue=KALSHI,
        symbol=ticker,
        yes_token=None,
        no_token=None,
        event_id=f"{KALSHI}:{text(event.get('event_ticker')) or text(market.get('event_ticker'))}",
        series_id=text(event.get("series_ticker")) or None,
        group="",
        title=(text(market.get("title")) or text(event.get("title")))[:500],
        category=(text(event.get("category")) or text(series.get("category")) or "other").lower(),
        rules_hash=digest(f"{text(market.get('rules_primary'))}\n{text(market.get('rules_secondary'))}"),
        resolution_source=text(source)[:500],
        grid=PriceGrid.from_decimal_ranges(ranges).ranges,
        quantity_step_micros=QUANTITY_STEP_MICROS,
        minimums=minimums(),
        taker_delay_ms=0,
        ts_close_ns=close_ns,
        ts_payout_expected_ns=None if expected_ns is None else expected_ns + timer_ns,
        ts_game_start_ns=None,
        neg_risk=False,
        exchange_version="trade-api-v2",
        shard=int(shard) if isinstance(shard, str) and shard.isdigit() and len(shard) < 6 else 0,
        volume_micros=volume_micros(market.get("volume_fp")),
        status=_STATUS.get(status, "closed"),
        fee_schedule=fee(event, series, member),
        policy=POLICIES[KALSHI],
        keyframe=False,
        ts_open_ns=open_ns,
        fee_changes=changes.ahead(event, series, member, ts_ns),
    )


def minimums() -> tuple[OrderMinimum, ...]:
    """Smallest orders: one step of 0.01 contracts, of every type and side."""
    return tuple(
        OrderMinimum(order_type=order_type, side=side, quantity_micros=QUANTITY_STEP_MICROS, notional_micros=0)
        for order_type in ("marketable", "resting")
        for side in ("buy", "sell")
    )


def payout(market: dict[str, Any]) -> int | None:
    """What one YES of a market pays, micros; None while that is not final.

    Both words have to say the same: `result` who won, `settlement_value_dollars` what YES pays. A result of yes or no says the payout
    by itself where the value is absent; a scalar result needs its value.

    Raises:
        ListingError: the market is final, and the two contradict each other or do not say what is paid.
    """
    if market.get("status") != "finalized":
        return None
    result, value = market.get("result"), market.get("settlement_value_dollars")
    paid = None if value is None else micros(value, "settlement_value_dollars")
    if paid is not None and not 0 <= paid <= MICROS:
        raise ListingError(f"its settlement value {value!r} is no price")
    if result == "scalar":
        if paid is None:
            raise ListingError("its result is scalar and no settlement value is stated")
        return paid
    if not isinstance(result, str) or result not in _PAID:
        raise ListingError(f"it is finalized with result {result!r:.40} and settlement value {value!r:.40}")
    if paid is not None and paid != _PAID[result]:
        raise ListingError(f"its result {result!r} and its settlement value {value!r} contradict each other")
    return _PAID[result]


def settled(
    listed: InstrumentListed, market: dict[str, Any], ts_ns: int, refused: list[str] | None = None
) -> InstrumentSettled | None:
    """The payout of a finalized market; None before, and while it cannot be believed, which is named in `refused`."""
    try:
        paid = payout(market)
    except ListingError as error:
        if refused is not None:
            refused.append(f"kalshi {listed.symbol} is not paid out: {error}")
        return None
    if paid is None:
        return None
    return InstrumentSettled(
        ts_received_ns=ts_ns,
        ts_venue_ns=time_ns(market.get("settlement_ts")),
        instrument_id=listed.instrument_id,
        payout_yes_micros=paid,
        source="GET /markets of a finalized market",
    )


def _nested(event: dict[str, Any]) -> list[dict[str, Any]]:
    markets = event.get("markets")
    return [market for market in markets if isinstance(market, dict)] if isinstance(markets, list) else []
