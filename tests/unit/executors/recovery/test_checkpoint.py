"""Checkpoints of the executor: whoever goes on from one writes the same bytes, and what is not ours is passed over with a reason."""

import random
from collections import deque

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executors.engine import Engine, refold
from executors.errors import CheckpointError, JournalError
from executors.recovery import checkpoint
from executors.recovery.checkpoint import (
    FORMAT_VERSION,
    Checkpoints,
    candidates,
    freeze,
    open_image,
    start_lanes,
    start_state,
    thaw,
)
from executors.recovery.image import is_at_rest
from executors.terms import ExecuteTerms, PaperTerms, Terms
from executors.venues.paper import PaperVenue
from executors.venues.paper_image import VenueImage
from executors.venues.port import Place
from schemas.codec import load_codec
from schemas.records import LimitsChanged, OrderRequested, TradePlan, TradingStateChanged
from tests.builders.executors.journals import journal_of
from tests.builders.executors.worlds import KA, MICROS, MS, PM, T0, make_world

CODEC = load_codec()
ROUGH = Terms(
    execute=ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=2_500 * MICROS),
    paper=PaperTerms(vanish_ppm=150_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000, reverse_ppm=60_000),
)
DIGEST = "d" * 64


class Run:
    """One life of an engine over a world: steps, operators' words at set positions, journal and fills as bytes."""

    def __init__(self, world, engine=None):
        self.world = world
        self.engine = engine or Engine([0])
        self.lane = self.engine.lanes[0]
        self.written = []
        if engine is None:
            self.engine.configure(ROUGH, portfolio="main", code_digest=DIGEST)
            self.written += self.engine.take_and_send()
        records, intents, marks = world
        for position in range(self.lane.position + 1, len(records)):
            self.lane.put_record(position, records[position])
        for one in intents:
            self.lane.put_intent(one, one.number, 0)
        for offset, mark in enumerate(marks):
            self.lane.put_watermark(mark, offset)
        self.words = word_positions(len(records))
        self.checkpoints = Checkpoints(self.engine, "main", DIGEST)

    def say(self):
        for offset, (position, word) in enumerate(self.words):
            if self.lane.position >= position:
                self.engine.control(word, offset)

    def step(self):
        """One step of the lane; whether there was one."""
        self.say()
        more = self.engine.advance(1)
        self.written += self.engine.take_and_send()
        return more

    def to_end(self):
        while self.step():
            pass
        return self


