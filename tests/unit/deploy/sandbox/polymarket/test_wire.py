"""Polymarket's wire text: hash rule, mirrored books, both tokens in one change, catalogue shapes."""

import hashlib
import json
from decimal import Decimal

import pytest

from deploy.sandbox.polymarket import wire
from deploy.sandbox.world.floor import Market
from deploy.sandbox.world.happenings import LevelSet, TickChanged, TradeDone
from deploy.sandbox.world.world import World
from tests.builders.places import SAMPLES as ALL_SAMPLES

SAMPLES = ALL_SAMPLES / "polymarket"


@pytest.fixture(scope="module")
def world() -> World:
    world = World(preset="eventful", seed=7, rate_updates_per_s=300)
    world.advance(4_000_000_000)
    return world


def market_of(world: World, version: str) -> Market:
    return next(m for m in world.markets if m.venue == "polymarket" and wire.listing_of(m).version == version)


def rehash(book: dict[str, object]) -> str:
    """The venue's rule, written again: SHA-1 of the compact REST book with an empty hash, keys in wire order."""
    keys = [
        "market",
        "asset_id",
        "timestamp",
        "hash",
        "bids",
        "asks",
        "min_order_size",
        "tick_size",
        "neg_risk",
        "last_trade_price",
        "version",
    ]
    text = json.dumps({k: "" if k == "hash" else book[k] for k in keys if k in book}, separators=(",", ":"))
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("name", ["rest_book_v1.json", "rest_book_v2.json"])
def test_the_hash_rule_holds_on_real_books(name: str) -> None:
    if not (SAMPLES / name).exists():
        pytest.skip("needs ../shared/venues/samples beside the checkout")
    book = json.loads((SAMPLES / name).read_text())
    assert rehash(book) == book["hash"]


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("yes", [True, False])
def test_books_carry_their_hash_and_their_order(world: World, version: str, yes: bool) -> None:
    market = market_of(world, version)
    book = json.loads(wire.rest_book(market, yes=yes, wall_ms=1_795_000_000_123))
    assert rehash(book) == book["hash"]
    assert ("version" in book) == (version == "v2")
    bids = [Decimal(level["price"]) for level in book["bids"]]
    asks = [Decimal(level["price"]) for level in book["asks"]]
    assert bids == sorted(bids)
    assert asks == sorted(asks, reverse=True)
    assert bids[-1] < asks[-1]


def test_the_initial_socket_book_has_the_rest_hash(world: World) -> None:
    market = market_of(world, "v2")
    rest = json.loads(wire.rest_book(market, yes=True, wall_ms=5))
    first = json.loads(wire.socket_book(market, yes=True, wall_ms=5, initial=True))
    later = json.loads(wire.socket_book(market, yes=True, wall_ms=5, initial=False))
    assert first == {**{k: v for k, v in rest.items() if k not in ("min_order_size", "neg_risk")}, "event_type": "book"}
    assert set(first) - set(later) == {"tick_size", "last_trade_price", "version"}


def test_both_tokens_are_one_mirrored_book(world: World) -> None:
    for market in (m for m in world.markets if m.venue == "polymarket"):
        yes, no = (json.loads(wire.rest_book(market, yes=side, wall_ms=5)) for side in (True, False))
        for mine, theirs in (("bids", "asks"), ("asks", "bids")):
            turned = [(str(1 - Decimal(level["price"])), level["size"]) for level in yes[mine]]
            assert turned == [(str(Decimal(level["price"])), level["size"]) for level in no[theirs]]


@pytest.mark.parametrize("is_bid", [True, False])
def test_a_price_change_tells_both_tokens(world: World, is_bid: bool) -> None:
    market = market_of(world, "v1")
    listing = wire.listing_of(market)
    event = LevelSet(1, market.index, is_bid, 430_000, 12_340_000, 0, 420_000, 440_000)
    frame = json.loads(wire.price_change(market, event, 77))
    yes, no = frame["price_changes"]
    assert (yes["asset_id"], no["asset_id"]) == (listing.token_yes, listing.token_no)
    assert (yes["price"], no["price"], yes["size"], no["size"]) == ("0.43", "0.57", "12.34", "12.34")
    assert (yes["side"], no["side"]) == (("BUY", "SELL") if is_bid else ("SELL", "BUY"))
    assert (yes["best_bid"], yes["best_ask"], no["best_bid"], no["best_ask"]) == ("0.42", "0.44", "0.56", "0.58")
    assert "asset_id" not in frame
    assert frame["timestamp"] == "77"


def test_empty_tops_are_empty_text(world: World) -> None:
    market = market_of(world, "v1")
    frame = json.loads(wire.price_change(market, LevelSet(1, market.index, True, 430_000, 0, -1, 0, 1_000_000), 77))
    assert [change[k] for change in frame["price_changes"] for k in ("best_bid", "best_ask")] == [""] * 4


def test_trade_and_tick_frames(world: World) -> None:
    market = market_of(world, "v1")
    trade = json.loads(wire.last_trade(market, TradeDone(9, market.index, False, 585_000, 2_460_000), 77))
    assert (trade["price"], trade["size"], trade["side"], trade["fee_rate_bps"]) == ("0.585", "2.46", "SELL", "0")
    tick = json.loads(wire.tick_size_change(market, TickChanged(9, market.index, 10_000, 1_000), "1", 77))
    assert (tick["old_tick_size"], tick["new_tick_size"], tick["event_type"]) == ("0.01", "0.001", "tick_size_change")


def test_catalogue_rows(world: World) -> None:
    v1, v2 = (wire.gamma_market(market_of(world, version), opened_s=1_795_000_000) for version in ("v1", "v2"))
    assert isinstance(v1["clobTokenIds"], str)
    assert len(json.loads(str(v1["clobTokenIds"]))) == len(json.loads(str(v1["outcomes"]))) == 2
    assert v2["clobTokenIds"] is None
    assert isinstance(v2["positionIds"], list)
    assert len(str(v2["conditionId"])) == 64
    free = next(m for m in world.markets if m.venue == "polymarket" and m.rate == 0)
    assert wire.gamma_market(free, opened_s=1)["feesEnabled"] is False
    assert "feeSchedule" not in wire.gamma_market(free, opened_s=1)
    assert "fd" not in wire.clob_market(free, opened_s=1)
    assert wire.clob_market(market_of(world, "v2"), opened_s=1)["v"] == "v2"
