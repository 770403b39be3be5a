"""Depth that was taken: nothing comes back but what was never there before, told by a model over the level's whole history."""

import random
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.market.book import OrderBook
from crossbook.market.market_state import MarketState
from executors.venues.depth import TakenDepth
from producers.recordings.frame import ImportReport
from producers.recordings.kalshi_l2.open import BTC15M, GOLD15M, KalshiL2
from schemas.records import BookDelta, BookSnapshot
from tests.builders.places import REPOSITORY
from tests.builders.producers.announced import configured as announced

PRICE = ("ask", 410_000)


class Level:
    """The history of one level since it was last empty: what it displayed, and what we had taken of it until then."""

    def __init__(self):
        self.shown, self.takes = [], []  # (displayed, taken so far), from the first take on

    def displays(self, size):
        if not size:
            self.shown, self.takes = [], []
        elif self.takes:
            self.shown.append((size, sum(self.takes)))
        else:
            self.shown = [(size, 0)]

    def left(self):
        """At every moment others left us at most what was displayed less what we had taken, and only growth came since."""
        taken = sum(self.takes)
        largest = max((size for size, _ in self.shown), default=0)
        bounds = []
        for moment, (size, before) in enumerate(self.shown):
            growth = largest - max(size for size, _ in self.shown[: moment + 1])
            bounds.append(max(0, size - before) + growth - (taken - before))
        return min(bounds, default=0)

    def take(self, quantity):
        self.takes.append(quantity)


def walk(moves, share=lambda left, part: left * part // 100):
    """Play moves against both; granted total and largest size of each life of the level."""
    depth, level, size = TakenDepth(), Level(), 0
    granted = largest = 0
    for kind, amount in moves:
        if kind == "shows":
            size = amount
            depth.recall("i", lambda *_, shown=size: shown)
            level.displays(size)
            if not size:
                granted = largest = 0
            largest = max(largest, size)
        elif size:
            left = depth.left("i", PRICE, size)
            assert left == level.left(), (kind, amount)
            quantity = share(left, amount)
            if quantity:
                depth.take("i", PRICE, quantity, size)
                level.take(quantity)
                granted += quantity
        assert granted <= largest
        assert ("i" in depth) == bool(level.takes)
    return granted, largest


MOVES = st.lists(
    st.one_of(
        st.tuples(st.just("shows"), st.integers(0, 200)),
        st.tuples(st.just("takes"), st.sampled_from((0, 1, 40, 99, 100))),
    ),
    max_size=40,
)


@given(MOVES)
@settings(max_examples=300, deadline=None)
def test_a_level_grants_no_more_in_its_life_than_it_ever_displayed(moves):
    walk(moves)


@pytest.mark.parametrize(
    ("sizes", "left"),
    [
        ([100], 40),
        ([99], 39),
        ([99, 100], 39),
        ([100, 99, 100, 99, 100], 39),
        ([40], 0),
        ([40, 100], 0),
        ([40, 100, 130], 30),
        ([61, 160], 61),
        ([160], 100),
        ([0, 25], 25),
    ],
)
def test_what_is_left_of_a_hundred_after_sixty_are_ours(sizes, left):
    depth = TakenDepth()
    depth.take("i", PRICE, 60, 100)
    for size in sizes:
        depth.recall("i", lambda *_, shown=size: shown)
    assert depth.left("i", PRICE, sizes[-1]) == left
    assert depth.first_left("i", "ask", [(PRICE[1], sizes[-1]), (420_000, 7)]) == (
        (PRICE[1], left) if left else (420_000, 7)
    )


def test_levels_instruments_and_sides_are_apart():
    depth = TakenDepth()
    depth.take("i", PRICE, 100, 100)
    assert depth.left("i", PRICE, 100) == 0
    assert [depth.left(*where, 100) for where in (("i", ("bid", 410_000)), ("i", ("ask", 420_000)), ("j", PRICE))] == [
        100
    ] * 3
    assert "i" in depth and "j" not in depth
    again = TakenDepth()
    for one in depth:
        again.restore(*one)
    assert list(again) == list(depth)


@pytest.mark.parametrize(
    ("folder", "style", "fees"),
    [
        ("kalshi_btc15m_l2_spot", BTC15M, "fees_kalshi_crypto15m.yaml"),
        ("kalshi_gold15m_l2", GOLD15M, "fees_kalshi_gold15m.yaml"),
    ],
)
def test_recorded_books_grant_no_more_than_they_displayed(recordings, folder, style, fees):
    """We take all of a random level now and then; what each level grants until it is empty stays within what it displayed."""
    where = recordings / "data" / folder
    if not where.is_dir():
        pytest.skip(f"the recording {folder} is not in ../shared/data")
    recording = KalshiL2(style, [where], REPOSITORY / "docs" / "examples" / fees, 1)
    rng, market, depth = random.Random(7), MarketState(), TakenDepth()
    granted, largest, takes = {}, {}, 0
    log = recording.log("", announced(recording.ts_first_ns), ImportReport(log_id=""))
    for position, placed in enumerate(islice(log, 60_000)):
        record = placed.record
        market.apply(position, record)
        if not isinstance(record, BookDelta | BookSnapshot):
            continue
        name = record.instrument_id
        book: OrderBook = market.books[name].book
        depth.recall(name, book.size_at)
        for level in [key for key in granted if key[0] == name]:
            size = book.size_at(*level[1])
            if size:
                largest[level] = max(largest[level], size)
            else:
                del granted[level], largest[level]
        if rng.random() < 0.05:
            side = rng.choice(("bid", "ask"))
            levels = book.levels()
            prices = levels.bid_prices if side == "bid" else levels.ask_prices
            for price in prices[:2]:
                size = book.size_at(side, price)
                left = depth.left(name, (side, price), size)
                if left:
                    key = name, (side, price)
                    depth.take(name, key[1], left, size)
                    takes += 1
                    granted[key] = granted.get(key, 0) + left
                    largest[key] = max(largest.get(key, 0), size)
        assert all(granted[key] <= largest[key] for key in granted)
    assert takes > 1_000
