"""Polymarket's wire text: books of both tokens with their hash, market-socket frames, catalogue objects.

Decides bytes only. One mirrored book serves both tokens: a bid for YES at p is an ask for NO at 1 - p. Hash rule and
key order follow the venue's public description: SHA-1 over the compact REST book with an empty hash. It must never
read a clock; wall times are arguments.
"""

import hashlib
import json
from datetime import UTC, datetime

from deploy.sandbox.listing import PolymarketListing, Subject
from deploy.sandbox.standing import OUTCOMES
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TickChanged, TradeDone
from deploy.sandbox.world.pricing import MICROS, NO_ASK, NO_BID, plain

MIN_ORDER_SIZE = 5
DAY_S = 86_400


def listing_of(market: Market) -> PolymarketListing:
    listing = market.subject.polymarket
    assert listing is not None
    return listing


def _levels(market: Market, *, yes: bool) -> tuple[str, str]:
    """Bids ascending and asks descending, as JSON: the best price is the last element of each."""
    bids, asks = market.book.bids, market.book.asks
    if yes:
        rows = [(p, bids[p]) for p in sorted(bids)], [(p, asks[p]) for p in sorted(asks, reverse=True)]
    else:
        rows = (
            [(MICROS - p, asks[p]) for p in sorted(asks, reverse=True)],
            [(MICROS - p, bids[p]) for p in sorted(bids)],
        )
    texts = ["[" + ",".join(f'{{"price":"{plain(p)}","size":"{plain(s)}"}}' for p, s in side) + "]" for side in rows]
    return texts[0], texts[1]


def last_price_text(market: Market, *, yes: bool) -> str:
    if not market.last_price:
        return ""
    return plain(market.last_price if yes else MICROS - market.last_price)


def _book_parts(market: Market, *, yes: bool, wall_ms: int) -> tuple[str, str, str, str]:
    """The head up to the timestamp, the levels, the REST tail, and the hash over them."""
    listing = listing_of(market)
    bids, asks = _levels(market, yes=yes)
    token = listing.token_yes if yes else listing.token_no
    head = f'"market":"{listing.condition_id}","asset_id":"{token}","timestamp":"{wall_ms}"'
    levels = f'"bids":{bids},"asks":{asks}'
    tail = (
        f'"min_order_size":"{MIN_ORDER_SIZE}","tick_size":"{plain(market.tick)}",'
        f'"neg_risk":{"true" if listing.neg_risk else "false"},"last_trade_price":"{last_price_text(market, yes=yes)}"'
    )
    if listing.version == "v2":
        tail += ',"version":"v2"'
    hashed = hashlib.sha1(f'{{{head},"hash":"",{levels},{tail}}}'.encode(), usedforsecurity=False).hexdigest()
    return head, levels, tail, hashed


def rest_book(market: Market, *, yes: bool, wall_ms: int) -> str:
    """The body of ``GET /book``."""
    head, levels, tail, hashed = _book_parts(market, yes=yes, wall_ms=wall_ms)
    return f'{{{head},"hash":"{hashed}",{levels},{tail}}}'


def socket_book(market: Market, *, yes: bool, wall_ms: int, initial: bool) -> str:
    """A ``book`` event; the initial one adds tick, last price and version, one after a trade does not."""
    head, levels, _, hashed = _book_parts(market, yes=yes, wall_ms=wall_ms)
    text = f'{{{head},"hash":"{hashed}",{levels},'
    if not initial:
        return text + '"event_type":"book"}'
    version = ',"version":"v2"' if listing_of(market).version == "v2" else ""
    last = last_price_text(market, yes=yes)
    return text + f'"tick_size":"{plain(market.tick)}","event_type":"book","last_trade_price":"{last}"{version}}}'


def _top(best_bid: int, best_ask: int, *, yes: bool) -> tuple[str, str]:
    bid = "" if best_bid == NO_BID else plain(best_bid if yes else MICROS - best_bid)
    ask = "" if best_ask == NO_ASK else plain(best_ask if yes else MICROS - best_ask)
    return (bid, ask) if yes else (ask, bid)


