"""Polymarket's catalogue: Gamma for what exists, the CLOB for how it trades.

Decides which markets can be listed safely and turns a row into InstrumentListed. Gamma's prices are late and never read; tick,
minimum, fee and delay come from `/clob-markets`. It must never guess: a version that is neither v1 nor v2, a fee that is not the
known curve, a missing token or tick, outcomes in another order than their tokens leave the market out by name, and a resolved market
is paid out only where its row states what a binary market can pay.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any

import httpx

from crossbook.domain.errors import DomainError
from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import POLYMARKET_TICKS_MICROS, PriceGrid
from crossbook.domain.money import MICROS
from crossbook.domain.names import POLYMARKET, instrument_id
from crossbook.runtime.settings import PolymarketSettings
from crossbook.venues.policies import POLICIES
from producers.connections.rest import read_json
from producers.errors import CatalogError, ListingError
from producers.feeds.fields import digest, micros, rows, text, time_ns, volume_micros
from producers.universe.pairs import full_condition_id
from schemas.records import FeeSchedule, InstrumentListed, InstrumentSettled, OrderMinimum

PAGE = 100
PAGES_MAX = 2_000
#: Rows come by volume; after this many pages without one above the minimum the rest is smaller (Gamma's order is approximate).
SMALL_PAGES = 3
PARALLEL = 8
#: Markets asked for at once by id: each has two forms, and the venue takes about a hundred.
CONDITIONS = 40
#: What a binary market pays for its two outcomes, in their order, micros.
PAYOUTS = frozenset({(MICROS, 0), (0, MICROS), (MICROS // 2, MICROS // 2)})
#: Words that can only stand first, or only second. Names of teams stand in any order: the first one is YES here.
FIRST_WORDS = frozenset({"yes", "up", "over", "true", "above", "higher"})
SECOND_WORDS = frozenset({"no", "down", "under", "false", "below", "lower"})
QUANTITY_STEP_MICROS = 10_000
MARKETABLE_BUY_NOTIONAL_MICROS = 1_000_000
#: itode marks a taker delay without its length: documented as 50 ms and as 250 ms; the longer one is assumed.
ITODE_DELAY_MS = 250
#: UMA's default liveness after the end of a market.
PAYOUT_AFTER_NS = 2 * 3_600 * 1_000_000_000
FEE_SOURCE = "GET /clob-markets fd"


class PolymarketCatalog:
    """Reader of the catalogue."""

    def __init__(self, settings: PolymarketSettings, client: httpx.AsyncClient) -> None:
        self._settings = settings
        self._client = client
        self._gamma = settings.gamma_url.rstrip("/")
        self._clob = settings.clob_url.rstrip("/")

    async def discover(
        self, volume_min_micros: int, limit: int, ts_ns: int, refused: list[str]
    ) -> list[InstrumentListed]:
        """Markets at or above the volume, the most traded first; what cannot be listed is named in `refused`.

        Raises:
            CatalogError: the catalogue does not answer.
        """
        chosen: list[tuple[int, dict[str, Any]]] = []
        small = 0
        async for page in self._pages():
            above = [(volume, row) for row in page if (volume := _volume(row)) >= volume_min_micros]
            chosen += above
            small = 0 if above else small + 1
            if small >= SMALL_PAGES:
                break
        chosen.sort(key=lambda entry: (-entry[0], text(entry[1].get("conditionId"))))
        return await self._list([row for _, row in chosen[:limit]], ts_ns, refused)

    async def find(self, symbol: str, ts_ns: int, refused: list[str]) -> InstrumentListed | None:
        """One market by condition id or slug, whatever its volume; None when the venue does not have it."""
        row = await self._row(symbol)
        if row is None:
            return None
        found = await self._list([row], ts_ns, refused)
        return found[0] if found else None

    async def settlements(
        self, listed: Sequence[InstrumentListed], ts_ns: int, refused: list[str]
    ) -> list[InstrumentSettled]:
        """The payouts of those that are resolved; see `settled`."""
        found: list[InstrumentSettled] = []
        for start in range(0, len(listed), CONDITIONS):
            asked = {one.symbol: one for one in listed[start : start + CONDITIONS]}
            for row in await self._rows(asked, "true"):
                one = asked.get(full_condition_id(text(row.get("conditionId"))))
                payout = None if one is None else settled(one, row, ts_ns, refused)
                found += [] if payout is None else [payout]
        return found

    async def _rows(self, symbols: Iterable[str], closed: str) -> list[dict[str, Any]]:
        """Rows of up to `CONDITIONS` markets; a protocol-v2 id has 62 digits at Gamma and 64 at the CLOB: one of the two is known."""
        names = [name for symbol in symbols for name in dict.fromkeys((symbol, symbol[:64]))]
        url = f"{self._gamma}/markets/keyset"
        params = [("condition_ids", name) for name in names] + [("closed", closed), ("limit", str(PAGE))]
        return rows(await read_json(self._client, url, params), "markets", url)

    async def _row(self, symbol: str) -> dict[str, Any] | None:
        if not symbol.startswith("0x"):
            try:
                body = await read_json(self._client, f"{self._gamma}/markets/slug/{symbol}")
            except CatalogError as error:
                if "HTTP 404" in str(error):
                    return None
                raise
            return body if isinstance(body, dict) else None
        for closed in ("false", "true"):
            for row in await self._rows([symbol], closed):
                if full_condition_id(text(row.get("conditionId"))) == symbol:
                    return row
        return None

    async def _pages(self) -> AsyncIterator[list[dict[str, Any]]]:
        url = f"{self._gamma}/markets/keyset"
        cursor = ""
        for _ in range(PAGES_MAX):
            params = {"limit": str(PAGE), "closed": "false", "order": "volumeNum", "ascending": "false"}
            if cursor:
                params["after_cursor"] = cursor
            body = await read_json(self._client, url, params)
            yield rows(body, "markets", url)
            cursor = text(body.get("next_cursor"))
            if not cursor:
                return

    async def _list(self, found: list[dict[str, Any]], ts_ns: int, refused: list[str]) -> list[InstrumentListed]:
        slots = asyncio.Semaphore(PARALLEL)

        async def one(row: dict[str, Any]) -> InstrumentListed | None:
            condition = full_condition_id(text(row.get("conditionId")))
            try:
                async with slots:
                    clob = await read_json(self._client, f"{self._clob}/clob-markets/{condition}")
                return listing(row, clob, self._settings.fee_rounding, ts_ns)
            except (ListingError, DomainError, CatalogError) as error:
                refused.append(f"polymarket {text(row.get('slug')) or condition}: {error}")
                return None

        return [listed for listed in await asyncio.gather(*(one(row) for row in found)) if listed is not None]


def _volume(row: dict[str, Any]) -> int:
    """Volume of a row; a market that does not trade on the book has none."""
    if row.get("enableOrderBook") is not True:
        return -1
    return volume_micros(row.get("volumeNum")) or 0


def listing(row: dict[str, Any], clob: Any, fee_rounding: Any, ts_ns: int) -> InstrumentListed:
    """One Gamma row and its CLOB details as a listing. Numbers are text; see `read_json`.

    Raises:
        ListingError: something that matters is missing or unknown.
        DomainError: a number is out of its bounds.
    """
    if not isinstance(clob, dict):
        raise ListingError("/clob-markets answered no object")
    condition = full_condition_id(text(row.get("conditionId")))
    version = text(row.get("version")) or text(clob.get("v"))
    yes_token, no_token = _tokens(row, version)
    on_clob = [text(entry.get("t")) for entry in clob.get("t") or [] if isinstance(entry, dict)]
    if on_clob != [yes_token, no_token]:
        raise ListingError("Gamma and the CLOB name different tokens")
    _check_outcomes(row, clob)
    if row.get("negRiskOther") is True:
        raise ListingError("a neg-risk placeholder: what it means changes")
    tick = micros(clob.get("mts"), "mts")
    if tick not in POLYMARKET_TICKS_MICROS:
        raise ListingError(f"tick {tick} micros is unknown")
    event = _event(row)
    end_ns, game_ns = time_ns(row.get("endDate")), time_ns(row.get("gameStartTime")) or time_ns(clob.get("gst"))
    is_open = row.get("closed") is False and row.get("active") is True
    accepting = row.get("acceptingOrders") is True and clob.get("ao") is True
    return InstrumentListed(
        ts_received_ns=ts_ns,
        instrument_id=instrument_id(POLYMARKET, condition),
        venue=POLYMARKET,
        symbol=condition,
        yes_token=yes_token,
        no_token=no_token,
        event_id=f"{POLYMARKET}:{event.get('id') or condition}",
        series_id=text(event.get("seriesSlug")) or None,
        group="",
        title=text(row.get("question"))[:500],
        category=_category(row, event),
        rules_hash=digest(text(row.get("description"))),
        resolution_source=text(row.get("resolutionSource"))[:500],
        grid=PriceGrid.linear(tick).ranges,
        quantity_step_micros=QUANTITY_STEP_MICROS,
        minimums=minimums(micros(clob.get("mos"), "mos")),
        taker_delay_ms=_delay_ms(row, clob),
        # On sports endDate is the kickoff: trading goes on, and the venue does not say until when.
        ts_close_ns=None if game_ns is not None and end_ns is not None and end_ns <= game_ns else end_ns,
        ts_payout_expected_ns=None if end_ns is None else end_ns + PAYOUT_AFTER_NS,
        ts_game_start_ns=game_ns,
        neg_risk=clob.get("nr") is True,
        exchange_version=version,
        shard=0,
        volume_micros=volume_micros(row.get("volumeNum")),
        status="closed" if not is_open else ("active" if accepting else "paused"),
        fee_schedule=_fee(row, clob, fee_rounding),
        policy=POLICIES[POLYMARKET],
        keyframe=False,
    )


def minimums(resting_micros: int) -> tuple[OrderMinimum, ...]:
    """Smallest orders: `mos` shares resting; a marketable buy needs $1, and the same shares to be safe; a marketable sell, the step."""
    return (
        OrderMinimum(
            order_type="marketable",
            side="buy",
            quantity_micros=resting_micros,
            notional_micros=MARKETABLE_BUY_NOTIONAL_MICROS,
        ),
        OrderMinimum(order_type="marketable", side="sell", quantity_micros=QUANTITY_STEP_MICROS, notional_micros=0),
        OrderMinimum(order_type="resting", side="buy", quantity_micros=resting_micros, notional_micros=0),
        OrderMinimum(order_type="resting", side="sell", quantity_micros=resting_micros, notional_micros=0),
    )


def payout(listed: InstrumentListed, row: dict[str, Any]) -> int | None:
    """What one YES of a market pays, micros; None while it is not resolved.

    `outcomePrices` are quotes that become the payout when the market is resolved, but not at the same moment: only what a binary market
    can pay is believed, 1 and 0, 0 and 1, or a half each. They stand in the order of the outcomes, so that order has to be the listed one.

    Raises:
        ListingError: the market is resolved, and the row does not state a payout, or states it for other outcomes than were listed.
    """
    stated = {word for name in ("umaResolutionStatus", "resolutionStatus") if (word := text(row.get(name)))}
    if row.get("closed") is not True or "resolved" not in stated:
        return None
    if stated != {"resolved"}:
        raise ListingError(f"its two statuses contradict each other: {', '.join(sorted(stated))}")
    if listed.yes_token is not None and _tokens(row, listed.exchange_version) != (listed.yes_token, listed.no_token):
        raise ListingError("it names other tokens than those that were listed")
    words = _array(row.get("outcomes"))
    if words:
        _check_order(words)
    stated_prices = _array(row.get("outcomePrices"))
    prices = tuple(micros(price, "outcomePrices") for price in stated_prices)
    if prices not in PAYOUTS:
        raise ListingError(f"it is resolved, and its outcomePrices {stated_prices!r:.80} are no payout")
    return prices[0]


def settled(
    listed: InstrumentListed, row: dict[str, Any], ts_ns: int, refused: list[str] | None = None
) -> InstrumentSettled | None:
    """The payout that a Gamma row states; None before it does, and while it cannot be believed, which is named in `refused`."""
    try:
        paid = payout(listed, row)
    except ListingError as error:
        if refused is not None:
            refused.append(f"polymarket {listed.symbol} is not paid out: {error}")
        return None
    if paid is None:
        return None
    return InstrumentSettled(
        ts_received_ns=ts_ns,
        ts_venue_ns=time_ns(row.get("closedTime")),
        instrument_id=listed.instrument_id,
        payout_yes_micros=paid,
        source="Gamma outcomePrices of a resolved market",
    )


def _check_outcomes(row: dict[str, Any], clob: dict[str, Any]) -> None:
    """Refuse outcomes that are not two, stand in the other order, or are other words than the CLOB's.

    The first outcome is YES here, and the payout goes by that order: a pair of tokens behind reversed words would be paid the wrong way.
    """
    words = _array(row.get("outcomes"))
    on_clob = [text(entry.get("o")) for entry in clob.get("t") or [] if isinstance(entry, dict)]
    if not words and not all(on_clob):
        raise ListingError("nobody names its outcomes: which token is YES is unknown")
    _check_order(words or on_clob)
    for word, other in zip(words, on_clob, strict=False):
        if other and _plain(word) != _plain(other):
            raise ListingError(f"Gamma names outcome {word!r:.40}, the CLOB {other!r:.40}")


def _check_order(words: list[Any]) -> None:
    if len(words) != 2 or not all(isinstance(word, str) and word.strip() for word in words):
        raise ListingError(f"its outcomes {words!r:.80} are not two names")
    if _plain(words[0]) == _plain(words[1]):
        raise ListingError(f"both outcomes are {words[0]!r:.40}")
    if _plain(words[0]) in SECOND_WORDS or _plain(words[1]) in FIRST_WORDS:
        raise ListingError(f"its outcomes {words!r:.80} stand in the other order")


def _plain(word: Any) -> str:
    return word.strip().casefold() if isinstance(word, str) else ""


def _tokens(row: dict[str, Any], version: str) -> tuple[str, str]:
    """Token ids by `version`, never by which array is there: v1 markets may carry position ids that have no book."""
    if version not in {"v1", "v2"}:
        raise ListingError(f"version {version!r} is unknown")
    tokens = _array(row.get("clobTokenIds" if version == "v1" else "positionIds"))
    if len(tokens) != 2 or not all(isinstance(t, str) and t.isdigit() for t in tokens) or tokens[0] == tokens[1]:
        raise ListingError(f"a {version} market without its two ids")
    return tokens[0], tokens[1]


def _array(value: object) -> list[Any]:
    """A JSON array, or one encoded as a string, as Gamma does."""
    if isinstance(value, str):
        try:
            value = json.loads(value, parse_float=str, parse_int=str)
        except ValueError:
            return []
    return value if isinstance(value, list) else []


def _event(row: dict[str, Any]) -> dict[str, Any]:
    events = row.get("events")
    first = events[0] if isinstance(events, list) and events else None
    return first if isinstance(first, dict) else {}


def _category(row: dict[str, Any], event: dict[str, Any]) -> str:
    tags = event.get("tags")
    tag = tags[0].get("label") if isinstance(tags, list) and tags and isinstance(tags[0], dict) else ""
    return (text(row.get("category")) or text(event.get("category")) or text(tag) or "other").lower()


def _delay_ms(row: dict[str, Any], clob: dict[str, Any]) -> int:
    seconds = row.get("secondsDelay")
    delay = 0 if seconds is None else micros(seconds, "secondsDelay") // 1_000
    return max(delay, ITODE_DELAY_MS) if clob.get("itode") is True else delay


def _fee(row: dict[str, Any], clob: dict[str, Any], rounding: Any) -> FeeSchedule:
    """The fee curve of `fd`; absent means free, unless Gamma says that fees are on."""
    curve = clob.get("fd")
    if curve is None:
        if row.get("feesEnabled") is True:
            raise ListingError("Gamma says feesEnabled, the CLOB names no fd: unknown fee")
        return make_schedule(model="free", ts_effective_ns=0, source=FEE_SOURCE)
    if not isinstance(curve, dict) or curve.get("to") is not True:
        raise ListingError("fd is not the known takers-only curve: unknown fee")
    exponent = micros(curve.get("e"), "fd.e")
    if exponent % MICROS:
        raise ListingError(f"fd.e is no whole number (was {curve.get('e')!r}): unknown fee")
    return make_schedule(
        model="polymarket_curve",
        taker_rate_ppm=micros(curve.get("r"), "fd.r"),
        exponent=exponent // MICROS,
        rounding=rounding,
        ts_effective_ns=0,
        source=FEE_SOURCE,
    )
