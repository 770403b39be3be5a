"""Known values of Kafka's murmur2 (from the Java client's own test)."""

import pytest

from producers.universe.partition import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "hashed"),
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
    ],
)
def test_murmur2(key: str, hashed: int) -> None:
    assert murmur2(key.encode()) == hashed & 0xFFFFFFFF


def test_partitions_are_in_range() -> None:
    assert {partition_of(f"group-{i}", 4) for i in range(200)} == {0, 1, 2, 3}
