"""The contract that every venue's protocol passes, a plug-in's too, judged by the fold that decide uses.

The law: whatever frames come, in whatever state, `receive` raises nothing; every frame ends in records, a known counter or a
dead letter; and a book that the protocol holds valid is, in the fold of its records, valid and level for level the same.
"""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.market.market_state import MarketState
from producers.feeds.protocol import FetchBook, Reconnect
from schemas.records import BookDelta, BookSnapshot, DeadLetter, FeedStatus, PublicTrade, Record
from tests.builders.plugin.acme import plugged_in
from tests.builders.producers.damaged import mutated
from tests.builders.producers.drivers import DRIVERS, MS, START_MS


@pytest.fixture(autouse=True, scope="module")
def plug_in():
    with plugged_in():
        yield


class Run:
    """A protocol and the fold of everything that it said."""

    def __init__(self, venue: str) -> None:
        self.driver = DRIVERS[venue]()
        self.protocol = self.driver.protocol
        self.state = MarketState()
        self.outputs: list[object] = []
        self.now_ns = START_MS * MS
        for listed in self.driver.listings:
            self.fold(listed)
            assert self.protocol.follow(listed, self.now_ns) == []
        self.take(self.protocol.connect(self.now_ns, self.now_ns))

    def fold(self, record: Record) -> None:
        self.state.apply(self.state.position + 1, record)

    def take(self, outputs: list[Any]) -> list[Any]:
        self.outputs += outputs
        for output in outputs:
            if isinstance(output, Record) and not isinstance(output, DeadLetter):
                self.fold(output)
        return outputs

    def give(self, frame: Any, after_ms: int = 1) -> list[Any]:
        self.now_ns += after_ms * MS
        raw = frame if isinstance(frame, bytes | str) else json.dumps(frame, separators=(",", ":")).encode()
        return self.take(self.protocol.receive(raw, self.now_ns))

    def check(self) -> None:
        """The fold agrees with the mirrors."""
        for one in self.protocol.followed.values():
            known = self.state.books.get(one.id)
            if one.valid:
                assert known is not None
                assert not known.broken
                levels = known.book.levels()
                assert (levels.bid_prices, levels.bid_sizes, levels.ask_prices, levels.ask_sizes) == one.mirror.levels()
            else:
                assert known is None or known.broken
        for output in self.outputs:
            if isinstance(output, BookSnapshot):
                assert all((*output.bid_sizes, *output.ask_sizes))


@pytest.fixture(params=sorted(DRIVERS))
def run(request) -> Run:
    return Run(request.param)


def opened(run: Run) -> Run:
    for frame in run.driver.opening():
        run.give(frame)
    return run


def test_subscription_is_queued_once_and_first(run: Run) -> None:
    first, *beside = run.protocol.to_send()
    assert first
    assert [text for text in beside if "market_lifecycle_v2" not in text] == []  # what is told of every market
    assert run.protocol.to_send() == []


def test_live_is_said_before_the_first_snapshot(run: Run) -> None:
    opened(run)
    kinds = [type(o) for o in run.outputs]
    assert kinds[0] is FeedStatus
    assert run.outputs[0].state == "down"
    assert kinds[1] is FeedStatus
    assert run.outputs[1].state == "live"
    assert kinds.count(BookSnapshot) == 2
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)
    run.check()


def test_stream_folds_to_the_mirror(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
        run.check()
    trades = [o for o in run.outputs if isinstance(o, PublicTrade)]
    assert [(t.price_micros, t.quantity_micros, t.taker_side) for t in trades] == [(460_000, 5_000_000, "sell")]
    assert run.protocol.counters["dead.drift"] == 0


def test_text_and_bytes_are_the_same(run: Run) -> None:
    frame = json.dumps(run.driver.opening()[0])
    other = Run(run.protocol.venue)
    assert run.give(frame) == other.give(frame.encode())


def test_deltas_chain_within_the_session(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
    last: dict[str, int] = {}
    for output in run.outputs:
        if isinstance(output, BookDelta | BookSnapshot):
            if isinstance(output, BookDelta):
                assert output.previous_sequence == last[output.instrument_id]
            assert output.sequence == last.get(output.instrument_id, 0) + 1
            last[output.instrument_id] = output.sequence


def test_keyframe_changes_nothing_and_the_next_delta_still_counts(run: Run) -> None:
    opened(run)
    first = run.driver.listings[0].instrument_id
    book = run.protocol.keyframe(first, run.now_ns)
    assert book is not None
    assert book.keyframe
    assert run.state.apply(run.state.position + 1, book).kind == "none"
    run.give(run.driver.stream()[0])
    run.check()
    assert run.protocol.keyframe("nobody", run.now_ns) is None


def test_disconnect_invalidates_everything_and_the_next_session_is_larger(run: Run) -> None:
    opened(run)
    session = run.protocol.session
    run.take(run.protocol.disconnect("gone", run.now_ns))
    run.check()
    assert not any(one.valid for one in run.protocol.followed.values())
    with pytest.raises(AssertionError, match="sessions of a feed grow"):
        run.protocol.connect(session, run.now_ns)
    run.take(run.protocol.connect(session + 1, run.now_ns))
    for frame in run.driver.opening():
        run.give(frame)
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)


def test_renewed_session_shows_whole_books(run: Run) -> None:
    opened(run)
    run.take(run.protocol.renew(run.protocol.session + 1, "buffer", run.now_ns))
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)
    run.give(run.driver.stream()[0])
    run.check()


