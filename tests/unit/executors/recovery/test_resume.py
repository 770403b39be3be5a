"""Where the executor goes on: at the newest checkpoint that its journal and log prove, else at an older one, else at the beginning."""

import msgspec
import pytest
from structlog.testing import capture_logs

from crossbook.log.errors import LogError
from crossbook.log.reading import LogLine
from executors.engine import Engine
from executors.errors import JournalError
from executors.journal import topic_of
from executors.recovery.checkpoint import Checkpoints, anchor_of
from executors.recovery.resume import BACK_OFFSETS, starts
from schemas.codec import load_codec
from schemas.records import LogOpened
from tests.builders.executors.worlds import KA, PM, TERMS, make_world
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()
CODE, OTHER = "d" * 64, "e" * 64
JOURNAL, FILLS, MARKET, CHECKPOINTS = ("orders", 0), ("fills", 0), ("market", 0), ("checkpoints.execute", 0)
HELD = [(name, outcome) for name in (PM, KA) for outcome in ("yes", "no")]
#: Positions of `market` at which checkpoints were taken.
AT = (250, 400)


def lived(checkpoints_at=AT):
    """A log as one life of the executor left it, the marker of a commit taking an offset of the journal after each step."""
    records, intents, marks = make_world(3, 500)
    log = MemoryLog({MARKET: [LogLine(n, 0, None, CODEC.encode(record)) for n, record in enumerate(records)]})
    engine = Engine([0])
    engine.configure(TERMS, portfolio="main", code_digest=CODE)
    writer, lane, anchor, waiting = Checkpoints(engine, "main", CODE), engine.lanes[0], "", list(checkpoints_at)
    for position, record in enumerate(records):
        lane.put_record(position, record)
    for one in intents:
        lane.put_intent(one, one.number, 0)
    for offset, mark in enumerate(marks):
        lane.put_watermark(mark, offset)
    more, end = True, 0
    while more:
        more = engine.advance(1)
        for written in engine.take_and_send():
            value = CODEC.encode(written)
            if topic_of(written) == "orders":
                log.lines.setdefault(JOURNAL, []).append(LogLine(end, 0, None, value))
                end, anchor = end + 1, anchor_of(value)
            else:
                log.append(*FILLS, written)
        end += 1
        if waiting and lane.position >= waiting[0]:
            waiting.pop(0)
            image = writer.image(anchor=anchor, journal_offset=end, offsets={"market": {0: lane.position + 1}})
            for piece in writer.records(image):
                log.append(*CHECKPOINTS, piece)
    return log


@pytest.fixture(scope="module")
def whole():
    return lived()


@pytest.fixture
def log(whole):
    return whole.copy()


def found(log, committed=500, code=CODE, portfolio="main"):
    """Position of the checkpoint of each start (None: the beginning) and what was passed over."""
    told = []
    given = [*starts(log, CODEC, portfolio=portfolio, code_digest=code, committed={0: committed}, told=lambda *one: told.append(one))]  # fmt: skip
    return given, [None if one.image is None else one.image.lanes[0].market.position for one in given], told


def change(log, number, **changes):
    """Write a checkpoint anew, behind the others."""
    old = CODEC.decode(log.lines[CHECKPOINTS][number].value)
    log.append(*CHECKPOINTS, msgspec.structs.replace(old, **changes))


def rewrite(log, place, number, value):
    log.lines[place][number] = log.lines[place][number]._replace(value=value)


def test_every_start_leads_to_the_state_of_the_whole_journal(log):
    given, positions, told = found(log)
    assert positions == [*reversed(AT), None]
    assert told == []
    last = anchor_of(log.lines[JOURNAL][-1].value)
    states = [one.state for one in given]
    assert {one.anchor for one in given} == {last}
    assert all(one.next_sequence == states[-1].next_sequence > 100 for one in states)
    assert all(
        (one.working, one.timed, one.positions) == (states[-1].working, states[-1].timed, states[-1].positions)
        for one in states
    )
    held = [[one.standing.ledger.quantity(*place) for place in HELD] for one in states]
    assert held == [held[-1]] * 3 and any(held[-1])
    entries = [len(one.journaled[0]) for one in given]
    assert entries == sorted(entries), "the further back, the more the venue must be told again"


def test_an_empty_log_begins_at_the_beginning(log):
    ((start,), positions, _) = found(MemoryLog({MARKET: log.lines[MARKET]}))
    assert positions == [None]
    assert (start.state.next_sequence, start.anchor, start.journaled) == (0, "", {})


def test_without_the_topic_of_checkpoints_there_is_one_start(log):
    (start,) = starts(log, CODEC, portfolio="main", code_digest=CODE, committed={0: 500}, checkpoints=False)
    assert start.image is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"payload": b"{"}, "cannot be read"),
        ({"log_id": "f" * 32}, "another log or journal number"),
        ({"position": 7}, "another log or journal number"),
        ({"code_digest": OTHER}, "by code eeee"),
        ({"format_version": 99}, "format is 99"),
        ({"stage": "decide"}, "of stage decide"),
    ],
)
def test_what_is_forged_behind_the_newest_is_passed_over_with_its_reason(log, changes, reason):
    change(log, -1, **changes)
    _, positions, told = found(log)
    assert positions == [*reversed(AT), None]
    assert [reason in said for _, said, _ in told] == [True]


