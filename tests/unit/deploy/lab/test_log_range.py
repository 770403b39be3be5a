"""Ranges: a time is the position of the first record received then or later, in each partition for itself."""

import pytest

from deploy.errors import UsageError
from deploy.lab.log_range import Bound, parse_bound, resolve
from processors.verify.verify import Positions
from tests.builders import market_records as mr
from tests.builders.logs.memory import MemoryLog

S = 1_000_000_000


@pytest.fixture(scope="module")
def log():
    """Two partitions, a record a second; the second one begins at offset 7 and is twice as slow."""
    found = MemoryLog({}, partitions=2)
    found.append("market", 1, b"junk before the log begins")
    found.lines["market", 1][0] = found.lines["market", 1][0]._replace(offset=6)
    for partition, base, step in ((0, 0, 1), (1, 7, 2)):
        head = mr.opened(partition=partition)
        found.append(
            "market",
            partition,
            head.__class__(**{name: getattr(head, name) for name in head.__struct_fields__} | {"base_offset": base}),
        )
        for number in range(1, 6_000):
            found.append("market", partition, mr.status("kalshi", mr.T0 + number * step * S))
    return found


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("1780000000", Bound(ts_ns=mr.T0)),
        ("1780000000.5", Bound(ts_ns=mr.T0 + S // 2)),
        ("1780000000000", Bound(ts_ns=mr.T0)),
        ("1780000000000000", Bound(ts_ns=mr.T0)),
        ("1780000000000000001", Bound(ts_ns=mr.T0 + 1)),
        ("2026-05-28T20:26:40Z", Bound(ts_ns=mr.T0)),
        ("2026-05-28T20:26:40", Bound(ts_ns=mr.T0)),
        ("2026-05-28T22:26:40.000001+02:00", Bound(ts_ns=mr.T0 + 1_000)),
        ("@12", Bound(positions={-1: 12})),
        ("0@3, 1@4", Bound(positions={0: 3, 1: 4})),
    ],
)
def test_a_bound_is_read(text, bound):
    assert parse_bound(text) == bound


@pytest.mark.parametrize("text", ["yesterday", "12", "@", "0@", "x@3", "1780000000000.5", "0@3,"])
def test_what_is_no_bound_is_refused(text):
    with pytest.raises(UsageError, match="give a time"):
        parse_bound(text)


def test_a_time_is_a_position_of_each_partition(log):
    at = Bound(ts_ns=mr.T0 + 4_000 * S)
    assert resolve(log, at, None) == {0: Positions(4_000, None), 1: Positions(2_000, None)}
    assert resolve(log, None, Bound(ts_ns=mr.T0 + 3 * S + 1)) == {0: Positions(0, 4), 1: Positions(0, 2)}
    assert resolve(log, Bound(ts_ns=mr.T0 - S), Bound(ts_ns=mr.T0 + 10**6 * S)) == {
        0: Positions(0, 6_000),
        1: Positions(0, 6_000),
    }


def test_positions_stand_for_themselves(log):
    assert resolve(log, Bound(positions={1: 5}), Bound(positions={-1: 9})) == {0: Positions(0, 9), 1: Positions(5, 9)}


def test_an_impossible_range_is_refused(log):
    with pytest.raises(UsageError, match="ends at position 3, before it begins at 5"):
        resolve(log, Bound(positions={-1: 5}), Bound(positions={-1: 3}))
    with pytest.raises(UsageError, match="has no partition 2"):
        resolve(log, Bound(positions={2: 5}), None)