def test_duplicates_change_nothing(run: Run) -> None:
    opened(run)
    for frame in run.driver.stream():
        run.give(frame)
        before = run.state.position
        again = [o for o in run.give(frame) if isinstance(o, BookDelta)]
        assert again == [] or run.state.position == before
        run.check()


@pytest.mark.parametrize(
    "frame",
    [b"", b"{", b"null", b"[]", b"[1,null]", b'"x"', b"\xff\xfe", b"1e400", b'{"type":1e400}', b"[" * 5_000, b"{}",
     b'{"event_type":"mood"}', b'{"type":"mood"}', b'{"event_type":["book"]}', b'{"type":null}',
     b'{"type":"orderbook_delta","sid":9,"seq":1,"msg":{}}', b'{"type":"orderbook_delta"}', b"9" * 5_000],
)  # fmt: skip
def test_garbage_is_dead_lettered_and_hurts_no_book(run: Run, frame: bytes) -> None:
    opened(run)
    outputs = run.give(frame)
    assert (
        frame == b"[]"
        or any(isinstance(o, DeadLetter) and o.payload == frame[:65_536] for o in outputs)
        or (frame.startswith(b"[") and any(isinstance(o, DeadLetter) for o in outputs))
    )
    run.check()
    assert all(run.state.usable(listed.instrument_id) for listed in run.driver.listings)


# -- mutation


@pytest.mark.parametrize("venue", sorted(DRIVERS))
@settings(max_examples=250, deadline=None)
@given(data=st.data())
def test_mutated_streams_never_raise_and_never_show_another_book(venue: str, data: st.DataObject) -> None:
    run = Run(venue)
    frames = data.draw(mutated(run.driver.opening() + run.driver.stream()))
    for frame in frames:
        before = dict(run.protocol.counters)
        outputs = run.give(frame, after_ms=data.draw(st.sampled_from([1, 700])))
        counted = {k for k, v in run.protocol.counters.items() if before.get(k) != v} - {"frames"}
        is_list = isinstance(frame, list)
        told = bool(outputs or counted or run.protocol.to_send() or is_list)
        assert told or (isinstance(frame, dict) and frame.get("type") in {"subscribed", "ok", "unsubscribed"})
        run.check()
        run.take(run.protocol.tick(run.now_ns))
        run.check()


@pytest.mark.parametrize("venue", sorted(DRIVERS))
@settings(max_examples=300, deadline=None)
@given(junk=st.lists(st.binary(max_size=80) | st.text(max_size=40), max_size=5))
def test_junk_never_raises(venue: str, junk: list[bytes | str]) -> None:
    run = opened(Run(venue))
    for frame in junk:
        run.give(frame)
    run.check()


def test_distrust_is_said_once_and_asked_for_without_a_storm(run: Run) -> None:
    opened(run)
    run.protocol.to_send()
    first = run.driver.listings[0].instrument_id
    asked = 0
    for _ in range(100):
        outputs = run.take(run.protocol.distrust(first, "test", run.now_ns))
        asked += sum(isinstance(o, FetchBook) for o in outputs) + len(run.protocol.to_send())
        run.now_ns += 10 * MS
    assert sum(isinstance(o, FeedStatus) and o.state == "resync" for o in run.outputs) == 1
    assert asked == 1
    assert not any(isinstance(o, Reconnect) for o in run.outputs)
    run.check()
