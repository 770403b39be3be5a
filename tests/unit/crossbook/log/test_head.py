"""Whose log it is: LogOpened says it, and without it the newest fitting checkpoint of decide."""

import msgspec
import pytest

from crossbook.log.chunks import whole_checkpoints
from crossbook.log.head import checkpoint_tails, head_dropped, known_market, log_opened
from processors.decide.checkpoint import to_records
from processors.decide.state import DecideState
from schemas.codec import load_codec
from tests.builders import market_records as mr
from tests.builders.logs.archived import lines_of, opened
from tests.builders.logs.memory import MemoryLog

CODEC = load_codec()
HEAD = opened(base_offset=3)
FEED = [mr.status("kalshi", mr.T0 + number * mr.MS, session=5) for number in range(60)]


def checkpoint(position, log_id="ours", base=3, code="d" * 64, **changes):
    """What decide of any code writes of a market that has heard a feed."""
    state = mr.fold([msgspec.structs.replace(HEAD, log_id=log_id, base_offset=base), *FEED], DecideState(code))[0]
    state.market.position = position
    (record,) = to_records(state)
    return msgspec.structs.replace(record, **changes)


def log_of(checkpoints, low=20, end=60):
    lines = lines_of([HEAD, *FEED], first=3)
    return MemoryLog(
        {("market", 0): [one for one in lines if low <= one.offset < end], ("checkpoints.decide", 0): lines_of(checkpoints)},
        first={("market", 0): low},
    )  # fmt: skip


def test_log_opened_is_found_where_it_stands():
    assert log_opened(log_of([], low=3), CODEC, 0) == HEAD
    assert log_opened(log_of([], low=4), CODEC, 0) is None
    assert log_opened(MemoryLog({}), CODEC, 0) is None


@pytest.mark.parametrize(
    ("checkpoints", "position"),
    [
        ([], None),
        ([checkpoint(15)], None),
        ([checkpoint(16)], 16),
        ([checkpoint(16), checkpoint(56)], 56),
        ([checkpoint(56), checkpoint(57)], 56),  # 57 goes on behind the end: it is of a log that was longer
        ([checkpoint(30), checkpoint(40, code="e" * 64)], 40),
        ([checkpoint(30), checkpoint(40, log_id="ours", payload=b"{")], 30),
        ([checkpoint(30), checkpoint(40, payload=b'{"market": {}}')], 30),
        ([checkpoint(30), msgspec.structs.replace(checkpoint(40), log_id="another")], 30),
        ([checkpoint(30), checkpoint(40, chunks=2)], 30),
        ([checkpoint(30), *[checkpoint(2)] * 100], 30),
    ],
)
def test_the_newest_checkpoint_that_fits_says_it(checkpoints, position):
    market = known_market(log_of(checkpoints), CODEC, 0)
    if position is None:
        assert market is None
        return
    assert (market.log_id, market.base_offset, market.partitions, market.position) == ("ours", 3, 1, position)
    assert market.feeds["kalshi"].session == 5


def test_chunks_make_a_checkpoint_only_in_their_order():
    one = checkpoint(30)
    first, second = (msgspec.structs.replace(one, chunk=n, chunks=2, payload=one.payload[n * 9 :]) for n in range(2))
    assert whole_checkpoints(iter([second, first, first, second, one, first])) == [[first, second], [one]]


def test_the_search_goes_back_to_a_bound():
    log = MemoryLog({("checkpoints.decide", 0): lines_of([HEAD] * 1_000)})
    assert list(checkpoint_tails(log, "checkpoints.decide", 0)) == [
        (984, False), (968, False), (936, False), (872, False), (744, True),
    ]  # fmt: skip
    assert list(checkpoint_tails(MemoryLog({}), "checkpoints.decide", 0)) == []


def test_the_refusal_says_where_the_partition_begins_and_what_to_do():
    said = str(head_dropped(log_of([]), 0, "nothing to go on from"))
    assert "begins at offset 20, its head was dropped, and there is nothing to go on from; restore the archive" in said
