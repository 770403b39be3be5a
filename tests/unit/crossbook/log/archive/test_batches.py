"""What columns cannot give back byte for byte is kept as bytes."""

import pytest

from crossbook.log.archive.batches import columns_of, pinned, split
from crossbook.log.reading import LogLine
from schemas.registry import load_registry
from tests.builders.logs.archived import CODEC, GARBAGE
from tests.contract.record_strategies import sample

COLUMNS = columns_of(pinned(load_registry()))
GOOD = CODEC.encode(sample("BookDelta"))


def raw_offsets(lines):
    return [
        offset
        for part in split(lines, COLUMNS)
        if part.schema_id is None
        for offset in part.rows["log_offset"].to_pylist()
    ]


def test_every_pinned_schema_has_columns():
    assert set(COLUMNS) == set(load_registry().by_id)


@pytest.mark.parametrize("reason", GARBAGE)
def test_garbage_among_good_values(reason):
    lines = [LogLine(0, 1, b"k", GOOD), LogLine(1, 1, None, GARBAGE[reason]), LogLine(2, 1, b"", GOOD)]
    parts = split(lines, COLUMNS)
    (raw,) = (part for part in parts if part.schema_id is None)
    assert raw.rows.to_pylist() == [{"log_offset": 1, "log_append_ms": 1, "log_key": None, "value": GARBAGE[reason]}]
    (good,) = (part for part in parts if part.schema_id is not None)
    assert good.rows["log_offset"].to_pylist() == [0, 2]
    assert good.rows["log_key"].to_pylist() == ["k", ""]


def test_a_key_that_is_no_text_goes_with_its_bytes():
    assert raw_offsets([LogLine(7, 0, b"\xff", GOOD), LogLine(8, 0, b"ok", GOOD)]) == [7]


def test_a_value_that_decodes_but_was_encoded_otherwise_is_kept():
    # An array in two blocks of one item: legal Avro that nobody here writes.
    one_block = CODEC.encode(sample("FeedStatus"))
    text = b"\x02" + bytes([2 * len("füllung".encode())]) + "füllung".encode()
    assert one_block.count(text + b"\x00") == 1
    two_blocks = one_block.replace(text + b"\x00", text + text + b"\x00")
    assert CODEC.decode(two_blocks).instruments == ("füllung", "füllung")
    assert raw_offsets([LogLine(0, 0, None, two_blocks), LogLine(1, 0, None, one_block)]) == [0]


def test_nothing_is_no_part():
    assert split([], COLUMNS) == []
