"""Many varints at once equal each one by Avro's rules, of every length, and wild ones are poisoned."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossbook.log.archive.varints import LongPlan, read_longs, sink_of, source_of

EDGES = [0, 1, -1, 63, 64, -64, -65, 2**55 - 1, 2**55, 2**62, -(2**62), 2**63 - 1, -(2**63)]


def encoded(value):
    zigzag = (value << 1) ^ (value >> 63)
    found = bytearray()
    while zigzag > 127:
        found.append(zigzag & 127 | 128)
        zigzag >>= 7
    return bytes([*found, zigzag])


def check(values):
    pieces = [encoded(value) for value in values]
    data = b"".join(pieces)
    ends = np.cumsum([len(piece) for piece in pieces])
    starts = ends - [len(piece) for piece in pieces]
    found, behind = read_longs(source_of(data, len(data)), starts)
    assert found.tolist() == values
    assert behind.tolist() == ends.tolist()
    plan = LongPlan(np.array(values, np.int64))
    assert plan.sizes.tolist() == [len(piece) for piece in pieces]
    sink = sink_of(len(data))
    plan.put(sink, starts)
    assert sink.octets[: len(data)].tobytes() == data


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(-70, 70), min_size=1, max_size=40))
def test_longs_are_those_of_avro(values):
    check(values)


@pytest.mark.parametrize("value", EDGES)
def test_every_length_alone_and_among_short_ones(value):
    check([value])
    check([0, value, 0, value, value])


def test_a_varint_that_does_not_end_is_poisoned():
    source = source_of(b"\xff" * 12, 12)
    _, behind = read_longs(source, np.array([0, 8]))
    assert behind[1] == source.poison
    _, behind = read_longs(source, np.array([source.poison]))
    assert behind.tolist() == [source.poison]
