"""What enters the log when listings and approvals change, in which order and under which group."""

from typing import Any

from crossbook.domain.fees import make_schedule
from crossbook.domain.grid import PriceGrid
from producers.universe.universe import (
    CATALOGUE_LAG_NS,
    RECHECK_NS,
    Remembered,
    ShowBook,
    Universe,
    Waiting,
    Write,
)
from schemas.records import InstrumentSettled, PairListed
from tests.builders.producers.listings import make_listing
from tests.builders.producers.universes import JOINING, LOW, PAIR, A, B, C, approved


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


def groups(universe: Universe) -> set[str]:
    return {universe.group_of(one.instrument_id) for one in universe.open_instruments()}


def test_a_group_that_was_traded_is_delisted_at_once_and_waits_to_move() -> None:
    universe = Universe()
    universe.list_instruments([A, B, LOW], 1)
    universe.approve(PAIR, 2)
    (delisted,) = universe.approve(JOINING, 3)
    assert (delisted.record.pair_id, delisted.group) == ("p", B.event_id)
    assert universe.waiting == {B.event_id: Waiting(3, "kalshi:aaa", ("polymarket:0xa", "kalshi:KXB"))}
    finer = make_listing("kalshi", "KXB", ts_received_ns=7, grid=PriceGrid.linear(1_000).ranges)
    (listed,) = universe.list_instruments([finer], 7)
    assert listed.group == listed.record.group == B.event_id, "until it moved, its news stays where its trades are"
    assert universe.approve(PAIR, 8) == [], "approved again, it still waits"
    assert kinds(universe.keyframes("polymarket:0xa", 8)) == ["InstrumentListed"]
    steps = universe.move(B.event_id, 9)
    assert kinds(steps) == [*["InstrumentMoved", "InstrumentListed", "ShowBook"] * 2, "PairListed", "PairListed"]
    assert groups(universe) == {"kalshi:aaa"} and universe.waiting == {}


def test_two_groups_wait_each_for_itself_and_a_third_approval_only_changes_where_they_go() -> None:
    universe = Universe()
    other_a, other_b = make_listing("polymarket", "0xo"), make_listing("kalshi", "KXO", event_id="kalshi:ooo")
    universe.list_instruments([A, B, other_a, other_b, LOW], 1)
    universe.approve(PAIR, 2)
    universe.approve(approved("polymarket:0xo", "kalshi:KXO", "o"), 3)
    assert kinds(universe.approve(approved("polymarket:0xa", "kalshi:KXO", "x"), 4)) == ["PairDelisted"]
    (first,) = universe.waiting
    universe.approve(JOINING, 5)
    assert set(universe.waiting) == {B.event_id, "kalshi:ooo"}
    assert {one.group_to for one in universe.waiting.values()} == {"kalshi:aaa"}
    listed = [
        s.record.pair_id for s in universe.move(first, 6) if isinstance(s, Write) and isinstance(s.record, PairListed)
    ]
    assert "x" not in listed, "its other leg waits still"
    (second,) = universe.waiting
    universe.move(second, 7)
    assert groups(universe) == {"kalshi:aaa"}
    assert {w.record.pair_id for w in universe.repeat(8) if isinstance(w.record, PairListed)} == {
        "p",
        "o",
        "x",
        "q",
    }


def test_a_life_that_begins_in_the_middle_of_a_move_waits_again() -> None:
    before = Universe()
    before.list_instruments([A, B, LOW], 1)
    (*_, said) = before.approve(PAIR, 2)
    placements = {one.instrument_id: one.group for one in before.open_instruments()}
    universe = Universe(placements, {"p": said.record})
    universe.approve(PAIR, 10)
    universe.approve(JOINING, 10)
    steps = universe.list_instruments([A, B, LOW], 11)
    assert [(kind, s.group) for kind, s in zip(kinds(steps), steps, strict=True)] == [
        ("InstrumentListed", B.event_id), ("InstrumentListed", B.event_id), ("InstrumentListed", "kalshi:aaa"),
        ("PairDelisted", B.event_id),
    ]  # fmt: skip
    assert set(universe.waiting) == {B.event_id}
    assert kinds(universe.move(B.event_id, 12))[-2:] == ["PairListed", "PairListed"]


def test_a_pair_of_an_earlier_life_that_was_revoked_meanwhile_is_delisted() -> None:
    before = Universe()
    before.list_instruments([A, B], 1)
    (*_, said) = before.approve(PAIR, 2)
    universe = Universe({}, {"p": said.record})
    (delisted,) = universe.revoke("p", "why", 3)
    assert (delisted.record.reason, delisted.group) == ("why", B.event_id)


def test_after_an_overflow_a_waiting_group_waits_from_the_start() -> None:
    universe = Universe()
    universe.list_instruments([A, B, LOW], 1)
    universe.approve(PAIR, 2)
    universe.approve(JOINING, 3)
    assert "PairDelisted" in kinds(universe.repeat(50))
    assert universe.waiting[B.event_id].ts_since_ns == 50


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


def settled(instrument_id: str, payout: int = 1_000_000, ts_ns: int = 2) -> InstrumentSettled:
    return InstrumentSettled(ts_received_ns=ts_ns, instrument_id=instrument_id, payout_yes_micros=payout, source="s")


