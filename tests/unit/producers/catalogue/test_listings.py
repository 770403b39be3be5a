"""Rounds of the catalogue: what is asked for, what is said once, and that the wait for a payout has no end."""

import asyncio
from collections import Counter
from typing import Any

import pytest
import structlog

from crossbook.runtime.settings import CatalogSettings
from producers.catalogue import listings
from producers.catalogue.listings import MISSING_PER_ROUND, PAYOUTS_PER_ROUND, Listings
from producers.errors import CatalogError
from producers.universe.universe import Remembered, Universe, Write
from schemas.records import InstrumentListed, InstrumentSettled
from tests.builders.producers.listings import make_listing
from tests.builders.producers.universes import approved


class Venue:
    """A catalogue by what it answers: markets on the front page, others by name, payouts and doubts."""

    def __init__(self) -> None:
        self.page: list[InstrumentListed] = []
        self.others: dict[str, InstrumentListed] = {}
        self.payouts: dict[str, int] = {}
        self.doubts: dict[str, str] = {}
        self.found: list[str] = []
        self.asked: list[list[str]] = []
        self.broken = False
        self.happened = asyncio.Event()

    async def discover(self, volume_min_micros: int, limit: int, ts_ns: int, refused: list[str]) -> Any:
        if self.broken:
            raise CatalogError("no answer")
        return self.page

    async def find(self, symbol: str, ts_ns: int, refused: list[str]) -> Any:
        self.found.append(symbol)
        self.happened.set()
        return self.others.get(symbol)

    async def settlements(self, listed: Any, ts_ns: int, refused: list[str]) -> list[InstrumentSettled]:
        self.asked.append([one.symbol for one in listed])
        self.happened.set()
        refused += [self.doubts[one.symbol] for one in listed if one.symbol in self.doubts]
        return [
            InstrumentSettled(
                ts_received_ns=ts_ns,
                instrument_id=one.instrument_id,
                payout_yes_micros=self.payouts[one.symbol],
                source="test",
            )
            for one in listed
            if one.symbol in self.payouts
        ]


class Floor:
    """The desk: what was written and said."""

    def __init__(self, *, before: Remembered | None = None) -> None:
        self.universe = Universe()
        if before is not None:
            self.universe.remember(before)
        self.kalshi, self.polymarket = Venue(), Venue()
        self.written: list[Any] = []
        self.said: list[str] = []
        self.followed: list[str] = []
        self.now = 10**18
        log = structlog.wrap_logger(structlog.ReturnLogger())
        self.listings = Listings(CatalogSettings(), self.universe, self, lambda: self.now, Counter(), log)
        self.listings.catalogs = {"polymarket": self.polymarket, "kalshi": self.kalshi}

    async def until(self, condition: Any) -> None:
        """Wait for it, looking whenever something happened."""
        async with asyncio.timeout(30):
            while not condition():
                self.kalshi.happened.clear()
                await self.kalshi.happened.wait()

    def do(self, steps: Any) -> None:
        self.kalshi.happened.set()
        for step in steps:
            if isinstance(step, Write):
                self.written.append(step.record)
        for refusal in self.universe.refusals:
            self.refuse(refusal, self.now)

    def refuse(self, refusal: str, ts_ns: int) -> None:
        if refusal not in self.said:
            self.said.append(refusal)

    def settle(self, settled: InstrumentSettled) -> None:
        self.do(self.universe.settle(settled))

    def follow(self, listed: InstrumentListed) -> None:
        self.followed.append(listed.instrument_id)

    def round(self) -> None:
        self.now += 60 * 10**9
        asyncio.run(self.listings.refresh())

    def payouts(self) -> dict[str, int]:
        return {r.instrument_id: r.payout_yes_micros for r in self.written if isinstance(r, InstrumentSettled)}


def test_a_market_that_left_the_page_is_read_by_name_and_its_payout_waited_for() -> None:
    floor = Floor()
    floor.kalshi.page = [make_listing("kalshi", "KXA")]
    floor.round()
    floor.kalshi.page = []
    floor.kalshi.others = {"KXA": make_listing("kalshi", "KXA", ts_received_ns=2, status="closed")}
    floor.round()
    assert floor.universe.instruments["kalshi:KXA"].status == "closed"
    assert floor.payouts() == {}
    floor.kalshi.payouts = {"KXA": 0}
    floor.round()
    assert floor.payouts() == {"kalshi:KXA": 0}


def test_what_earlier_runs_listed_is_asked_for_until_it_pays() -> None:
    floor = Floor(before=Remembered(listed={"kalshi:KXOLD": make_listing("kalshi", "KXOLD", group="kalshi:g")}))
    for _ in range(3):
        floor.round()
    assert floor.kalshi.asked == [["KXOLD"]] * 3 and floor.kalshi.found == []
    floor.kalshi.payouts = {"KXOLD": 306_000}
    floor.round()
    assert floor.payouts() == {"kalshi:KXOLD": 306_000}


