"""Kalshi's wire text: socket messages and catalogue objects.

Decides bytes only. The book is bids only: an ask of YES at p leaves as a bid for NO at 1 - p, or at p where the
subscriber asked for ``use_yes_price``. It must never read a clock; wall times are arguments.
"""

import json
from datetime import UTC, datetime

from deploy.sandbox.listing import KalshiListing
from deploy.sandbox.standing import OUTCOMES
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TradeDone
from deploy.sandbox.world.pricing import MICROS, NO_ASK, NO_BID, contracts, dollars

DAY_S = 86_400


def listing_of(market: Market) -> KalshiListing:
    listing = market.subject.kalshi
    assert listing is not None
    return listing


def iso(wall_s: int) -> str:
    return datetime.fromtimestamp(wall_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def iso_micros(wall_ns: int) -> str:
    seconds, rest = divmod(wall_ns, 1_000_000_000)
    return datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{rest // 1000:06d}Z"


def _rows(levels: list[tuple[int, int]]) -> str:
    return "[" + ",".join(f'["{dollars(p)}","{contracts(s)}"]' for p, s in levels) + "]"


def sides(market: Market, *, yes_price: bool) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """YES bids and NO bids, each ascending in its own price, so that the best is the last."""
    book = market.book
    yes = [(p, book.bids[p]) for p in sorted(book.bids)]
    no = [(p if yes_price else MICROS - p, book.asks[p]) for p in sorted(book.asks, reverse=True)]
    return yes, no


def snapshot_msg(market: Market, *, yes_price: bool) -> str:
    """The ``msg`` of a snapshot; the key of an empty side is absent."""
    listing = listing_of(market)
    yes, no = sides(market, yes_price=yes_price)
    text = f'{{"market_ticker":"{listing.ticker}","market_id":"{listing.market_id}"'
    if yes:
        text += f',"yes_dollars_fp":{_rows(yes)}'
    if no:
        text += f',"no_dollars_fp":{_rows(no)}'
    return text + "}"


def delta_msg(market: Market, event: LevelSet, *, yes_price: bool, wall_ns: int) -> str:
    """The ``msg`` of a delta: a signed change, not an absolute size."""
    listing = listing_of(market)
    price = event.price if event.is_bid or yes_price else MICROS - event.price
    return (
        f'{{"market_ticker":"{listing.ticker}","market_id":"{listing.market_id}","price_dollars":"{dollars(price)}",'
        f'"delta_fp":"{contracts(event.delta)}","side":"{"yes" if event.is_bid else "no"}",'
        f'"ts":"{iso_micros(wall_ns)}","ts_ms":{wall_ns // 1_000_000}}}'
    )


def trade_msg(market: Market, event: TradeDone, wall_ns: int) -> str:
    listing = listing_of(market)
    outcome, book_side = ("yes", "bid") if event.taker_buys_yes else ("no", "ask")
    trade_id = f"{event.t_ns & 0xFFFFFFFF:08x}-{event.market:04x}-4000-8000-{event.t_ns >> 32:04x}{event.size:08x}"
    return (
        f'{{"trade_id":"{trade_id}","market_ticker":"{listing.ticker}","yes_price_dollars":"{dollars(event.price)}",'
        f'"no_price_dollars":"{dollars(MICROS - event.price)}","count_fp":"{contracts(event.size)}",'
        f'"taker_side":"{outcome}","taker_outcome_side":"{outcome}","taker_book_side":"{book_side}",'
        f'"is_block_trade":false,"ts":{wall_ns // 1_000_000_000},"ts_ms":{wall_ns // 1_000_000}}}'
    )


def lifecycle_msg(market: Market, event_type: str, wall_s: int) -> str:
    """The ``msg`` of a lifecycle frame; each kind states its own fields."""
    standing = market.standing
    row: dict[str, object] = {"market_ticker": listing_of(market).ticker, "event_type": event_type}
    if event_type == "close_date_updated":
        assert standing.closes_ns is not None, "a close was told before"
        row["close_ts"] = standing.closes_ns // 1_000_000_000
    elif event_type == "determined":
        row |= _outcome(market) | {"determination_ts": wall_s}
        row["settlement_value"] = row.pop("settlement_value_dollars")
    elif event_type == "settled":
        row["settled_ts"] = wall_s
    return json.dumps(row, separators=(",", ":"))


def fee_msg(market: Market) -> str:
    """The ``msg`` of an ``event_fee_update``."""
    return json.dumps({"event_ticker": listing_of(market).event_ticker, **_override(market)}, separators=(",", ":"))


def _override(market: Market) -> dict[str, object]:
    tenths = market.standing.override_tenths
    listing = listing_of(market)
    return {
        "fee_type_override": None if tenths is None else listing.fee_type,
        "fee_multiplier_override": None if tenths is None else _multiplier(tenths),
    }


def _outcome(market: Market) -> dict[str, object]:
    outcome = market.standing.outcome
    if outcome is None:
        return {"result": ""}
    return {
        "result": outcome if outcome in ("yes", "no") else "scalar",
        "settlement_value_dollars": dollars(OUTCOMES[outcome]),
    }


def fee_change_rows(markets: list[Market], wall_ns: int) -> list[dict[str, object]]:
    """The rows of ``GET /series/fee_changes``: those ahead."""
    return [
        {
            "id": f"{listing_of(market).series_ticker}-{begins}",
            "series_ticker": listing_of(market).series_ticker,
            "fee_type": listing_of(market).fee_type,
            "fee_multiplier": _multiplier(tenths),
            "scheduled_ts": iso_micros(begins),
        }
        for market in markets
        for begins, tenths in market.standing.fee_changes
        if begins > wall_ns
    ]


def _multiplier(tenths: int) -> int | float:
    return tenths // 10 if tenths % 10 == 0 else tenths / 10


def market_row(market: Market, *, opened_s: int, wall_ns: int = 0) -> dict[str, object]:
    """One REST market; an empty side shows the venue's sentinels (bid 0.0000, ask 1.0000)."""
    listing, subject, book = listing_of(market), market.subject, market.book
    bid, ask = book.best_bid, book.best_ask
    volume = listing.volume * MICROS + market.traded
    standing = market.standing
    closes = opened_s + subject.days_to_close * DAY_S
    if standing.closes_ns is not None:
        closes = standing.closes_ns // 1_000_000_000
    return {
        "ticker": listing.ticker,
        "event_ticker": listing.event_ticker,
        "market_type": "binary",
        "title": subject.title,
        "subtitle": "",
        "yes_sub_title": "Yes",
        "no_sub_title": "No",
        "exchange_index": listing.exchange_index,
        "is_provisional": False,
        "created_time": iso(opened_s - 30 * DAY_S),
        "updated_time": iso(opened_s),
        "open_time": iso(opened_s - 30 * DAY_S),
        "close_time": iso(closes),
        "expected_expiration_time": iso(closes + 3_600),
        "latest_expiration_time": iso(closes + 7 * DAY_S),
        "expiration_time": iso(closes + 7 * DAY_S),
        "occurrence_datetime": iso(closes),
        "settlement_timer_seconds": 60,
        "can_close_early": True,
        "early_close_condition": "This market will close early once the outcome is known.",
        "yes_bid_dollars": dollars(bid),
        "yes_bid_size_fp": contracts(book.bids.get(bid, 0)),
        "yes_ask_dollars": dollars(ask),
        "yes_ask_size_fp": contracts(book.asks.get(ask, 0)),
        "no_bid_dollars": dollars(MICROS - ask),
        "no_ask_dollars": dollars(MICROS - bid),
        "last_price_dollars": dollars(market.last_price),
        "previous_yes_bid_dollars": dollars(NO_BID),
        "previous_yes_ask_dollars": dollars(NO_ASK),
        "previous_price_dollars": dollars(0),
        "volume_fp": contracts(volume),
        "volume_24h_fp": contracts(volume // 10),
        "open_interest_fp": contracts(volume // 4),
        "notional_value_dollars": "1.0000",
        "strike_type": "custom",
        "custom_strike": {"subject": subject.key},
        "rules_primary": subject.rules,
        "rules_secondary": "",
        "price_level_structure": listing.structure,
        "price_ranges": [
            {"start": dollars(start), "end": dollars(end), "step": dollars(step)}
            for start, end, step in listing.grid.ranges
        ],
        "status": standing.status(wall_ns),
        **_outcome(market),
        "expiration_value": "",
    }


def event_row(market: Market, *, opened_s: int, nested: bool, wall_ns: int = 0) -> dict[str, object]:
    listing, subject = listing_of(market), market.subject
    row: dict[str, object] = {
        "event_ticker": listing.event_ticker,
        "series_ticker": listing.series_ticker,
        "title": subject.title,
        "sub_title": "",
        "category": subject.category,
        "collateral_return_type": "",
        "mutually_exclusive": False,
        "strike_date": iso(opened_s + subject.days_to_close * DAY_S),
        "strike_period": "",
        "last_updated_ts": iso(opened_s),
        "exchange_index": listing.exchange_index,
        **_override(market),
    }
    if nested:
        row["markets"] = [market_row(market, opened_s=opened_s, wall_ns=wall_ns)]
    return row


def series_row(market: Market, *, wall_ns: int = 0) -> dict[str, object]:
    listing, subject = listing_of(market), market.subject
    return {
        "ticker": listing.series_ticker,
        "frequency": "custom",
        "title": subject.title,
        "category": subject.category,
        "tags": [subject.category],
        "settlement_sources": [{"name": "Official results", "url": f"https://results.example/{subject.key}"}],
        "contract_url": "",
        "contract_terms_url": "",
        "fee_type": listing.fee_type,
        "fee_multiplier": _multiplier(market.standing.tenths(listing.multiplier_tenths, wall_ns)),
        "additional_prohibitions": [],
        "exchange_index": listing.exchange_index,
    }
