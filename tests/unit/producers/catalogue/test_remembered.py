"""What earlier runs left in the log: with a checkpoint of decide and without, the same answer."""

import pytest

from processors.decide.checkpoint import to_records
from producers.catalogue.remembered import remembered
from schemas.codec import load_codec
from schemas.records import InstrumentMoved, InstrumentSettled
from schemas.registry import load_registry
from tests.builders import market_records as mr
from tests.builders.logs.memory import MemoryLog
from tests.builders.market_records import T0, A, B

C = "kalshi:OTHER"


def settled(instrument_id: str, payout: int) -> InstrumentSettled:
    return InstrumentSettled(ts_received_ns=T0, instrument_id=instrument_id, payout_yes_micros=payout, source="s")


RECORDS = [
    *mr.head(),
    mr.snapshot(A, T0, 1, bids=[(400_000, 1)]),
    mr.instrument(C, group="alone"),
    settled(A, 1_000_000),
    mr.status("kalshi", T0),
    settled(A, 0),
    InstrumentMoved(ts_received_ns=T0, instrument_id=B, group_from="group", group_to="elsewhere"),
    mr.instrument(B, T0 + 1, group="elsewhere"),
]


@pytest.mark.parametrize("cut", [None, 0, 4, 9, 11, len(RECORDS)])
def test_listings_payouts_and_legs_come_from_the_log(cut: int | None) -> None:
    log = MemoryLog({})
    for record in RECORDS:
        log.append("market", 0, record)
    log.append("market", 0, b"\x00\x00\x00\x00\x05garbage")
    if cut:
        (checkpoint,) = to_records(mr.fold(RECORDS[:cut])[0])
        log.append("checkpoints.decide", 0, checkpoint)
    found = remembered(log, load_codec(), load_registry())
    assert {key: one.group for key, one in found.listed.items()} == {A: "group", B: "elsewhere", C: "alone"}
    assert found.paid == {A: 1_000_000}
    assert set(found.paired) == {A, B}


def test_an_empty_log_leaves_nothing() -> None:
    found = remembered(MemoryLog({}), load_codec(), load_registry())
    assert (found.listed, found.paid, found.paired) == ({}, {}, {})
