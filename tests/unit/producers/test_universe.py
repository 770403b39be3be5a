"""What enters the log when listings and approvals change, in which order and under which group."""

from typing import Any

from crossbook.domain.grid import PriceGrid
from producers.universe import ShowBook, Universe, Write
from schemas.records import InstrumentSettled, PairApproved, PayoutCell
from tests.unit.producers.conftest import make_listing

A, B, C = (make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB"), make_listing("kalshi", "KXC"))
CELL = PayoutCell(outcome="yes", payout_a_micros=1_000_000, payout_b_micros=1_000_000, admissible=True, evidence="e")


def approved(a: str, b: str, name: str = "p", **more: Any) -> PairApproved:
    fields: dict[str, Any] = {
        "ts_ns": 1, "operator": "o", "pair_id": name, "relation": "identity", "instrument_a": a, "instrument_b": b,
        "payouts": (CELL,), "haircut_micros": 0, "evidence": "e",
    }  # fmt: skip
    return PairApproved(**(fields | more))


def kinds(steps: list[Any]) -> list[str]:
    return [type(s.record).__name__ if isinstance(s, Write) else "ShowBook" for s in steps]


def test_an_instrument_is_grouped_by_its_event_and_said_once() -> None:
    universe = Universe()
    (write,) = universe.list_instruments([A], 5)
    assert write.group == write.record.group == A.event_id
    assert write.record.ts_received_ns == 5
    assert universe.list_instruments([A], 6) == []


def test_volume_is_no_news_and_a_new_grid_is() -> None:
    universe = Universe()
    universe.list_instruments([A], 5)
    assert universe.list_instruments([make_listing("polymarket", "0xa", ts_received_ns=6, volume_micros=9)], 6) == []
    finer = make_listing("polymarket", "0xa", ts_received_ns=7, grid=PriceGrid.linear(1_000).ranges)
    assert kinds(universe.list_instruments([finer], 7)) == ["InstrumentListed"]


def test_older_news_changes_no_grid() -> None:
    universe = Universe()
    finer = make_listing("polymarket", "0xa", grid=PriceGrid.linear(1_000).ranges)
    universe.list_instruments([finer], 50)
    read_before = make_listing("polymarket", "0xa", ts_received_ns=40, status="paused")
    (write,) = universe.list_instruments([read_before], 60)
    assert write.record.status == "paused"
    assert write.record.grid == finer.grid


def test_an_approval_moves_one_side_and_lists_the_pair_last() -> None:
    universe = Universe()
    universe.list_instruments([A, B], 1)
    steps = universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    assert kinds(steps) == ["InstrumentMoved", "InstrumentListed", "ShowBook", "PairListed"]
    moved, listed, shown, pair = steps
    assert moved.group == moved.record.group_from == A.event_id
    assert listed.group == moved.record.group_to == pair.group == B.event_id  # "kalshi" sorts before "polymarket"
    assert shown == ShowBook("polymarket:0xa")
    assert universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 3) == []


def test_a_pair_waits_for_both_legs() -> None:
    universe = Universe()
    assert universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 1) == []
    assert universe.wanted() == ["polymarket:0xa", "kalshi:KXB"]
    assert kinds(universe.list_instruments([A], 2)) == ["InstrumentListed"]
    steps = universe.list_instruments([B], 3)
    assert kinds(steps) == ["InstrumentListed", "InstrumentMoved", "InstrumentListed", "ShowBook", "PairListed"]
    assert universe.wanted() == []


def test_a_second_pair_joins_the_group_and_a_moved_pair_is_delisted_first() -> None:
    universe = Universe()
    low = make_listing("kalshi", "KXA0", event_id="kalshi:aaa")
    universe.list_instruments([A, B, low], 1)
    universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    steps = universe.approve(approved("polymarket:0xa", "kalshi:KXA0", "q"), 3)
    assert kinds(steps)[0] == "PairDelisted"
    assert kinds(steps)[-2:] == ["PairListed", "PairListed"]
    assert {universe.group_of(one.instrument_id) for one in universe.open_instruments()} == {"kalshi:aaa"}


