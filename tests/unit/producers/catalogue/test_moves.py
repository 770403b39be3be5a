"""A group that was traded moves after its last trade, and never silently under one."""

import asyncio

import pytest
import structlog

from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.settings import Settings
from producers.catalogue.moves import MARGIN_NS, WAIT_MAX_NS, GroupMoves, OpenTrades
from producers.market_writer import LogHead, MarketWriter
from producers.universe.universe import ShowBook, Universe
from schemas.records import DeadLetter, InstrumentMoved, PairListed, TradePlan, TradeUpdate
from tests.builders.producers.moves import BOTH, plan, update
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.universes import JOINING, LOW, PAIR, A, B
from tests.contract.record_strategies import sample

PATIENCE_NS = 500_000_000 + MARGIN_NS
T0 = 1_780_000_000_000_000_000


class MemoryJournals:
    """Journals as a list."""

    def __init__(self):
        self.records, self.away = [], False

    def read(self):
        if self.away:
            raise BrokerAwayError("nobody answers")
        trades = OpenTrades()
        for record in self.records:
            trades.take(record)
        return trades


class Stage:
    """A universe in which one group waits, and the one who moves it."""

    def __init__(self):
        self.now = T0
        self.sender, self.journals, self.universe = MemorySender(), MemoryJournals(), Universe()
        self.writer = MarketWriter(self.sender, 2, 100)
        self.writer.open(LogHead(log_id="", opened=frozenset({0, 1})), 1)
        self.moves = GroupMoves(
            Settings(), self.universe, self.writer, self.write, lambda: self.now,
            structlog.wrap_logger(structlog.ReturnLogger()), self.journals,
        )  # fmt: skip
        self.write(self.universe.list_instruments([A, B, LOW], self.now))
        self.write(self.universe.approve(PAIR, self.now))
        self.write(self.universe.approve(JOINING, self.now))

    def write(self, steps):
        for step in steps:
            if not isinstance(step, ShowBook):
                self.writer.write(step.record, step.group)

    def look(self, after_ns):
        """Look so long after the group began to wait; which instruments have moved by then."""
        self.now = T0 + after_ns
        asyncio.run(self.moves.look())
        moved = [r for r in self.sender.records() if isinstance(r, InstrumentMoved)]
        return {r.instrument_id for r in moved if r.group_to == "kalshi:aaa"}


def test_it_waits_until_every_intent_of_before_has_expired_and_lists_the_pairs_anew() -> None:
    stage = Stage()
    assert stage.look(PATIENCE_NS - 1) == set()
    assert stage.look(PATIENCE_NS) == BOTH
    assert [r.pair_id for r in stage.sender.records() if isinstance(r, PairListed)] == ["p", "p", "q"]
    assert stage.universe.waiting == {}


@pytest.mark.parametrize("end", ["closed", "flat", "stuck"])
def test_it_waits_for_a_trade_on_it_and_for_no_other(end) -> None:
    stage = Stage()
    stage.journals.records = [plan("t1", "polymarket:0xa", "kalshi:KXB"), plan("t2", "polymarket:0xz", "kalshi:KXZ")]
    for state in ("leading", "hedging", "hedged"):
        stage.journals.records.append(update("t1", state))
        assert stage.look(PATIENCE_NS) == set()
    stage.journals.records.append(update("t1", end))
    assert stage.look(PATIENCE_NS) == BOTH


def test_a_trade_that_opens_again_counts_again() -> None:
    stage = Stage()
    stage.journals.records = [plan("t1", *BOTH), update("t1", "closed"), update("t1", "hedging")]
    assert stage.look(PATIENCE_NS) == set()


def test_what_cannot_be_known_is_waited_for() -> None:
    stage = Stage()
    stage.journals.away = True
    assert stage.look(PATIENCE_NS) == set()
    stage.journals.away = False
    assert stage.look(PATIENCE_NS) == BOTH


def test_the_wait_has_an_end_that_is_loud() -> None:
    stage = Stage()
    stage.journals.records = [plan("t1", *BOTH)]
    assert stage.look(WAIT_MAX_NS - 1) == set()
    assert stage.look(WAIT_MAX_NS) == BOTH
    (letter,) = stage.sender.records("deadletter")
    assert isinstance(letter, DeadLetter)
    assert "although trades t1 are open on it" in letter.error


def test_nothing_moves_while_the_writer_is_blocked() -> None:
    stage = Stage()
    stage.writer.blocked = True
    assert stage.look(PATIENCE_NS) == set()


def test_plans_and_ends_are_told_apart() -> None:
    trades = OpenTrades()
    for record in (plan("t1", "kalshi:KXB"), plan("t2", "kalshi:KXB"), update("t1", "closed"), sample("OrderReport")):
        trades.take(record)
    assert isinstance(plan("t1", "x"), TradePlan) and isinstance(update("t1", "flat"), TradeUpdate)
    assert trades.on(["kalshi:KXB"]) == ["t2"]
