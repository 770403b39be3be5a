"""Counting in blocks: any batches, any restart at a block's start, the same totals."""

from hypothesis import given
from hypothesis import strategies as st

from projections.activity import BLOCK, ActivityCounter, block_start
from schemas.records import BookDelta, BookSnapshot, PublicTrade
from tests.builders.logs.projected import like

RECORDS = [
    like(cls, instrument_id=f"kalshi:{number % 3}", ts_received_ns=number * 400_000_000, **extra)
    for number, (cls, extra) in enumerate(
        [(BookDelta, {}), (BookSnapshot, {"keyframe": True}), (BookSnapshot, {"keyframe": False}), (PublicTrade, {})]
        * 10
    )
]


def latest(rows):
    """What ReplacingMergeTree(records) keeps: of equal keys the row with the most records, the later one on a tie."""
    kept = {}
    for row in rows:
        if row[:6] not in kept or row[6] >= kept[row[:6]][6]:
            kept[row[:6]] = row
    return kept


def count(offsets, cuts=frozenset()):
    counter = ActivityCounter("log")
    rows = []
    for offset in offsets:
        counter.add(RECORDS[offset % len(RECORDS)], 0, offset)
        if offset in cuts:
            rows += counter.take()
    return rows + counter.take()


def test_counts_by_kind():
    rows = latest(count(range(40)))
    assert [sum(row[i] for row in rows.values()) for i in range(6, 10)] == [40, 20, 10, 10]


@given(st.integers(0, 3 * BLOCK), st.sets(st.integers(0, 3 * BLOCK), max_size=5))
def test_a_restart_from_the_start_of_the_block_changes_no_total(stop, cuts):
    whole = latest(count(range(3 * BLOCK)))
    # Everything below `stop` was read and, up to the last cut, written; then it starts again where it must.
    before = count(range(stop), cuts)
    again = count(range(block_start(stop), 3 * BLOCK), cuts)
    assert latest(before + again) == whole


def test_finished_blocks_are_forgotten():
    counter = ActivityCounter("log")
    counter.add(RECORDS[0], 0, BLOCK - 1)
    counter.add(RECORDS[0], 0, BLOCK)
    assert len(counter.take()) == 2
    counter.add(RECORDS[0], 0, BLOCK + 1)
    (row,) = counter.take()
    assert row[3] == BLOCK
    assert counter.take() == []
