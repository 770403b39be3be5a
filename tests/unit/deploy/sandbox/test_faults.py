"""Fault requests are parsed strictly; a verdict is spent once."""

import pytest

from deploy.sandbox.errors import UnknownFaultError
from deploy.sandbox.faults import FAULTS, GARBAGE_KINDS, FaultBoard, FaultRequest, Verdict, parse_fault


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (None, "JSON object"),
        ([], "JSON object"),
        ({"venue": "kalshi"}, "fault"),
        ({"venue": "kalshi", "fault": "melt"}, "drop_delta"),
        ({"venue": "nasdaq", "fault": "silence"}, "polymarket"),
        ({"venue": "kalshi", "fault": "tick_change"}, "Polymarket"),
        ({"venue": "kalshi", "fault": "garbage", "kind": "odd"}, "non_json"),
        ({"venue": "kalshi", "fault": "drop_delta", "count": 0}, "count"),
        ({"venue": "kalshi", "fault": "drop_delta", "count": True}, "count"),
        ({"venue": "kalshi", "fault": "silence", "seconds": -1}, "seconds"),
        ({"venue": "kalshi", "fault": "silence", "seconds": float("nan")}, "seconds"),
        ({"venue": "kalshi", "fault": "silence", "instrument": 4}, "instrument"),
    ],
)
def test_a_bad_request_is_refused_by_what_to_mend(body: object, names: str) -> None:
    with pytest.raises(UnknownFaultError, match=names):
        parse_fault(body)


def test_every_fault_and_kind_parses() -> None:
    for fault in FAULTS:
        venue = {"shutdown": "binance", "tick_change": "polymarket"}.get(fault, "kalshi")
        assert parse_fault({"venue": venue, "fault": fault}).fault == fault
    for kind in GARBAGE_KINDS:
        assert parse_fault({"venue": "kalshi", "fault": "garbage", "kind": kind}).kind == kind


@pytest.mark.parametrize(
    ("venue", "fault"), [("kalshi", "shutdown"), ("binance", "crossed"), ("binance", "tick_change")]
)
def test_faults_of_another_venue_are_refused(venue: str, fault: str) -> None:
    with pytest.raises(UnknownFaultError):
        parse_fault({"venue": venue, "fault": fault})


def request(fault: str, *, count: int = 1, seconds: float = 0) -> FaultRequest:
    return FaultRequest(venue="kalshi", fault=fault, count=count, seconds=seconds, instrument=None, kind="non_json")


@pytest.mark.parametrize(
    ("fault", "verdict"),
    [("drop_delta", Verdict.DROP), ("duplicate", Verdict.TWICE), ("reorder", Verdict.HOLD)],
)
def test_a_count_is_spent_on_its_instrument_only(fault: str, verdict: Verdict) -> None:
    board = FaultBoard()
    board.arm(request(fault, count=2), 5, now_ns=0)
    assert [board.verdict(market, 1) for market in (4, 5, 5, 5)] == [Verdict.SEND, verdict, verdict, Verdict.SEND]
    assert board.spoiled == {fault: 2}


def test_silence_ends_by_time() -> None:
    board = FaultBoard()
    board.arm(request("silence", seconds=2), None, now_ns=0)
    assert board.silent(1, 1_999_999_999)
    assert board.verdict(1, 1_999_999_999) is Verdict.DROP
    assert not board.silent(1, 2_000_000_000)
    assert board.verdict(1, 2_000_000_000) is Verdict.SEND
    assert board.quiet
