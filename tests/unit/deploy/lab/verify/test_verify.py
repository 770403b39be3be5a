"""verify over whole logs: what is damaged is found, named and counted once; ranges, checkpoints and processes change no verdict."""

import random

import msgspec
import pytest

from crossbook.log.archive.read import ArchiveLog
from crossbook.log.archive.write import write_archive
from crossbook.log.errors import LogError
from deploy.errors import WorkerError
from deploy.lab.verify.verify import render_verification, verify_log, whole_digest
from processors.errors import CheckpointError, CodeDigestError
from processors.verify.verify import Positions, verify_decide
from schemas.codec import load_codec
from schemas.records import Checkpoint, EdgeUpdate, Fill, IntentSeen, OrderReport, TradePlan, TradeUpdate
from tests.builders.logs.memory import MemoryLog
from tests.builders.logs.whole import market_of, whole_log

CODEC = load_codec()
TOPICS = ("market", "signals", "intents", "orders", "fills")


@pytest.fixture(scope="module")
def right():
    """A log without a fault; copy it before changing it."""
    return whole_log()


@pytest.fixture(scope="module")
def clean(right):
    return verify_log(right)


@pytest.fixture(scope="module")
def two():
    return whole_log(events=200, partitions=2)


def damaged(log, topic, change):
    """A copy with `change(lines)` applied to partition 0 of a topic."""
    copy = log.copy()
    change(copy.lines[topic, 0])
    return copy