def test_revoking_delists_and_leaves_the_group() -> None:
    universe = Universe()
    universe.list_instruments([A, B], 1)
    universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    assert kinds(universe.revoke("p", "why", 3)) == ["PairDelisted"]
    assert universe.revoke("p", "why", 4) == []
    assert universe.group_of("polymarket:0xa") == B.event_id
    assert "PairDelisted" in kinds(universe.repeat(5))


def test_a_slug_is_resolved() -> None:
    universe = Universe()
    universe.approve(approved("polymarket:some-slug", "kalshi:KXB"), 1)
    universe.rename("polymarket:some-slug", "polymarket:0xa")
    assert kinds(universe.list_instruments([A, B], 2))[-1] == "PairListed"


def test_a_settlement_is_said_once_and_ends_the_instrument() -> None:
    universe = Universe()
    universe.list_instruments([A], 1)
    settled = InstrumentSettled(
        ts_received_ns=2, instrument_id="polymarket:0xa", payout_yes_micros=1_000_000, source="s"
    )
    assert kinds(universe.settle(settled)) == ["InstrumentSettled"]
    assert universe.settle(settled) == []
    assert universe.open_instruments() == []
    assert universe.keyframes("polymarket:0xa", 3) == []
    assert universe.list_instruments([A], 4) == []


def test_keyframes_repeat_the_instrument_and_the_pairs_that_it_leads() -> None:
    universe = Universe()
    universe.list_instruments([A, B], 1)
    universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    writes = universe.keyframes("polymarket:0xa", 9)
    assert kinds(writes) == ["InstrumentListed", "PairListed"]
    assert all(w.record.keyframe and w.record.ts_received_ns == 9 for w in writes)
    assert kinds(universe.keyframes("kalshi:KXB", 9)) == ["InstrumentListed"]
    assert sorted(kinds(universe.repeat(9))) == ["InstrumentListed", "InstrumentListed", "PairListed"]
    assert not any(w.record.keyframe for w in universe.repeat(9))


def test_legs_under_a_name_never_change() -> None:
    universe = Universe()
    universe.list_instruments([A, B, C], 1)
    universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    (gone,) = [
        one.record
        for one in universe.approve(approved("polymarket:0xa", "kalshi:KXC"), 3)
        if kinds([one]) == ["PairDelisted"]
    ]
    assert gone.reason == "approved with other legs"
    assert "kalshi:KXB" in universe.refusals[0] and "another name" in universe.refusals[0]
    assert "PairListed" not in kinds(universe.list_instruments([A, B, C], 4))
    assert len(universe.refusals) == 1, "said once"
    universe.revoke("p", "a mistake", 5)
    assert "PairListed" not in kinds(universe.approve(approved("polymarket:0xa", "kalshi:KXC"), 6))
    assert "PairListed" in kinds(universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 7))
    assert "PairListed" in kinds(universe.approve(approved("polymarket:0xa", "kalshi:KXC", "q"), 8))


def test_a_pair_named_by_slug_keeps_its_legs_when_it_is_approved_again() -> None:
    universe = Universe()
    for ts_ns in (1, 5):
        universe.approve(approved("polymarket:some-slug", "kalshi:KXB"), ts_ns)
        universe.rename("polymarket:some-slug", "polymarket:0xa")
        universe.list_instruments([A, B], ts_ns + 1)
    assert universe.refusals == []


def test_an_instrument_whose_tokens_are_contradicted_is_paused_until_they_agree() -> None:
    universe = Universe()
    known = make_listing("polymarket", "0xa", yes_token="1", no_token=None)
    universe.list_instruments([known], 1)
    (write,) = universe.list_instruments([make_listing("polymarket", "0xa", yes_token="2", no_token=None)], 2)
    assert (write.record.status, write.record.yes_token) == ("paused", "1")
    assert universe.list_instruments([make_listing("polymarket", "0xa", yes_token="2", no_token=None)], 3) == []
    assert "other tokens" in universe.refusals[0]
    (write,) = universe.list_instruments([make_listing("polymarket", "0xa", yes_token="1", no_token="3")], 4)
    assert (write.record.status, write.record.no_token) == ("active", "3")
