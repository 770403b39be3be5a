"""What an id stands for never changes: each row is a history of listings of one pair or one instrument."""

import pytest

from crossbook.domain.identities import LEGS_CHANGED
from crossbook.market.image import MarketImage, market_image, restore_market
from crossbook.market.market_state import MarketState
from schemas.records import PairDelisted
from tests.builders import market_records as mr
from tests.builders.market_records import CONTRACT, MS, T0, A, B

OTHER = "polymarket:0xrival"
HEAD = [mr.opened(), *mr.settings(), mr.friction(), mr.instrument(A), mr.instrument(B), mr.instrument(OTHER)]


def fold(records, market=None):
    market = MarketState() if market is None else market
    return market, [market.apply(market.position + 1, record) for record in records]


def gone(pair_id="pair"):
    return PairDelisted(ts_received_ns=T0, pair_id=pair_id, reason="revoked")


#: name: (listings, kinds of their changes, legs listed at the end, whether the pair is contradicted)
PAIRS = {
    "listed once": ([mr.pair()], ["pair"], (A, B), False),
    "listed again": ([mr.pair(), mr.pair(T0 + MS, keyframe=True)], ["pair", "none"], (A, B), False),
    "another haircut": ([mr.pair(), mr.pair(haircut_micros=1)], ["pair", "pair"], (A, B), False),
    "another leg": ([mr.pair(), mr.pair(b=OTHER)], ["pair", "contradicted"], (A, B), True),
    "legs in the other order": ([mr.pair(), mr.pair(a=B, b=A)], ["pair", "contradicted"], (A, B), True),
    "the true one again": ([mr.pair(), mr.pair(b=OTHER), mr.pair()], ["pair", "contradicted", "none"], (A, B), True),
    "another leg after the end": ([mr.pair(), gone(), mr.pair(b=OTHER)], ["pair", "delisted", "contradicted"], None, True),
    "the same legs after the end": ([mr.pair(), gone(), mr.pair()], ["pair", "delisted", "pair"], (A, B), False),
    "ended and listed as it was": (
        [mr.pair(), mr.pair(b=OTHER), gone(), mr.pair()], ["pair", "contradicted", "delisted", "pair"], (A, B), False,
    ),
    "another leg under another id": ([mr.pair(), mr.pair(pair_id="rival", b=OTHER)], ["pair", "pair"], (A, B), False),
}  # fmt: skip


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("stored", [False, True])
def test_legs_under_an_id_never_change(name, stored):
    listings, kinds, legs, contradicted = PAIRS[name]
    market, _ = fold(HEAD)
    found = []
    for listing in listings:
        _, (change,) = fold([listing], market)
        found.append(change)
        if stored:
            market = _thawed(market)
    assert [change.kind for change in found] == kinds
    assert {change.reason for change in found if change.kind == "contradicted"} <= {LEGS_CHANGED}
    listed = market.pairs.get("pair")
    assert (None if listed is None else (listed.instrument_a, listed.instrument_b)) == legs
    assert ("pair" in market.identities.pairs) is contradicted


def _thawed(market):
    again = MarketState()
    restore_market(again, market_image(market))
    assert isinstance(market_image(again), MarketImage) and market_image(again) == market_image(market)
    return again


#: name: (changes of a listing, changes of the next one, whether it may be used)
INSTRUMENTS = {
    "listed again": ({}, {"keyframe": True}, True),
    "under another title": ({}, {"title": "renamed"}, True),
    "another token": ({"yes_token": "1"}, {"yes_token": "2"}, False),
    "tokens in the other order": ({"yes_token": "1", "no_token": "2"}, {"yes_token": "2", "no_token": "1"}, False),
    "a token becomes known": ({"yes_token": "1"}, {"yes_token": "1", "no_token": "2"}, True),
    "a token is not known any more": ({"yes_token": "1"}, {}, False),
    "another symbol": ({}, {"symbol": "RIVAL"}, False),
}


@pytest.mark.parametrize("name", INSTRUMENTS)
@pytest.mark.parametrize("stored", [False, True])
def test_an_instrument_is_one_contract_for_ever(name, stored):
    first, second, usable = INSTRUMENTS[name]
    book = mr.snapshot(A, T0, 1, bids=[(400_000, CONTRACT)], asks=[(410_000, CONTRACT)])
    market, _ = fold([*HEAD[:3], mr.instrument(A, **first), mr.status("kalshi", T0), book])
    assert market.usable(A)
    fold([mr.instrument(A, **second)], market)
    market = _thawed(market) if stored else market
    assert market.usable(A) is usable
    again = {**first, **(second if usable else {}), "quantity_step_micros": 20_000}
    fold([mr.instrument(A, **again)], market)
    assert market.usable(A) is usable, "which of the two was right, nobody can tell from here"
    if not usable:
        assert "other tokens" in market.refused[A]
