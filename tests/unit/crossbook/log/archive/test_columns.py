"""Columns equal the codec: for every record, every value, in any company."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crossbook.log.archive.columns import RecordColumns
from crossbook.log.archive.rows import record_rows
from schemas.codec import load_codec
from schemas.records import RECORDS, PairRevoked
from schemas.registry import load_registry
from tests.contract.record_strategies import records_of

CODEC = load_codec()
NEWEST = load_registry().newest
REAL_COLUMNS = {
    "BookDelta", "BookSnapshot", "PublicTrade", "FeedStatus", "ReferencePrice", "TopOfBook", "EdgeUpdate", "Watermark",
    "TradeIntent", "Fill", "OrderReport",
}  # fmt: skip


def columns(name):
    return RecordColumns(NEWEST[name].id, NEWEST[name].schema)


def places(values):
    ends = np.cumsum(np.array([len(value) for value in values], np.int64))
    return ends - [len(value) for value in values], ends


def decode(codec, values):
    return codec.decode(b"".join(values), *places(values))


@pytest.mark.parametrize("name", RECORDS)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_bytes_to_columns_to_bytes_and_to_records(name, data):
    records = data.draw(st.lists(records_of(name), min_size=1, max_size=6))
    values = [CODEC.encode(record) for record in records]
    codec = columns(name)
    batch, readable = decode(codec, values)
    assert readable.all()
    batch.validate(full=True)
    octets, bounds = codec.encode(batch)
    assert octets.tobytes() == b"".join(values)
    assert np.diff(bounds).tolist() == [len(value) for value in values]
    assert record_rows(type(records[0]), batch) == records
    half = len(values) // 2
    assert codec.encode(batch.slice(half))[0].tobytes() == b"".join(values[half:])


@pytest.mark.parametrize("name", ["BookDelta", "InstrumentListed", "FeedStatus", "TradePlan"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_damaged_values_never_raise_and_spoil_no_neighbour(name, data):
    good = CODEC.encode(data.draw(records_of(name)))
    damaged = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        if damaged[5:]:
            at = data.draw(st.integers(5, len(damaged) - 1))
            damaged[at] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(5, len(damaged)))])
    codec = columns(name)
    batch, readable = decode(codec, [good, cut, good])
    assert readable[0]
    assert readable[2]
    octets, bounds = codec.encode(batch)
    assert octets[: bounds[1]].tobytes() == good
    assert octets[bounds[-2] :].tobytes() == good


def test_a_column_has_the_type_of_its_field():
    kinds = {field.name: field.type for field in columns("BookDelta").schema}
    assert kinds["ts_received_ns"] == pa.int64()
    assert kinds["instrument_id"] == pa.string()
    assert kinds["bid_prices"] == pa.list_(pa.field("element", pa.int64(), nullable=False))
    assert columns("BookDelta").schema.field("ts_venue_ns").nullable
    assert not columns("BookDelta").schema.field("ts_received_ns").nullable
    assert {field.name: field.type for field in columns("PublicTrade").schema}["taker_side"].value_type == pa.string()


@pytest.mark.parametrize("name", sorted(REAL_COLUMNS))
def test_what_is_analysed_has_a_column_a_field(name):
    assert columns(name).schema.names == list(RECORDS[name].__struct_fields__)


def test_a_type_without_columns_is_refused():
    for avro in ("double", ["string", "long"], {"type": "map", "values": "long"}):
        with pytest.raises(ValueError, match="no column"):
            RecordColumns(1, {"type": "record", "name": "R", "fields": [{"name": "x", "type": avro}]})
    with pytest.raises(ValueError, match="no record"):
        RecordColumns(1, {"type": "enum", "name": "E", "symbols": ["a"]})


def test_many_values_of_every_length_of_text():
    values = [
        CODEC.encode(PairRevoked(ts_ns=number, operator="ü" * (number % 40), pair_id="x" * number, reason=""))
        for number in range(300)
    ]
    codec = columns("PairRevoked")
    batch, readable = decode(codec, values)
    assert readable.all()
    assert codec.encode(batch)[0].tobytes() == b"".join(values)
    assert batch.column("pair_id").to_pylist() == ["x" * number for number in range(300)]