def test_another_journal_is_named(log):
    number = CODEC.decode(log.lines[CHECKPOINTS][-1].value).position
    place = next(n for n, line in enumerate(log.lines[JOURNAL]) if CODEC.decode(line.value).sequence == number)
    record = CODEC.decode(log.lines[JOURNAL][place].value)
    rewrite(log, JOURNAL, place, CODEC.encode(msgspec.structs.replace(record, ts_ns=record.ts_ns + 1)))
    given = starts(log, CODEC, portfolio="main", code_digest=CODE, committed={0: 500}, told=lambda *one: told.append(one))  # fmt: skip
    told = []
    with pytest.raises(JournalError):  # from the checkpoint before and from the beginning that record does not follow
        next(iter(given))
    assert [f"journal record {number} is another one" in said for _, said, _ in told[:1]] == [True]


def test_a_journal_that_was_cut_holds_no_newer_checkpoint(log):
    first = CODEC.decode(log.lines[CHECKPOINTS][0].value).position
    newest = CODEC.decode(log.lines[CHECKPOINTS][-1].value).position
    log.lines[JOURNAL] = [
        line for line in log.lines[JOURNAL] if CODEC.decode(line.value).sequence <= (first + newest) // 2
    ]
    told = []
    given = starts(log, CODEC, portfolio="main", code_digest=CODE, committed={0: 500}, told=lambda *one: told.append(one))  # fmt: skip
    try:
        start = next(iter(given))
    except JournalError:
        start = None  # the cut fell between an input and what follows from it
    assert [f"does not hold record {newest}" in said for _, said, _ in told[:1]] == [True]
    assert start is None or start.image is None or start.image.lanes[0].market.position == AT[0]


@pytest.mark.parametrize("holes", [0, 10 * BACK_OFFSETS])
def test_the_record_that_a_checkpoint_stands_on_is_looked_for_as_far_back_as_it_is(log, holes):
    """Markers and a fenced writer's remains may lie between."""
    number = CODEC.decode(log.lines[CHECKPOINTS][-1].value).position
    log.lines[JOURNAL] = [
        line._replace(offset=line.offset - (holes if CODEC.decode(line.value).sequence <= number else 0) + holes)
        for line in log.lines[JOURNAL]
    ]
    old = CODEC.decode(log.lines[CHECKPOINTS][-1].value)
    payload = msgspec.json.decode(old.payload)
    payload["journal_offset"] += holes
    del log.lines[CHECKPOINTS][-1]
    log.append(*CHECKPOINTS, msgspec.structs.replace(old, payload=msgspec.json.encode(payload)))
    assert found(log)[1][0] == AT[1]


def test_what_neither_the_group_nor_the_journal_has_reached_is_no_place_to_go_on_from(log):
    last = max(getattr(CODEC.decode(line.value), "position", -1) for line in log.lines[JOURNAL])
    assert found(log, committed=0)[1] == [one for one in (*reversed(AT),) if one <= last] + [None]
    cut = lived()
    newest = CODEC.decode(cut.lines[CHECKPOINTS][-1].value).position
    cut.lines[JOURNAL] = [line for line in cut.lines[JOURNAL] if CODEC.decode(line.value).sequence <= newest]
    cut.lines[CHECKPOINTS] = cut.lines[CHECKPOINTS][-1:]
    _, positions, told = found(cut, committed=10)
    reached = max(getattr(CODEC.decode(line.value), "position", -1) for line in cut.lines[JOURNAL])
    wanted = [AT[1], None] if reached >= AT[1] else [None]
    assert positions == wanted
    assert len(told) == (wanted == [None])


def test_a_market_that_ends_before_a_checkpoint_is_another_one(log):
    log.lines[MARKET] = log.lines[MARKET][:300]
    _, positions, told = found(log)
    assert positions == [AT[0], None]
    assert "which holds 0 to 300" in told[0][1]


def test_a_market_of_another_name_is_told(log):
    opened = next(n for n, line in enumerate(log.lines[MARKET]) if isinstance(CODEC.decode(line.value), LogOpened))
    record = CODEC.decode(log.lines[MARKET][opened].value)
    rewrite(log, MARKET, opened, CODEC.encode(msgspec.structs.replace(record, log_id="f" * 32)))
    _, positions, told = found(log)
    assert positions == [None]
    assert all("is of another" in said for _, said, _ in told)
    rewrite(log, MARKET, opened, b"no record")
    assert found(log)[1] == [None]


def test_without_its_head_only_a_checkpoint_will_do(log):
    log.lines[MARKET] = log.lines[MARKET][AT[0] :]
    given = starts(log, CODEC, portfolio="main", code_digest=CODE, committed={0: 500})
    assert [next(given).image.lanes[0].market.position for _ in AT] == [*reversed(AT)]
    with pytest.raises(LogError, match="its head was dropped, and there is no checkpoint of execute"):
        next(given)


def test_a_journal_that_cannot_be_read_is_the_end(log):
    rewrite(log, JOURNAL, 5, b"garbage")
    with pytest.raises(LogError, match="`orders` holds a record that cannot be read"):
        list(starts(log, CODEC, portfolio="main", code_digest=OTHER, committed={0: 500}))


def test_what_is_passed_over_is_logged_in_a_line_a_reason():
    log = lived(())
    for _ in range(2):
        first = lived((AT[0],))
        for line in first.lines[CHECKPOINTS]:
            log.append(*CHECKPOINTS, msgspec.structs.replace(CODEC.decode(line.value), code_digest=OTHER))
    with capture_logs() as said:
        assert [one.image for one in starts(log, CODEC, portfolio="main", code_digest=CODE, committed={0: 500})] == [
            None
        ]
    assert [(one["event"], one["checkpoints"]) for one in said] == [("execute.checkpoint_ignored", 2)]


def test_an_undeclared_portfolio_has_no_journal(log):
    with pytest.raises(ValueError, match="no portfolio is called 'other'"):
        list(starts(log, CODEC, portfolio="other", code_digest=CODE, committed={0: 500}))