def test_another_payout_is_told_to_people_and_never_written() -> None:
    universe = Universe()
    universe.list_instruments([A], 1)
    assert kinds(universe.settle(settled("polymarket:0xa"))) == ["InstrumentSettled"]
    assert universe.settle(settled("polymarket:0xa", 0)) == []
    (refusal,) = universe.refusals
    assert "paid out at 1000000" in refusal and "says 0" in refusal
    assert universe.paid == {"polymarket:0xa": 1_000_000}
    assert "InstrumentSettled" in kinds(universe.repeat(9))


def test_what_has_paid_is_asked_again_for_a_day() -> None:
    universe = Universe()
    universe.list_instruments([A, B, C], 1)
    universe.settle(settled("kalshi:KXB", ts_ns=5))
    assert [one.symbol for one in universe.unpaid("kalshi", 5 + RECHECK_NS - 1)] == ["KXB", "KXC"]
    assert [one.symbol for one in universe.unpaid("kalshi", 5 + RECHECK_NS)] == ["KXC"]
    assert [one.symbol for one in universe.unpaid("polymarket", 5)] == ["0xa"]


def test_what_the_log_lists_is_waited_for_over_restarts_and_goes_on_in_its_group() -> None:
    before = Universe()
    before.list_instruments([A, B, C], 1)
    before.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    before.revoke("p", "why", 3)
    left = Remembered(
        listed=dict(before.instruments), paid={"kalshi:KXC": 0}, paired={"polymarket:0xa": None, "kalshi:KXB": None}
    )
    universe = Universe()
    universe.remember(left)
    assert [one.symbol for venue in ("polymarket", "kalshi") for one in universe.unpaid(venue, 9)] == ["0xa", "KXB"]
    assert universe.wanted() == ["polymarket:0xa", "kalshi:KXB"]  # what is held of a revoked pair is sold on a book
    (write,) = universe.settle(settled("polymarket:0xa", 0))
    assert write.group == B.event_id == before.group_of("polymarket:0xa")
    assert universe.settle(settled("kalshi:KXC", 0)) == []
    assert universe.settle(settled("kalshi:KXC", 1_000_000)) == [] and len(universe.refusals) == 1
    assert universe.list_instruments([A], 10) == []  # paid
    (listed,) = universe.list_instruments([B], 10)
    assert listed.group == B.event_id


def test_a_revoked_pair_does_not_end_the_wait() -> None:
    universe = Universe()
    universe.list_instruments([A, B], 1)
    universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 2)
    universe.revoke("p", "why", 3)
    assert [one.symbol for one in universe.unpaid("kalshi", 4)] == ["KXB"]
    assert kinds(universe.settle(settled("kalshi:KXB"))) == ["InstrumentSettled"]


def test_a_feed_beats_the_catalogue_until_that_must_know_it_too() -> None:
    universe = Universe()
    universe.list_instruments([B], 1)
    told = make_listing("kalshi", "KXB", ts_received_ns=50, status="paused", ts_close_ns=99)
    (write,) = universe.tell(told, 50)
    assert (write.record.status, write.record.ts_close_ns) == ("paused", 99)
    cached = make_listing("kalshi", "KXB", ts_received_ns=60, volume_micros=5)
    assert universe.list_instruments([cached], 60) == []
    late = make_listing("kalshi", "KXB", ts_received_ns=50 + CATALOGUE_LAG_NS)
    (write,) = universe.list_instruments([late], 50 + CATALOGUE_LAG_NS)
    assert (write.record.status, write.record.ts_close_ns) == ("active", None)


def test_a_market_that_cannot_be_listed_any_more_is_not_traded() -> None:
    universe = Universe()
    universe.list_instruments([B], 1)
    (write,) = universe.shut("kalshi:KXB", 5)
    assert write.record.status == "paused"
    assert universe.shut("kalshi:KXB", 6) == []
    assert universe.shut("kalshi:KXNONE", 6) == []
    (write,) = universe.list_instruments([make_listing("kalshi", "KXB", ts_received_ns=7)], 7)
    assert write.record.status == "active"


def test_a_fee_change_that_took_effect_outlives_the_announcement() -> None:
    def fees(rate: int, at: int = 0):
        return make_schedule(model="kalshi_quadratic", taker_rate_ppm=rate, ts_effective_ns=at, source="t")

    def listing(ts_ns: int, rate: int, *ahead: Any):
        return make_listing("kalshi", "KXB", ts_received_ns=ts_ns, fee_schedule=fees(rate), fee_changes=ahead)

    universe = Universe()
    universe.list_instruments([listing(1, 70_000, fees(35_000, 100), fees(140_000, 300))], 1)
    # Announcement and old fee are gone from one list and not yet changed in the other: the announced fee holds.
    universe.list_instruments([listing(110, 70_000, fees(140_000, 300))], 110)
    assert [one.taker_rate_ppm for one in universe.instruments["kalshi:KXB"].fee_changes] == [35_000, 140_000]
    universe.list_instruments([listing(120, 35_000, fees(140_000, 300))], 120)
    after = universe.instruments["kalshi:KXB"]
    assert (after.fee_schedule.taker_rate_ppm, [one.taker_rate_ppm for one in after.fee_changes]) == (35_000, [140_000])
    universe.list_instruments([listing(130, 35_000)], 130)  # called off in time
    assert universe.instruments["kalshi:KXB"].fee_changes == ()


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
