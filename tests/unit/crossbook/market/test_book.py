"""The order book against a naive one of two dicts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.errors import BookError
from crossbook.domain.money import MICROS
from crossbook.market.book import Levels, OrderBook

prices = st.integers(1, 30).map(lambda tick: tick * 10_000)
side = st.dictionaries(prices, st.integers(1, 9), max_size=8)
change = st.lists(st.tuples(prices, st.integers(0, 3)), max_size=5)
change_or_whole = st.one_of(st.tuples(st.just("set"), change, change), st.tuples(st.just("replace"), side, side))


def columns(levels):
    return [price for price, _ in levels], [size for _, size in levels]


def naive_best(bids, asks):
    bid = max(bids.items(), default=None)
    ask = min(asks.items(), default=None)
    return bid, ask, bid is not None and ask is not None and bid[0] >= ask[0]


@given(st.lists(change_or_whole, max_size=30))
def test_it_equals_two_dicts(changes):
    book, bids, asks = OrderBook(), {}, {}
    for kind, bid_change, ask_change in changes:
        before = naive_best(bids, asks)
        if kind == "replace":
            bids, asks = dict(bid_change), dict(ask_change)
            moved = book.replace(*columns(bids.items()), *columns(asks.items()))
        else:
            for levels, rows in ((bids, bid_change), (asks, ask_change)):
                for price, size in rows:
                    levels[price] = size
                    if not size:
                        del levels[price]
            moved = book.set_levels(*columns(bid_change), *columns(ask_change))
        assert (book.best_bid, book.best_ask, book.crossed) == naive_best(bids, asks)
        assert moved == (naive_best(bids, asks) != before)
        best_first = sorted(bids.items(), reverse=True), sorted(asks.items())
        assert book.levels() == Levels(*(tuple(column) for levels in best_first for column in columns(levels)))
        assert book.levels_to_buy("yes") == best_first[1] == [(MICROS - p, s) for p, s in book.levels_to_sell("no")]
        assert book.levels_to_sell("yes") == best_first[0] == [(MICROS - p, s) for p, s in book.levels_to_buy("no")]
        for outcome in ("yes", "no"):
            assert book.best_to_buy(outcome) == next(iter(book.levels_to_buy(outcome)), None)


@pytest.mark.parametrize(
    "levels",
    [
        ([500_000], [], [], []),
        ([], [], [500_000], [1, 2]),
        ([500_000, 500_000], [1, 2], [], []),
        ([0], [1], [], []),
        ([], [], [MICROS], [1]),
        ([-10_000], [1], [], []),
        ([500_000], [0], [], []),
        ([500_000], [-1], [], []),
    ],
)
def test_an_impossible_whole_book_changes_nothing(levels):
    book = OrderBook()
    book.replace([400_000], [7], [600_000], [8])
    with pytest.raises(BookError):
        book.replace(*levels)
    assert book.levels() == ((400_000,), (7,), (600_000,), (8,))
    assert (book.best_bid, book.best_ask) == ((400_000, 7), (600_000, 8))


@pytest.mark.parametrize(
    "levels",
    [([500_000], [-1], [], []), ([MICROS], [1], [], []), ([], [], [0], [1]), ([], [1], [], []), ([], [], [1], [])],
)
def test_an_impossible_change_is_refused(levels):
    with pytest.raises(BookError):
        OrderBook().set_levels(*levels)


def test_removing_a_level_that_is_not_there_is_nothing():
    book = OrderBook()
    assert not book.set_levels([500_000], [0], [], [])
    assert book.levels() == ((), (), (), ())
