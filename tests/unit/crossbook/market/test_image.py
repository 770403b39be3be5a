"""The image of a market: nothing of the state is lost, nothing new is forgotten, and its fields are what checkpoints hold."""

import msgspec
import pytest

from crossbook.domain.identities import Identities
from crossbook.market.book_state import BookState, FeedHealth
from crossbook.market.feed_clock import FeedClock
from crossbook.market.image import MarketImage, market_image, restore_market
from crossbook.market.market_state import MarketState
from crossbook.market.references import References, ReferenceState
from tests.builders.lively_market import lively_market

#: What the image holds of each part, and what is derived again, from listings, settings or levels.
HELD = {
    MarketState: {
        "clock", "position", "log_id", "partition", "partitions", "base_offset", "recorded", "instruments", "books", "feeds", "references",
        "pairs", "identities", "settled", "contradicted", "venues", "friction", "configured", "strategies",
    },
    Identities: {"legs", "pairs", "instruments"},
    FeedClock: {"now_ns", "clamped", "claims"},
    FeedHealth: {"session", "state", "last_status_now"},
    References: {"prices", "feeds"},
    ReferenceState: set(ReferenceState.__slots__),
    BookState: {
        "instrument_id", "book", "broken", "valid", "reason", "crossings", "feed", "session", "sequence", "delivery",
        "ts_received_ns", "refreshed_ns", "refreshed_position",
    },
}  # fmt: skip
DERIVED = {
    MarketState: {"grids", "refused", "jump_ns", "polled_fresh_ns", "feed_stale_ns", "_appliers", "_hours"},
    BookState: {"crossing_breaks", "on_grid", "_quiet", "_top"},
}


def folded(records):
    market = MarketState()
    for position, record in enumerate(records):
        market.apply(position, record)
    return market


def round_trip(market):
    payload = msgspec.json.encode(market_image(market))
    again = MarketState()
    restore_market(again, msgspec.json.decode(payload, type=MarketImage))
    assert msgspec.json.encode(market_image(again)) == payload
    return again


def attributes(cls):
    return set(getattr(cls, "__slots__", ())) or set(vars(cls()))


@pytest.mark.parametrize("cls", HELD, ids=lambda cls: cls.__name__)
def test_every_attribute_is_in_the_image_or_known_to_be_derived(cls):
    assert attributes(cls) == HELD[cls] | DERIVED.get(cls, set()), (
        "put the new attribute into crossbook/market/image.py, raise FORMAT_VERSION of both checkpoints, and name it here"
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("cut", [1, 5, 40, 251])
def test_a_fold_goes_on_from_an_image_as_if_nothing_had_been(seed, cut):
    records = lively_market(400, seed)
    whole, half = folded(records), round_trip(folded(records[:cut]))
    known = folded(records[:cut])
    for position in range(cut, len(records)):
        assert half.apply(position, records[position]) == known.apply(position, records[position])
        assert {i for i in known.books if known.usable(i)} == {i for i in half.books if half.usable(i)}
    assert market_image(half) == market_image(whole)
    assert (half.grids, half.refused, half.jump_ns) == (whole.grids, whole.refused, whole.jump_ns)


def test_the_fields_that_stand_in_checkpoints():
    assert MarketImage.__struct_fields__ == (
        "position", "log_id", "partition", "partitions", "base_offset", "recorded", "now_ns", "clamped", "claims", "instruments", "pairs",
        "books", "feeds", "settled", "friction", "configured", "strategies", "references", "reference_feeds", "legs",
        "contradicted_pairs", "contradicted_instruments", "venues", "contradicted",
    )  # fmt: skip