def word_positions(end):
    said = {"ts_ns": T0, "operator": "me", "reason": ""}
    return [
        (end // 4, LimitsChanged(name="pairs_open_max", value_micros=7, **said)),
        (end // 3, TradingStateChanged(state="halted", scope="all", scope_value="", **said)),
        (end // 3 + 25, TradingStateChanged(state="running", scope="all", scope_value="", **said)),
        (end // 2, TradingStateChanged(state="reduce_only", scope="venue", scope_value="kalshi", **said)),
        (end // 2 + 30, TradingStateChanged(state="running", scope="all", scope_value="", **said)),
    ]


def as_bytes(written):
    return [CODEC.encode(r) for r in written]


def restored(image):
    engine = Engine([0], start_state(image))
    start_lanes(engine, image)
    return engine


def recovered(world, journal, reached, image=None):
    """An engine after a restart: the journal folded (on), `market` replayed up to a position."""
    state, journaled = refold(journal, None if image is None else start_state(image))
    engine = Engine([0], state)
    if image is not None:
        start_lanes(engine, image)
    lane, entries = engine.lanes[0], journaled.get(0, deque())
    lane.catch_up(entries)
    for position in range(lane.position + 1, max(reached, state.positions.get(0, -1)) + 1):
        lane.replay(position, world[0][position], entries)
    assert not entries
    return engine


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 500), cuts=st.lists(st.integers(1, 480), min_size=3, max_size=3, unique=True))
def test_going_on_from_any_checkpoint_writes_the_same_bytes(seed, cuts):
    world = make_world(seed, 500)
    first = Run(world)
    images, number = [], 0
    while first.step():
        number += 1
        if number in cuts:
            images.append((len(first.written), freeze(first.checkpoints.image())))
    whole, end = as_bytes(first.written), freeze(first.checkpoints.image())
    assert len(whole) > 100
    assert images
    for written, payload in images:
        image = thaw(payload)
        assert freeze(image) == payload
        again = Run(world, restored(image))
        assert freeze(again.checkpoints.image()) == payload
        again.to_end()
        assert as_bytes(again.written) == whole[written:]
        assert freeze(again.checkpoints.image()) == end


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 500), taken=st.integers(1, 400), further=st.integers(1, 120))
def test_a_restart_from_a_checkpoint_is_a_restart_from_zero(seed, taken, further):
    world = make_world(seed, 500)
    first = Run(world)
    for _ in range(taken):
        first.step()
    image = thaw(freeze(first.checkpoints.image()))
    known = len(journal_of(first.written))
    for _ in range(further):
        first.step()
    written, reached = list(first.written), first.lane.position
    journal = journal_of(written)
    lives = [recovered(world, journal, reached), recovered(world, journal[known:], reached, image)]
    rest = [as_bytes(Run(world, life).to_end().written) for life in lives]
    assert rest[0] == rest[1] == as_bytes(first.to_end().written[len(written) :])
    # An arrival between two records that no journal tells of is done again by the next life, so images are equal at the end.
    frozen = [freeze(Checkpoints(life, "main", DIGEST).image()) for life in lives]
    assert frozen[0] == frozen[1] == freeze(first.checkpoints.image())


def test_an_order_of_the_position_that_a_checkpoint_stands_at_is_put_back_before_the_next():
    world = make_world(5, 600)
    first = Run(world)
    found = 0
    while first.lane.position < 599:
        image, before = thaw(freeze(first.checkpoints.image())), len(first.written)
        if not first.step():
            break
        requests = [r for r in first.written[before:] if isinstance(r, OrderRequested)]
        if not requests or requests[0].position != image.lanes[0].market.position:
            continue
        found += 1
        engine = recovered(world, journal_of(first.written[before:]), first.lane.position, image)
        assert bytes(engine.lanes[0].venue.image()) == bytes(first.lane.venue.image())
    assert found > 3


def test_a_report_that_the_venue_does_not_give_is_refused():
    world = make_world(5, 600)
    first = Run(world).to_end()
    _, journaled = refold(journal_of(first.written))
    reports = deque(entry for entry in journaled[0] if not isinstance(entry[0], OrderRequested))
    with pytest.raises(JournalError, match="does not report at position 599"):
        first.lane.catch_up(reports)


def test_trades_at_rest_are_left_out_and_all_others_kept():
    world = make_world(3, 1_000)
    run = Run(world)
    sizes = []
    while run.step():
        image = run.checkpoints.image()
        busy = frozenset(run.lane.venue.busy_trades())
        kept = {one.work["plan"]["trade_id"] for one in image.state.trades}
        assert kept == {i for i, trade in run.engine.state.trades.items() if not is_at_rest(trade, busy)}
        assert {i for ids in (*image.state.working.values(), *image.state.timed.values()) for i in ids} <= kept
        sizes.append(len(kept))
    plans = sum(isinstance(r, TradePlan) for r in run.written)
    assert max(sizes) < plans
    assert sizes[-1] < len(run.engine.state.trades)


# The venue


def requested(order_id="i1-l1", **changes):
    values = {
        "sequence": 1,
        "ts_ns": T0,
        "partition": 0,
        "position": 3,
        "order_id": order_id,
        "trade_id": "i1",
        "role": "leader",
        "attempt": 1,
        "instrument_id": PM,
        "venue": "polymarket",
        "outcome": "yes",
        "side": "buy",
        "price_limit_micros": 400_000,
        "quantity_micros": 10 * MICROS,
        "time_in_force": "immediate_or_cancel",
        "reduce_only": False,
        "send_before_ns": T0,
        "reserved_micros": 0,
    }
    return OrderRequested(**(values | changes))


def opened(venue):
    return msgspec.json.decode(venue.image(), type=VenueImage)


def test_every_corner_of_the_venue_has_its_image():
    run = Run(make_world(5, 400))
    seen = {"queue": 0, "levels": 0, "held": 0}
    while run.step():
        image = opened(run.lane.venue)
        for name in seen:
            seen[name] += bool(getattr(image, name))
    assert all(seen.values())
    venue = PaperVenue(run.lane.market)
    run.lane.market.books[PM].valid = False
    venue.send([Place(requested(ts_ns=run.lane.market.now_ns - 100 * MS), PaperTerms(late_ppm=MICROS), 0)])
    venue.begin(run.lane.market.apply(400, make_world(5, 400)[0][0]))
    assert venue.pop() is None
    assert list(opened(venue).waiting) == [PM]
    assert venue.busy_trades() == {"i1"}
    again = PaperVenue(run.lane.market)
    again.restore(venue.image())
    assert bytes(again.image()) == bytes(venue.image())


def test_an_attribute_that_the_image_does_not_know_fails_loudly():
    run = Run(make_world(5, 100))
    with pytest.raises(AttributeError):  # the venue writes its own image, of all that it has a slot for
        run.lane.venue.impact = {}
    run.engine.state.memory = {}
    with pytest.raises(CheckpointError, match="ExecutorState has the attributes"):
        run.checkpoints.image()


def test_nothing_uncommitted_gets_into_a_checkpoint():
    run = Run(make_world(5, 100))
    run.engine.kill("KILL")
    with pytest.raises(AssertionError, match="only what is committed"):
        run.checkpoints.image()


# Records


def taken_twice(monkeypatch):
    monkeypatch.setattr("crossbook.log.chunks.CHUNK_BYTES", 2_000)
    run = Run(make_world(5, 400))
    records = []
    for _ in range(2):
        for _ in range(150):
            run.step()
        records.append(run.checkpoints.records(run.checkpoints.image(anchor="a", offsets={"market": {0: 7}})))
    return records


def positions(records, digest=DIGEST):
    return [pieces[0].position for pieces in candidates(records, digest)[0]]


def test_the_newest_whole_checkpoint_comes_first(monkeypatch):
    early, late = taken_twice(monkeypatch)
    assert len(late) > 3 and all(len(record.payload) <= 2_000 for record in late)
    one, two = early[0].position, late[0].position
    assert one < two
    assert positions([*early, *late]) == [two, one]
    assert positions([*early, *late[:-1]]) == [one]
    assert positions([*late[:2], *early]) == [one]
    assert positions([*early[1:], *late]) == [two]
    pieces = candidates([*early, *late], DIGEST)[0][0]
    image = open_image(pieces, portfolio="main", partitions=1)
    assert image.state.next_sequence == two + 1 and image.offsets == {"market": {0: 7}}
    assert [r.chunk for r in pieces] == list(range(len(late)))
    random.Random(1).shuffle(late)
    assert positions(late) == []


def test_checkpoints_of_others_are_ignored_with_a_reason(monkeypatch):
    early, late = taken_twice(monkeypatch)
    whole, ignored = candidates([*early, *late], "e" * 64)
    assert whole == [] and [one.position for one in ignored] == [early[0].position, late[0].position]
    assert "it was written by code dddddddddddd…, this is eeeeeeeeeeee…" in ignored[0].reason
    other = [msgspec.structs.replace(one, format_version=99) for one in late]
    whole, ignored = candidates([*early, *other], DIGEST)
    assert len(whole) == 1 and f"its format is 99, this code's is {FORMAT_VERSION}" in ignored[0].reason
    with pytest.raises(CheckpointError, match="portfolio 'main', this is 'other'"):
        open_image(late, portfolio="other", partitions=1)
    with pytest.raises(CheckpointError, match="partitions is 2"):
        open_image(late, portfolio="main", partitions=2)
    with pytest.raises(CheckpointError, match="cannot be read"):
        open_image(late[:-1], portfolio="main", partitions=1)
    moved = [msgspec.structs.replace(one, log_id="x") for one in late]
    with pytest.raises(CheckpointError, match="another log"):
        open_image(moved, portfolio="main", partitions=1)


def test_an_image_is_readable_json(monkeypatch):
    _, late = taken_twice(monkeypatch)
    shown = msgspec.json.decode(b"".join(one.payload for one in late))
    assert list(shown) == ["portfolio", "log_id", "anchor", "journal_offset", "offsets", "state", "lanes"]
    assert shown["state"]["next_sequence"] == late[0].position + 1
    assert {book["instrument_id"] for book in shown["lanes"][0]["market"]["books"]} == {PM, KA}
    assert checkpoint.STAGE == "execute"


# Two partitions over one state


def two_partitions(seed):
    """The worlds of two partitions that trade the same instruments."""
    records, intents, marks = make_world(seed + 1, 300)
    moved = [
        msgspec.structs.replace(one, partition=1, intent_id=f"p1-{one.intent_id}", pair_id="other") for one in intents
    ]
    opened = msgspec.structs.replace(records[0], partition=1, partitions=2)
    return make_world(seed, 300), ([opened, *records[1:]], moved, marks)


def fed(engine, worlds):
    for number, (records, intents, marks) in enumerate(worlds):
        lane = engine.lanes[number]
        for position in range(lane.position + 1, len(records)):
            lane.put_record(position, records[position])
        for one in intents:
            lane.put_intent(one, one.number, 0)
        for offset, mark in enumerate(marks):
            lane.put_watermark(mark, offset)
    return engine


@pytest.mark.parametrize("seed", [1, 2])
def test_two_partitions_go_on_together(seed):
    worlds = two_partitions(seed)
    engine = Engine([0, 1])
    engine.configure(ROUGH, portfolio="main", code_digest=DIGEST)
    fed(engine, worlds)
    written, images = engine.take_and_send(), []
    checkpoints = Checkpoints(engine, "main", DIGEST)
    steps = 0
    while engine.advance(2):  # a round of both lanes, so that the order of lanes is the same after a restart
        written += engine.take_and_send()
        steps += 1
        if steps % 60 == 0:
            images.append((len(written), freeze(checkpoints.image())))
    written += engine.take_and_send()
    assert len(images) >= 3
    for known, payload in images:
        image = thaw(payload)
        again = Engine([0, 1], start_state(image))
        start_lanes(again, image)
        fed(again, worlds)
        more = []
        while again.advance(2):
            more += again.take_and_send()
        assert as_bytes(more + again.take_and_send()) == as_bytes(written[known:])
