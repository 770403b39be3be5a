"""Kalshi's catalogue: open events with their markets, and the fee schedule of their series.

Decides which markets can be listed safely and turns a row into InstrumentListed. Grid names are ignored, `price_ranges` count;
an event's fee override beats its series. It must never price from here (answers are up to 15 s old), and never list a market
under a fee type that it does not know.
"""

from collections.abc import AsyncIterator
from typing import Any, Literal

import httpx

from crossbook.domain.errors import DomainError
from crossbook.domain.fees import KALSHI_DIRECT_PRECISION_MICROS, KALSHI_FCM_PRECISION_MICROS, make_schedule
from crossbook.domain.grid import PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.venues import KALSHI, instrument_id
from crossbook.runtime.settings import KalshiSettings
from producers.errors import CatalogError, ListingError
from producers.reading import digest, micros, read_json, rows, text, time_ns, volume_micros
from schemas.records import FeeSchedule, InstrumentListed, InstrumentSettled, InstrumentStatus, OrderMinimum

PAGE = 200
PAGES_MAX = 2_000
QUANTITY_STEP_MICROS = 10_000
TAKER_RATE_PPM = 70_000
#: Maker coefficient as parts per thousand of the taker's, by fee type. (Fee schedule of 2026-07-07)
MAKER_PER_MILLE = {"quadratic": 0, "quadratic_with_maker_fees": 250, "quadratic_with_combo_maker_fees": 500}
_STATUS: dict[str, InstrumentStatus] = {"active": "active", "inactive": "paused", "initialized": "paused"}
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
        found: list[InstrumentListed] = []
        for _, event, market in chosen[:limit]:
            listed = await self._list(event, market, series, ts_ns, refused)
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
        return await self._list(event if isinstance(event, dict) else {}, market, {}, ts_ns, refused)

    async def settlement(self, listed: InstrumentListed, ts_ns: int) -> InstrumentSettled | None:
        """The payout, once the market is finalized; None before."""
        body = await read_json(self._client, f"{self._root}/markets/{listed.symbol}")
        market = body.get("market") if isinstance(body, dict) else None
        return settled(listed, market, ts_ns) if isinstance(market, dict) else None

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
        self, event: dict[str, Any], market: dict[str, Any], series: dict[str, Any], ts_ns: int, refused: list[str]
    ) -> InstrumentListed | None:
        ticker = text(event.get("series_ticker"))
        try:
            if ticker not in series:
                body = await read_json(self._client, f"{self._root}/series/{ticker}")
                found = body.get("series") if isinstance(body, dict) else None
                series[ticker] = found if isinstance(found, dict) else {}
            return listing(event, market, series[ticker], self._settings.member, ts_ns)
        except (ListingError, DomainError, CatalogError) as error:
            refused.append(f"kalshi {text(market.get('ticker'))}: {error}")
            return None


def listing(
    event: dict[str, Any], market: dict[str, Any], series: dict[str, Any], member: Literal["direct", "fcm"], ts_ns: int
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
        ts_close_ns=time_ns(market.get("close_time")),
        ts_payout_expected_ns=None if expected_ns is None else expected_ns + timer_ns,
        ts_game_start_ns=None,
        neg_risk=False,
        exchange_version="trade-api-v2",
        shard=int(shard) if isinstance(shard, str) and shard.isdigit() and len(shard) < 6 else 0,
        volume_micros=volume_micros(market.get("volume_fp")),
        status=_STATUS.get(text(market.get("status")), "closed"),
        fee_schedule=fee(event, series, member),
        keyframe=False,
    )


def minimums() -> tuple[OrderMinimum, ...]:
    """Smallest orders: one step of 0.01 contracts, of every type and side."""
    return tuple(
        OrderMinimum(order_type=order_type, side=side, quantity_micros=QUANTITY_STEP_MICROS, notional_micros=0)
        for order_type in ("marketable", "resting")
        for side in ("buy", "sell")
    )


def fee(event: dict[str, Any], series: dict[str, Any], member: Literal["direct", "fcm"]) -> FeeSchedule:
    """The schedule in force: the event's override, else the series. Raises ListingError for a type that is not known."""
    overridden = event.get("fee_type_override") or event.get("fee_multiplier_override") is not None
    fee_type = text(event.get("fee_type_override")) or text(series.get("fee_type"))
    multiplier = event.get("fee_multiplier_override")
    if multiplier is None:
        multiplier = series.get("fee_multiplier")
    if fee_type not in MAKER_PER_MILLE:
        raise ListingError(f"fee_type {fee_type!r} is unknown: unknown fee")
    factor = micros(multiplier, "fee_multiplier")
    taker, rest = divmod(TAKER_RATE_PPM * factor, MICROS)
    # Whether the multiplier scales the maker's part is not stated; charging makers the larger of both never under-charges.
    maker, maker_rest = divmod(TAKER_RATE_PPM * MAKER_PER_MILLE[fee_type] * max(factor, MICROS), 1_000 * MICROS)
    if rest or maker_rest or factor < 0:
        raise ListingError(f"fee_multiplier {multiplier!r} gives no whole rate: unknown fee")
    return make_schedule(
        model="kalshi_quadratic",
        taker_rate_ppm=taker,
        maker_rate_ppm=maker,
        member_precision_micros=KALSHI_DIRECT_PRECISION_MICROS if member == "direct" else KALSHI_FCM_PRECISION_MICROS,
        ts_effective_ns=0,
        source=f"GET /{'events' if overridden else 'series'} {fee_type} x{multiplier}",
    )


def settled(listed: InstrumentListed, market: dict[str, Any], ts_ns: int) -> InstrumentSettled | None:
    """The payout of a finalized market; None before, or while the venue names no value."""
    if market.get("status") != "finalized":
        return None
    value = market.get("settlement_value_dollars")
    try:
        payout = _PAID[text(market.get("result"))] if value is None else micros(value, "settlement_value_dollars")
    except (KeyError, ListingError):
        return None
    if not 0 <= payout <= MICROS:
        return None
    return InstrumentSettled(
        ts_received_ns=ts_ns,
        ts_venue_ns=time_ns(market.get("settlement_ts")),
        instrument_id=listed.instrument_id,
        payout_yes_micros=payout,
        source="GET /markets of a finalized market",
    )


def _nested(event: dict[str, Any]) -> list[dict[str, Any]]:
    markets = event.get("markets")
    return [market for market in markets if isinstance(market, dict)] if isinstance(markets, list) else []
