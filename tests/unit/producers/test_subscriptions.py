"""Which feed follows what: one feed an instrument, as many connections as the venue's bound asks for."""

import asyncio

import pytest
import structlog

from crossbook.runtime.settings import FeedSettings
from producers.feeds.backoff import DialBudget
from producers.subscriptions import Subscriptions
from producers.venues import OpenVenue
from tests.builders.plugin.acme import AcmeProtocol, listing, plugged_in
from tests.builders.producers.stages import EmptyCatalog

LOG = structlog.wrap_logger(structlog.ReturnLogger())


class Sink:
    """Keeps what feeds say."""

    def __init__(self) -> None:
        self.records = []

    def accept(self, record):
        self.records.append(record)

    def tape(self, frame):
        pass

    def resolved(self, instrument_id):
        pass

    def refresh_listing(self, instrument_id):
        pass


class NeverStarts:
    """A task group that starts nothing: no socket is opened."""

    def create_task(self, loop):
        loop.close()


def opened(most):
    made = Subscriptions(FeedSettings(), lambda: 1, {"acme": 5, "acme-2": 9}, LOG)
    venue = OpenVenue(
        venue="acme",
        catalogue=EmptyCatalog(),
        protocol=AcmeProtocol,
        connection=None,
        status=None,
        instruments_max=most,
        budget=DialBudget(),
    )
    made.open([venue], Sink(), NeverStarts())
    return made


@pytest.fixture(autouse=True)
def plug_in():
    with plugged_in():
        yield


def feeds_of(made):
    return [(feed.protocol.feed, sorted(feed.protocol.followed)) for feed in made.all()]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (None, [("acme", ["acme:A", "acme:B", "acme:C"])]),
        (2, [("acme", ["acme:A", "acme:B"]), ("acme-2", ["acme:C"])]),
        (1, [("acme", ["acme:A"]), ("acme-2", ["acme:B"]), ("acme-3", ["acme:C"])]),
    ],
)
def test_instruments_fill_one_connection_after_the_other(most, expected):
    made = opened(most)
    assert feeds_of(made) == [("acme", [])]
    for symbol in "ABCA":
        made.follow(listing(symbol, 1))
    assert feeds_of(made) == expected


def test_room_that_was_left_is_taken_again():
    made = opened(1)
    for symbol in "AB":
        made.follow(listing(symbol, 1))
    made.unfollow("acme:A")
    made.unfollow("acme:A")
    made.follow(listing("C", 1))
    assert feeds_of(made) == [("acme", ["acme:C"]), ("acme-2", ["acme:B"])]


def test_sessions_begin_after_the_last_of_the_log():
    made = opened(1)
    made.follow(listing("A", 1))
    made.follow(listing("B", 1))
    first, second = made.all()
    assert first._next_session() > 5
    assert second._next_session() > 9


def test_what_nobody_follows_has_no_book():
    made = opened(None)
    assert made.book("acme:A", keyframe=True) is None
    made.distrust("acme:A", "nobody has it")
    made.unfollow("acme:A")
    assert feeds_of(made) == [("acme", [])]


def test_a_book_that_is_distrusted_is_not_shown():
    made = opened(None)
    made.follow(listing("A", 1))
    (feed,) = made.all()
    feed.protocol.connect(feed._next_session(), 1)
    feed.protocol.receive(b'{"book":"A","bids":[["0.44","10"]],"asks":[["0.48","20"]]}', 2)
    book = made.book("acme:A", keyframe=True)
    assert (book.bid_prices, book.ask_prices, book.keyframe) == ((440_000,), (480_000,), True)

    async def distrust():
        made.distrust("acme:A", "a test")

    asyncio.run(distrust())
    assert made.book("acme:A", keyframe=True) is None