def find(log, topic, cls):
    lines = log.lines[topic, 0]
    found = [n for n, line in enumerate(lines) if isinstance(CODEC.decode(line.value), cls)]
    return found[len(found) // 2]


def test_what_is_right_is_right(right, clean):
    assert clean.mismatches == 0, clean.first_differences
    assert clean.first_differences == ()
    assert clean.events == len(right.lines["market", 0])
    assert clean.decisions == len(right.lines["signals", 0]) + len(right.lines["intents", 0])
    assert clean.executions > 50
    assert clean.inputs + clean.executions == len(right.lines["orders", 0]) + len(right.lines["fills", 0])
    assert set(clean.digests) == {"market/0", "signals/0", "intents/0", "orders", "fills"}
    assert clean.digest == whole_digest(clean.digests)
    assert any(isinstance(CODEC.decode(line.value), Fill) for line in right.lines["fills", 0])


@pytest.mark.parametrize("topic", ["signals", "intents", "fills"])
@pytest.mark.parametrize("what", ["foreign", "missing", "changed", "doubled", "junk"])
def test_one_wrong_output_is_one_mismatch(right, topic, what):
    def change(lines):
        at = len(lines) // 2
        match what:
            case "foreign":
                lines.insert(at, lines[at]._replace(value=right.lines["market", 0][-1].value))
            case "missing":
                del lines[at]
            case "changed":
                lines[at] = lines[at]._replace(key=b"another")
            case "doubled":
                lines.insert(at, lines[at])
            case "junk":
                lines.insert(at, lines[at]._replace(value=b"junk"))

    result = verify_log(damaged(right, topic, change))
    assert result.mismatches == 1, result.first_differences
    (first,) = result.first_differences
    assert f"{topic} partition 0, record " in first
    assert "cause:" in first


def test_many_wrong_records_are_counted_one_by_one(right):
    def change(lines):
        for at in range(len(lines) - 10, 10, -25):
            del lines[at]
            lines.insert(at - 8, lines[0])

    lines = len(right.lines["signals", 0])
    holes = len(range(lines - 10, 10, -25))
    assert verify_log(damaged(right, "signals", change)).mismatches == 2 * holes


def test_a_long_disagreement_is_counted_whole_and_ends(right, clean, monkeypatch):
    monkeypatch.setattr("crossbook.log.comparing.WINDOW", 32)

    def change(lines):
        lines[100:300] = [line._replace(key=b"another") for line in lines[100:300]]

    result = verify_log(damaged(right, "signals", change))
    assert (result.mismatches, result.decisions) == (200, clean.decisions)


@pytest.mark.parametrize(
    ("cls", "what", "mismatches"),
    [
        (TradeUpdate, "missing", 1),
        (TradeUpdate, "doubled", 1),
        (TradeUpdate, "changed", 1),
        (TradePlan, "changed", 1),
        (OrderReport, "doubled", 1),
        (IntentSeen, "doubled", 1),
    ],
)
def test_one_wrong_record_of_the_journal_is_one_mismatch(right, cls, what, mismatches):
    def change(lines):
        at = find(right, "orders", cls)
        match what:
            case "missing":
                del lines[at]
            case "doubled":
                lines.insert(at, lines[at])
            case "changed":
                lines[at] = lines[at]._replace(key=b"another")

    result = verify_log(damaged(right, "orders", change))
    assert result.mismatches == mismatches, result.first_differences


def test_a_missing_input_is_named_by_its_number(right):
    at = find(right, "orders", OrderReport)
    result = verify_log(damaged(right, "orders", lambda lines: lines.pop(at)))
    assert result.mismatches >= 1
    assert "comes next" in result.first_differences[0]


def test_an_intent_that_was_never_committed_is_named(right):
    at = find(right, "orders", IntentSeen)
    seen = CODEC.decode(right.lines["orders", 0][at].value)
    forged = msgspec.structs.replace(seen, intent=msgspec.structs.replace(seen.intent, friction_hash="0" * 64))

    def change(lines):
        lines[at] = lines[at]._replace(value=CODEC.encode(forged))

    result = verify_log(damaged(right, "orders", change))
    assert f"intent {seen.intent.intent_id} is another one in `intents`" in result.first_differences[0]


def test_an_output_without_a_cause_is_named(right):
    quote = CODEC.decode(right.lines["signals", 0][find(right, "signals", EdgeUpdate)].value)
    copy = right.copy()
    copy.append("signals", 0, msgspec.structs.replace(quote, position=10**9), "group")
    result = verify_log(copy)
    assert result.mismatches == 1
    assert "its cause does not exist" in result.first_differences[0]


def test_a_gap_in_market_is_named(right):
    result = verify_log(damaged(right, "market", lambda lines: lines.pop(300)))
    assert "1 records are missing before it" in result.first_differences[0]
    assert "market partition 0, record 301" in result.first_differences[0]


def test_a_log_without_its_head_is_no_log(right):
    result = verify_log(damaged(right, "market", lambda lines: lines.pop(0)))
    assert "no readable LogOpened" in result.first_differences[0]


def test_unreadable_input_is_named_and_no_mismatch(right, clean):
    """decide dead-letters it and goes on; the outputs say whether it mattered."""
    copy = MemoryLog({("market", 0): right.lines["market", 0]})
    lines = copy.lines["market", 0]
    copy.append("market", 0, b"junk", "group")
    before = len(right.lines["market", 0])
    copy.decided[0] = before + 1
    copy.lines |= {place: found for place, found in right.lines.items() if place[0] != "market"}
    result = verify_log(copy)
    assert (result.mismatches, result.unreadable_count, result.events) == (0, 1, before + 1)
    assert f"offset {lines[-1].offset}: unreadable" in result.unreadable[0]
    assert result.digests["market/0"] != clean.digests["market/0"]


@pytest.mark.parametrize("topic", TOPICS)
def test_a_flipped_byte_anywhere_is_found(right, clean, topic):
    rng = random.Random(topic)
    for _ in range(12):
        copy = right.copy()
        lines = copy.lines[topic, 0]
        at = rng.randrange(len(lines))
        value = bytearray(lines[at].value)
        value[rng.randrange(len(value))] ^= 1 << rng.randrange(8)
        lines[at] = lines[at]._replace(value=bytes(value))
        try:
            result = verify_log(copy)
        except CodeDigestError:
            assert topic == "market", "the settings' record holds the digest"
            continue
        name = topic if topic in {"orders", "fills"} else f"{topic}/0"
        assert result.digests[name] != clean.digests[name]
        assert result.digest != clean.digest
        if topic in {"signals", "intents", "fills"}:
            # A changed intent differs from the fold, and from what the executor saw; a fill may have lost its request too.
            assert result.mismatches in ((1,) if topic == "signals" else (1, 2)), (at, value)
            assert any(f"{topic} partition 0" in first for first in result.first_differences)
        elif result.mismatches:
            assert result.first_differences


def test_other_code_is_refused_by_name(right):
    log = MemoryLog({})
    for record in market_of(50, digest="e" * 64):
        log.append("market", 0, record)
    log.decided[0] = log.extent("market", 0)[1]
    with pytest.raises(CodeDigestError, match="decided by code eeeeeeeeeeee"):
        verify_log(log)
    with pytest.raises(WorkerError, match="decided by code eeeeeeeeeeee"):
        verify_log(log, jobs=2)


# -- ranges


@pytest.mark.parametrize("begin", [0, 1, 137, 200, 431])
@pytest.mark.parametrize("end", [None, 432, 500])
def test_a_range_is_compared_alone(right, clean, begin, end):
    positions = Positions(begin, end)
    result = verify_decide(right, ranges={0: positions})
    assert result.mismatches == 0, result.first_differences
    expected = [
        line
        for topic in ("signals", "intents")
        for line in right.lines[topic, 0]
        if begin <= CODEC.decode(line.value).position < (end or 10**9)
    ]
    assert result.decisions == len(expected)
    stop = len(right.lines["market", 0]) if end is None else end
    assert result.events == stop - begin // 200 * 200, "it begins at the newest checkpoint before it"
    without = right.copy()
    del without.lines["checkpoints.decide", 0]
    folded = verify_decide(without, ranges={0: positions})
    assert (folded.mismatches, folded.digests, folded.events) == (0, result.digests, stop)


def test_damage_outside_the_range_is_not_looked_at(right):
    def change(lines):
        del lines[5]

    copy = damaged(right, "signals", change)
    assert verify_decide(copy).mismatches == 1
    assert verify_decide(copy, ranges={0: Positions(300, 500)}).mismatches == 0


def test_a_damaged_checkpoint_is_not_begun_at(right):
    def change(lines):
        at = next(n for n, line in enumerate(lines) if CODEC.decode(line.value).position == 399)
        bad = msgspec.structs.replace(CODEC.decode(lines[at].value), payload=b"{")
        lines[at] = lines[at]._replace(value=CODEC.encode(bad))

    copy = damaged(right, "checkpoints.decide", change)
    result = verify_decide(copy, ranges={0: Positions(450)})
    assert (result.mismatches, result.events) == (0, len(right.lines["market", 0]) - 200)
    result = verify_decide(copy, from_checkpoint="all")
    assert "checkpoints.decide partition 0, record 399" in result.first_difference.describe()


# -- checkpoints


def test_from_every_checkpoint(right, clean):
    stored = [CODEC.decode(line.value) for line in right.lines["checkpoints.decide", 0]]
    result = verify_decide(right, from_checkpoint="all")
    assert (result.mismatches, result.checkpoints) == (0, len(stored))
    assert result.checkpoints >= 3
    assert result.digests.items() <= clean.digests.items()


def test_from_one_checkpoint_to_the_end(right):
    result = verify_decide(right, from_checkpoint=2)
    assert (result.mismatches, result.events) == (0, len(right.lines["market", 0]) - 400)
    with pytest.raises(CheckpointError, match="there is no number 99"):
        verify_decide(right, from_checkpoint=99)


def test_a_checkpoint_that_lies_is_found(right):
    def change(lines):
        record = CODEC.decode(lines[0].value)
        assert isinstance(record, Checkpoint)
        lies = record.payload.replace(b'"intents":', b'"intents":1', 1)
        lines[0] = lines[0]._replace(value=CODEC.encode(msgspec.structs.replace(record, payload=lies)))

    result = verify_decide(damaged(right, "checkpoints.decide", change), from_checkpoint="all")
    assert result.mismatches > 1, "the state differs, and so does what follows from it"
    assert "the state differs from byte" in result.first_difference.describe()


# -- processes


def test_processes_give_the_same_verdict(two):
    here = verify_log(two)
    told = []
    there = verify_log(two, jobs=2, told=told.append)
    assert there == here
    assert here.mismatches == 0, here.first_differences
    assert sum(told) <= here.events
    assert {"market/0", "market/1", "signals/1"} <= set(here.digests)
    assert "sha256 of the log" in [cell for column in render_verification(here).columns for cell in column.cells]


class Unreachable(MemoryLog):
    """A log whose broker lost a topic."""

    def read(self, topic, partition, *, start=None, end=None):
        if topic == "intents":
            raise LogError("intents is gone")
        return super().read(topic, partition, start=start, end=end)


def test_a_refusal_in_a_process_keeps_its_words(two):
    log = Unreachable(two.lines, partitions=2)
    with pytest.raises(WorkerError, match="intents is gone"):
        verify_log(log, jobs=2)


def test_an_archive_gives_the_same_verdict(two, tmp_path):
    write_archive(two, tmp_path / "month", prefix="x.")
    here = verify_log(two)
    assert verify_log(ArchiveLog(tmp_path / "month")) == here
    assert verify_log(ArchiveLog(tmp_path / "month"), jobs=2) == here