def price_change(market: Market, event: LevelSet, wall_ms: int) -> bytes:
    """Both tokens in one frame; ``size`` is the level's new absolute size.

    The per-change hash is a stand-in: what the venue puts there is not proven, so nobody may gate on it.
    """
    listing = listing_of(market)
    change = f"{listing.condition_id}{wall_ms}{event.price}{event.size}{event.is_bid}".encode()
    hashed = hashlib.sha1(change, usedforsecurity=False).hexdigest()
    size = plain(event.size)
    yes_bid, yes_ask = _top(event.best_bid, event.best_ask, yes=True)
    no_bid, no_ask = _top(event.best_bid, event.best_ask, yes=False)
    yes_side, no_side = ("BUY", "SELL") if event.is_bid else ("SELL", "BUY")
    return (
        f'{{"market":"{listing.condition_id}","price_changes":['
        f'{{"asset_id":"{listing.token_yes}","price":"{plain(event.price)}","size":"{size}","side":"{yes_side}",'
        f'"hash":"{hashed}","best_bid":"{yes_bid}","best_ask":"{yes_ask}"}},'
        f'{{"asset_id":"{listing.token_no}","price":"{plain(MICROS - event.price)}","size":"{size}","side":"{no_side}",'
        f'"hash":"{hashed[::-1]}","best_bid":"{no_bid}","best_ask":"{no_ask}"}}],'
        f'"timestamp":"{wall_ms}","event_type":"price_change"}}'
    ).encode()


def last_trade(market: Market, event: TradeDone, wall_ms: int) -> bytes:
    """The trade on the YES token, with the taker's side."""
    listing = listing_of(market)
    transaction = hashlib.sha256(f"{listing.condition_id}{event.t_ns}{event.price}{event.size}".encode()).hexdigest()
    side = "BUY" if event.taker_buys_yes else "SELL"
    return (
        f'{{"market":"{listing.condition_id}","asset_id":"{listing.token_yes}","price":"{plain(event.price)}",'
        f'"size":"{plain(event.size)}","fee_rate_bps":"0","side":"{side}","timestamp":"{wall_ms}",'
        f'"event_type":"last_trade_price","transaction_hash":"0x{transaction}"}}'
    ).encode()


def tick_size_change(market: Market, event: TickChanged, token: str, wall_ms: int) -> bytes:
    return (
        f'{{"event_type":"tick_size_change","asset_id":"{token}","market":"{listing_of(market).condition_id}",'
        f'"old_tick_size":"{plain(event.old_tick)}","new_tick_size":"{plain(event.new_tick)}","timestamp":"{wall_ms}"}}'
    ).encode()


