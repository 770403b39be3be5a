"""A batch loses nothing: rows, counts or dead letters; and any cuts with any overlap leave the same rows behind."""

from hypothesis import given, settings
from hypothesis import strategies as st

from projections.activity import block_start
from projections.batch import Batch
from projections.rows import HANDLERS
from schemas.codec import load_codec
from tests.builders.logs.projected import LOG_ID, SyntheticLog
from tests.builders.sinks.memory import MemorySink

CODEC = load_codec()
LOG = [
    (placed.topic, offset, CODEC.encode(placed.record))
    for offset, placed in enumerate(SyntheticLog(trades=7, ticks=40).records)
]


def project(runs):
    """Rows after runs of (start, stop, batch size), each a process of its own."""
    sink = MemorySink()
    sink.prepare()
    for start, stop, size in runs:
        batch = Batch(LOG_ID, CODEC)
        for topic, offset, payload in LOG[start:stop]:
            batch.add(topic, 0, offset, 1_900_000_000_000, payload)
            if batch.records == size:
                sink.write(LOG_ID, batch.tables(), [])
                batch.clear()
        sink.write(LOG_ID, batch.tables(), [])
    return {table: sink.rows(table) for table in sink.tables()}


WHOLE = project([(0, len(LOG), len(LOG))])


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(LOG)), st.integers(1, 50)), max_size=3), st.integers(1, 50))
def test_any_kill_and_any_batches_leave_the_same_rows(kills, size):
    position = 0
    runs = []
    for stop, batch in kills:
        runs.append((block_start(position), max(position, stop), batch))
        position = max(position, stop)
    assert project([*runs, (block_start(position), len(LOG), size)]) == WHOLE


def test_tables_are_the_same_until_cleared():
    batch = Batch(LOG_ID, CODEC)
    for topic, offset, payload in LOG[:60]:
        batch.add(topic, 0, offset, 1, payload)
    first = [(table, list(rows)) for table, _, rows in batch.tables()]
    assert [(table, list(rows)) for table, _, rows in batch.tables()] == first
    assert any(table == "market_activity" for table, _ in first)
    batch.clear()
    assert (batch.tables(), batch.records, batch.positions) == ([], 0, {})


def test_positions_are_the_next_offsets_and_bad_records_are_named():
    batch = Batch(LOG_ID, CODEC)
    fill = next(payload for topic, _, payload in LOG if topic == "fills")
    batch.add("fills", 0, 4, 1, fill)
    batch.add("market", 1, 9, 1, fill)
    batch.add("market", 1, 10, 1, b"\x00\x7f\xff\xff\xff")
    batch.add("control", 0, 2, 1, b"")
    assert batch.positions == {("fills", 0): 5, ("market", 1): 11, ("control", 0): 3}
    assert [(bad.topic, bad.offset) for bad in batch.unusable] == [("market", 9), ("market", 10), ("control", 2)]
    assert "Fill has no business on market" in batch.unusable[0].error
    assert [table for table, _, _ in batch.tables()] == ["fills"]
    assert len(HANDLERS) > 20
