"""What Polymarket's feed subscribes to, and what it does about an asset that the socket says nothing of."""

import json
from itertools import pairwise

from producers.feeds.protocol import FetchBook, Reconnect
from producers.polymarket.protocol import PolymarketProtocol
from tests.builders.producers.listings import make_listing
from tests.builders.producers.polymarket import AT, CONDITION, ID, MS, NO, SECOND, YES, Session, book

OTHER = "0x" + "d" * 64


def with_another(first: dict | None = None) -> Session:
    """A session of two markets whose socket tells of the other one only, unless told otherwise."""
    session = Session()
    session.protocol.follow(make_listing("polymarket", OTHER, yes_token="5" * 70, no_token="6" * 70), session.now)
    session.give([book("5" * 70, market=OTHER)] + ([first] if first else []))
    session.sent()
    return session


def test_a_rest_book_stands_in_for_no_stream_that_has_said_nothing() -> None:
    for session in (Session(), with_another()):
        session.tick(100)
        assert not any(isinstance(o, FetchBook) for o in session.tick(1_100))
        assert session.protocol.rest_book(ID, json.dumps(book()).encode(), session.now) == []
        assert not session.valid


def test_an_asset_that_the_socket_says_nothing_of_is_subscribed_anew_with_growing_waits() -> None:
    session = with_another()
    asked: list[int] = []
    for i in range(200):
        session.tick(100)
        if frames := session.sent():
            assert [frame["assets_ids"] for frame in frames] == [[YES], [YES]]
            assert [frame["operation"] for frame in frames] == ["unsubscribe", "subscribe"]
            asked.append(i)
    assert 4 <= len(asked) <= 6
    gaps = [b - a for a, b in pairwise(asked)]
    assert gaps == sorted(gaps)
    assert not session.valid


def test_a_first_book_has_the_subscription_s_own_time() -> None:
    """However short the limit of silence is: the venue may be slow with a first frame of many books."""
    session = Session(silence_ns=200 * MS, answer_ns=4 * SECOND)
    for _ in range(39):
        assert session.tick(100) == []
    session.give([book(at=AT + 3_900)])
    assert session.valid
    mute = Session(silence_ns=200 * MS, answer_ns=4 * SECOND)
    mute.tick(3_900)
    assert [type(o) for o in mute.tick(200)] == [Reconnect]


def test_nothing_is_subscribed_without_an_asset() -> None:
    protocol = PolymarketProtocol()
    protocol.connect(1, 1)
    protocol.tick(60 * SECOND)
    assert protocol.to_send() == []
    protocol.follow(make_listing("polymarket", CONDITION, yes_token=YES, no_token=NO), 2)
    assert json.loads(protocol.to_send()[0]) == {"assets_ids": [YES], "type": "market", "custom_feature_enabled": True}
    protocol.unfollow(ID)
    assert json.loads(protocol.to_send()[0]) == {"operation": "unsubscribe", "assets_ids": [YES]}
    protocol.disconnect("gone", 3)
    protocol.connect(2, 4)
    assert protocol.to_send() == []