def iso(wall_s: int) -> str:
    return datetime.fromtimestamp(wall_s, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def market_resolved(market: Market, wall_ms: int) -> bytes:
    """The event of an outcome; a split names nobody, so the venue's form for it is not known and none is sent."""
    listing = listing_of(market)
    won = market.standing.outcome == "yes"
    tokens = [listing.token_yes, listing.token_no]
    row = {
        "event_type": "market_resolved",
        "id": str(listing.number),
        "market": listing.condition_id,
        "assets_ids": tokens,
        "winning_asset_id": tokens[0 if won else 1],
        "winning_outcome": "Yes" if won else "No",
        "timestamp": str(wall_ms),
        "tags": [],
    }
    return json.dumps(row, separators=(",", ":")).encode()


def gamma_market(market: Market, *, opened_s: int, wall_ns: int = 0) -> dict[str, object]:
    """One Gamma market: arrays as JSON in strings, floats for numbers, ``positionIds`` a real array on v2."""
    listing, subject, book = listing_of(market), market.subject, market.book
    bid = 0 if book.best_bid == NO_BID else book.best_bid
    ask = MICROS if book.best_ask == NO_ASK else book.best_ask
    middle = (bid + ask) // 2
    volume = listing.volume + market.traded / MICROS
    row: dict[str, object] = {
        "$schema": "https://gamma-api.polymarket.com/schemas/Market.json",
        "id": str(listing.number),
        "question": subject.title,
        "conditionId": listing.gamma_condition_id,
        "slug": listing.slug,
        "resolutionSource": f"https://results.example/{subject.key}",
        "endDate": iso(opened_s + subject.days_to_close * DAY_S),
        "startDate": iso(opened_s - 30 * DAY_S),
        "description": subject.rules,
        "outcomes": '["Yes", "No"]',
        "outcomePrices": f'["{plain(middle)}", "{plain(MICROS - middle)}"]',
        "active": True,
        "closed": False,
        "archived": False,
        "restricted": True,
        "questionID": listing.question_id,
        "enableOrderBook": True,
        "orderPriceMinTickSize": market.tick / MICROS,
        "orderMinSize": MIN_ORDER_SIZE,
        "volume": f"{volume:.2f}",
        "volumeNum": round(volume, 2),
        "volumeClob": round(volume, 2),
        "liquidityNum": round(sum(book.bids.values()) / MICROS, 2),
        "clobTokenIds": json.dumps([listing.token_yes, listing.token_no]),
        "makerBaseFee": 1000 if listing.fee_rate else 0,
        "takerBaseFee": 1000 if listing.fee_rate else 0,
        "acceptingOrders": True,
        "acceptingOrdersTimestamp": iso(opened_s - 30 * DAY_S),
        "negRisk": listing.neg_risk,
        "negRiskOther": False,
        "secondsDelay": listing.seconds_delay,
        "clearBookOnStart": subject.game,
        "umaResolutionStatuses": "[]",
        "spread": (ask - bid) / MICROS,
        "bestBid": bid / MICROS,
        "bestAsk": ask / MICROS,
        "lastTradePrice": market.last_price / MICROS,
        "feesEnabled": bool(listing.fee_rate),
        "category": subject.category,
        "version": listing.version,
    }
    if listing.fee_rate:
        row["feeType"] = listing.fee_type
        row["feeSchedule"] = {
            "exponent": 1,
            "rate": listing.fee_rate / MICROS,
            "takerOnly": True,
            "rebateRate": listing.rebate_hundredths / 100,
        }
    if listing.neg_risk:
        row["negRiskMarketID"] = listing.question_id
    if subject.game:
        row["gameStartTime"] = iso(opened_s + subject.days_to_close * DAY_S).replace("T", " ").replace("Z", "+00")
        row["sportsMarketType"] = "moneyline"
    row |= _standing(market, wall_ns)
    if listing.version == "v2":
        row["clobTokenIds"] = None
        row["positionIds"] = [listing.token_yes, listing.token_no]
    return row


def _standing(market: Market, wall_ns: int) -> dict[str, object]:
    """What a row says otherwise of a market that was paused, closed or resolved."""
    standing, row = market.standing, dict[str, object]()
    if standing.closes_ns is not None:
        row["endDate"] = iso(standing.closes_ns // 1_000_000_000)
    if standing.closed(wall_ns):
        row |= {"closed": True, "acceptingOrders": False}
    elif wall_ns < standing.inactive_until_ns:
        row["acceptingOrders"] = False
    if standing.outcome is not None:
        paid = OUTCOMES[standing.outcome]
        status = "umaResolutionStatus" if listing_of(market).version == "v1" else "resolutionStatus"
        row |= {status: "resolved", "outcomePrices": f'["{plain(paid)}", "{plain(MICROS - paid)}"]'}
    return row


def gamma_event(subject: Subject, markets: list[dict[str, object]], *, opened_s: int) -> dict[str, object]:
    """One Gamma event; give no markets for ``include_markets=false``."""
    listing = subject.polymarket
    assert listing is not None
    row: dict[str, object] = {
        "id": str(listing.number + 100_000),
        "ticker": listing.slug,
        "slug": listing.slug,
        "title": subject.title,
        "description": subject.rules,
        "startDate": iso(opened_s - 30 * DAY_S),
        "endDate": iso(opened_s + subject.days_to_close * DAY_S),
        "active": True,
        "closed": False,
        "archived": False,
        "volume": float(listing.volume),
        "category": subject.category,
        "tags": [{"id": str(len(subject.category)), "label": subject.category, "slug": subject.category.lower()}],
        "negRisk": listing.neg_risk,
        "enableNegRisk": listing.neg_risk,
        "enableOrderBook": True,
    }
    if markets:
        row["markets"] = markets
    return row


def clob_market(market: Market, *, opened_s: int, wall_ns: int = 0) -> dict[str, object]:
    """The body of ``GET /clob-markets/{condition id}``: short keys; what does not apply is absent."""
    listing = listing_of(market)
    row: dict[str, object] = {
        "r": {"mi": 50, "ma": 4.5, "moas": 30},
        "t": [{"t": listing.token_yes, "o": "Yes"}, {"t": listing.token_no, "o": "No"}],
        "c": listing.condition_id,
        "mos": MIN_ORDER_SIZE,
        "mts": market.tick / MICROS,
        "mbf": 1000 if listing.fee_rate else 0,
        "tbf": 1000 if listing.fee_rate else 0,
        "ao": market.standing.status(wall_ns) == "active",
        "aot": iso(opened_s - 30 * DAY_S),
        "v": listing.version,
    }
    if listing.itode:
        row["itode"] = True
    if listing.neg_risk:
        row["nr"] = True
    if market.subject.game:
        row["cbos"] = True
        row["gst"] = iso(opened_s + market.subject.days_to_close * DAY_S)
    if listing.fee_rate:
        row["fd"] = {"r": listing.fee_rate / MICROS, "e": 1, "to": True}
    return row
