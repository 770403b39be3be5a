"""Many records at once: the codec's own bytes, whatever stands among them."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossbook.log.archive.encode_many import MANY, ManyEncoder
from schemas.codec import load_codec
from schemas.records import RECORDS
from tests.contract.record_strategies import records_of, sample

CODEC = load_codec()


@pytest.mark.parametrize("name", sorted(RECORDS))
def test_the_bytes_are_those_of_the_codec(name):
    encode = ManyEncoder(CODEC)

    @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(records_of(name), min_size=1, max_size=5))
    def check(found):
        records = found * (MANY // len(found) + 1)
        assert encode(records) == [CODEC.encode(record) for record in records]

    check()


def test_the_order_is_kept_among_kinds_many_and_few():
    names = ["BookDelta", "FeedStatus", "BookDelta", "BookDelta", "LogOpened", "PairListed", "BookDelta"] * MANY
    records = [sample(name) for name in names]
    assert ManyEncoder(CODEC)(records) == [CODEC.encode(record) for record in records]
    assert ManyEncoder(CODEC)([]) == []
