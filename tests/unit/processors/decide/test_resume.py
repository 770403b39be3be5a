"""Where decide goes on: at the head, behind a checkpoint, and behind one too when the head was dropped; else it refuses."""

import msgspec
import pytest
from structlog.testing import capture_logs

from crossbook.log.errors import LogError
from crossbook.log.head import TAIL_RECORDS_MAX
from processors.decide.checkpoint import to_records
from processors.decide.partition import PartitionFold
from processors.decide.resume import resume_log
from processors.decide.state import DecideState
from schemas.codec import load_codec
from tests.builders import market_records as mr
from tests.builders.lively_market import lively_market
from tests.builders.logs.archived import lines_of
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()
BASE = 7  # the log does not begin at offset 0
AT = (150, 300)  # positions of the checkpoints


@pytest.fixture(scope="module")
def written():
    """A log, the checkpoints that decide wrote on its way, and what it wrote in all, by offset of the cause."""
    records = [msgspec.structs.replace(mr.opened(), base_offset=BASE), *lively_market(events=400)[1:]]
    lines = lines_of(records, first=BASE)
    fold, checkpoints, outputs = PartitionFold(0, CODEC, DecideState(mr.DIGEST)), [], {}
    for line in lines:
        outputs[line.offset] = list(fold.take(line.offset, line.value))
        if line.offset - BASE in AT:
            checkpoints += to_records(fold.state)
    return lines, checkpoints, outputs


def log_of(lines, checkpoints, low=BASE):
    kept = [line for line in lines if line.offset >= low]
    end = lines[-1].offset + 1
    return MemoryLog(
        {("market", 0): kept, ("checkpoints.decide", 0): lines_of(checkpoints)}, first={("market", 0): min(low, end)}
    )


def changed(checkpoints, **changes):
    return [msgspec.structs.replace(one, **changes) for one in checkpoints]


def go_on(lines, outputs, resumed):
    """Fold what is left; it must cause what the undropped log caused."""
    left = [line for line in lines if line.offset >= resumed.offset]
    assert left[0].offset == resumed.offset
    for line in left:
        assert list(resumed.fold.take(line.offset, line.value)) == outputs[line.offset]
    return len(left)


@pytest.mark.parametrize(
    ("low", "committed", "offset"),
    [
        (BASE, 400, BASE + 301),
        (BASE, BASE + 300, BASE + 151),
        (BASE, BASE + 100, BASE),
        (BASE + 1, 400, BASE + 301),
        (BASE + 151, BASE + 300, BASE + 151),
        (BASE + 301, 400, BASE + 301),
        (BASE + 301, BASE + 301, BASE + 301),
    ],
)
def test_with_or_without_a_head_it_goes_on_with_the_same_outputs(written, low, committed, offset):
    lines, checkpoints, outputs = written
    resumed = resume_log(log_of(lines, checkpoints, low), CODEC, mr.DIGEST, 0, committed)
    assert (resumed.offset, resumed.committed_offset) == (offset, committed)
    assert go_on(lines, outputs, resumed) > 50


def test_a_log_that_was_dropped_whole_goes_on(written):
    lines, checkpoints, outputs = written
    end = BASE + AT[1] + 1
    resumed = resume_log(log_of(lines[: AT[1] + 1], checkpoints, end), CODEC, mr.DIGEST, 0, end)
    assert resumed.offset == end
    assert go_on(lines, outputs, resumed) > 50


def test_what_is_forged_behind_the_newest_is_passed_over(written):
    lines, checkpoints, outputs = written
    forged = [
        *checkpoints,
        *changed(checkpoints[-1:], log_id="f" * 32),
        *changed(checkpoints[-1:], code_digest="e" * 64, payload=b"{}"),
        *changed(checkpoints[-1:], payload=b"{"),
        *changed(checkpoints[-1:], chunks=2),
    ]
    resumed = resume_log(log_of(lines, forged, BASE + 200), CODEC, mr.DIGEST, 0, 400)
    assert resumed.offset == BASE + 301
    assert go_on(lines, outputs, resumed) > 50


@pytest.mark.parametrize(
    ("low", "committed", "keep", "changes", "told"),
    [
        (BASE + 302, 400, True, {}, "no checkpoint of decide at or behind offset 309"),
        (BASE + 1, 400, False, {}, "no checkpoint of decide at or behind offset 8"),
        (BASE + 200, BASE + 300, True, {}, "no checkpoint of decide by this code .* from offset 207 to 307"),
        (BASE + 200, 400, True, {"code_digest": "e" * 64}, "no checkpoint of decide by this code"),
        (BASE + 200, 400, True, {"log_id": "f" * 32}, "no checkpoint of decide at or behind"),
        (BASE + 1, -1, True, {}, "no offset in group decide"),
        (BASE + 200, BASE + 199, True, {}, "offset 206 in group decide"),
    ],
)
def test_without_head_and_checkpoint_it_refuses_and_says_what_to_do(written, low, committed, keep, changes, told):
    lines, checkpoints, _ = written
    kept = changed(checkpoints, **changes) if keep else []
    with pytest.raises(LogError, match=told) as refused:
        resume_log(log_of(lines, kept, low), CODEC, mr.DIGEST, 0, committed)
    assert refused.value.exit_code == 78
    assert "its head was dropped" in str(refused.value) and "crossbook archive restore" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("low", [BASE, BASE + 200])
def test_checkpoints_of_other_code_are_looked_through_to_a_bound_and_told_in_a_line(written, low):
    lines, checkpoints, _ = written
    others = changed(checkpoints[-1:], code_digest="e" * 64) * (2 * TAIL_RECORDS_MAX)
    log = log_of(lines, [*checkpoints, *others], low)
    with capture_logs() as said:
        if low == BASE:
            assert resume_log(log, CODEC, mr.DIGEST, 0, 400).offset == BASE
        else:
            with pytest.raises(LogError, match="by this code"):
                resume_log(log, CODEC, mr.DIGEST, 0, 400)
    assert [(one["event"], one["checkpoints"]) for one in said] == [("decide.checkpoint_ignored", TAIL_RECORDS_MAX)]
    assert "by code eeee" in said[0]["reason"]


def test_an_empty_log_and_one_that_begins_late(written):
    lines, checkpoints, outputs = written
    empty = resume_log(MemoryLog({}), CODEC, mr.DIGEST, 0, -1001)
    assert (empty.offset, empty.committed_offset, empty.fold.base_offset) == (0, 0, None)
    late = resume_log(log_of(lines, []), CODEC, mr.DIGEST, 0, -1001)
    assert (late.offset, late.committed_offset) == (BASE, BASE)
    assert go_on(lines, outputs, late) == len(lines)
    with pytest.raises(LogError, match="cut or recreated"):
        resume_log(log_of(lines, checkpoints), CODEC, mr.DIGEST, 0, lines[-1].offset + 2)