def test_a_payout_in_doubt_is_said_once_a_change_and_waited_for() -> None:
    floor = Floor(before=Remembered(listed={"kalshi:KXOLD": make_listing("kalshi", "KXOLD")}))
    floor.kalshi.doubts = {"KXOLD": "no and 1.0000"}
    for _ in range(3):
        floor.round()
    assert floor.said == ["no and 1.0000"]
    floor.kalshi.doubts = {"KXOLD": "empty and 1.0000"}
    floor.round()
    assert floor.said == ["no and 1.0000", "empty and 1.0000"] and floor.payouts() == {}
    floor.kalshi.doubts, floor.kalshi.payouts = {}, {"KXOLD": 1_000_000}
    floor.round()
    assert floor.payouts() == {"kalshi:KXOLD": 1_000_000}


def test_a_payout_that_changes_is_said_and_not_written() -> None:
    floor = Floor(before=Remembered(listed={"kalshi:KXOLD": make_listing("kalshi", "KXOLD")}))
    floor.kalshi.payouts = {"KXOLD": 0}
    floor.round()
    floor.kalshi.payouts = {"KXOLD": 1_000_000}
    floor.round()
    assert floor.payouts() == {"kalshi:KXOLD": 0}
    assert len(floor.said) == 1 and "the first payout stands" in floor.said[0]


def test_a_listing_that_is_refused_from_now_on_is_not_traded() -> None:
    floor = Floor()
    floor.kalshi.page = [make_listing("kalshi", "KXA")]
    floor.round()
    floor.kalshi.page = []
    floor.round()
    assert floor.universe.instruments["kalshi:KXA"].status == "paused"
    assert any("cannot list it any more" in one for one in floor.said)
    floor.kalshi.page = [make_listing("kalshi", "KXA", ts_received_ns=9)]
    floor.round()
    assert floor.universe.instruments["kalshi:KXA"].status == "active"


def test_the_legs_of_a_revoked_pair_are_followed_after_a_restart() -> None:
    leg = make_listing("kalshi", "KXA")
    floor = Floor(before=Remembered(listed={leg.instrument_id: leg}, paired={leg.instrument_id: None}))
    floor.kalshi.others = {"KXA": leg}
    floor.round()
    assert floor.followed == ["kalshi:KXA"]


def test_rounds_are_bounded_and_reach_everybody() -> None:
    many = {f"kalshi:KX{number}": make_listing("kalshi", f"KX{number}") for number in range(2 * PAYOUTS_PER_ROUND + 7)}
    floor = Floor(before=Remembered(listed=many))
    for _ in range(3):
        floor.round()
    assert max(len(one) for one in floor.kalshi.asked) <= PAYOUTS_PER_ROUND
    assert {symbol for one in floor.kalshi.asked for symbol in one} == {one.symbol for one in many.values()}
    floor = Floor()
    floor.kalshi.page = floor.kalshi.others = list(many.values())
    floor.round()
    floor.kalshi.page, floor.kalshi.others = [], {one.symbol: one for one in many.values()}
    floor.round()
    assert len(floor.kalshi.found) == MISSING_PER_ROUND


def test_one_venue_that_does_not_answer_leaves_the_other_alone() -> None:
    floor = Floor()
    floor.polymarket.broken = True
    floor.kalshi.page = [make_listing("kalshi", "KXA")]
    floor.round()
    assert floor.followed == ["kalshi:KXA"]


@pytest.mark.parametrize("stays", [True, False])
def test_a_market_that_its_socket_says_has_changed_is_read_at_once_and_once_more(monkeypatch, stays: bool) -> None:
    monkeypatch.setattr(listings, "CACHED_S", 0.01)
    floor = Floor()
    floor.kalshi.page = [make_listing("kalshi", "KXA")]
    floor.kalshi.others = (
        {"KXA": make_listing("kalshi", "KXA", ts_received_ns=10**18, status="paused")} if stays else {}
    )

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(floor.listings.run(group))
            await floor.until(lambda: floor.universe.instruments)
            for _ in range(3):
                floor.listings.changed("kalshi:KXA")
            await floor.until(lambda: len(floor.kalshi.found) == 2)
            await floor.until(lambda: floor.universe.instruments["kalshi:KXA"].status == "paused")
            running.cancel()

    asyncio.run(go())
    assert floor.kalshi.found == ["KXA", "KXA"]
    assert floor.universe.instruments["kalshi:KXA"].status == "paused"


def test_the_wait_for_a_resolved_market_ends_with_its_payout(monkeypatch) -> None:
    monkeypatch.setattr(listings, "CONFIRM_AFTER_S", 0.001)
    floor = Floor()
    floor.kalshi.page = [make_listing("kalshi", "KXA")]

    async def go() -> None:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(floor.listings.run(group))
            await floor.until(lambda: floor.universe.instruments)
            floor.listings.resolved("kalshi:KXA")
            await floor.until(lambda: len(floor.kalshi.asked) >= 4)
            floor.kalshi.payouts = {"KXA": 1_000_000}
            await floor.until(floor.payouts)
            running.cancel()

    asyncio.run(go())
    assert floor.payouts() == {"kalshi:KXA": 1_000_000}


def test_a_wanted_leg_that_nobody_has_is_said() -> None:
    floor = Floor()
    floor.universe.approve(approved("polymarket:0xa", "kalshi:KXB"), 1)
    floor.round()
    assert len(floor.said) == 2
