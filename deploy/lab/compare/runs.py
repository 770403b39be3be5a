"""Hold a live run against its backtest: the same trades, the same money, the same pace? The honesty figure.

Decides which trades belong together (the same intent id) and what a difference is. Executions are compared to the micro; PnL is
compared as each run marked it, and once more without marks, because two runs that traded alike may still have ended at different
quotes. The core is pure; `load_run` is the thin part that finds a run. Must never leave out a trade that only one side has.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from deploy.lab.analysis.analysis import Analysis
from deploy.lab.analysis.distribution import Distribution
from deploy.lab.analysis.trades import TradeRow
from deploy.lab.report.drawing.axes import duration
from deploy.lab.report.errors import ReportError
from deploy.lab.report.page import Document, document_of, read_json
from deploy.lab.report.words import LATE, clipped, contracts, dollars
from schemas.topics import MAIN

#: The word for the stack that runs or was kept.
LIVE = "live"
REPORT = "report.json"
MANIFEST = "manifest.json"
#: Trades named in the table; JSON has all.
NAMED_MAX = 20
#: What differs where the live executor saw an intent, or could send the leader, only when it was no longer valid.
LATE_ENDS = frozenset({("declined", "late"), ("declined", "lagging"), ("flat", "leader_expired")})


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """One stretch of both runs, ns; None where a run did not measure it."""

    name: str
    clock: str
    live: Distribution | None
    backtest: Distribution | None

    def difference(self, quantile: str) -> int | None:
        """Backtest minus live at "p50" or "p95"."""
        if self.live is None or self.backtest is None:
            return None
        return int(getattr(self.backtest, quantile)) - int(getattr(self.live, quantile))


class TradeDifference(msgspec.Struct, frozen=True, kw_only=True):
    """A trade of which something differs, or that only one run has (the other's state is then empty). Amounts micros."""

    intent_id: str
    pair_id: str
    what: tuple[str, ...]
    state_live: str
    state_backtest: str
    net_live_micros: int
    net_backtest_micros: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Both runs side by side. Differences are backtest minus live, micros.

    `execution_difference_micros` is that of cash and fees of the matched trades, without marks: 0 where they executed alike.
    """

    live: str
    backtest: str
    same_log: bool
    same_code: bool
    same_portfolio: bool
    intents_live: int
    intents_backtest: int
    matched: int
    only_live: int
    only_backtest: int
    executed_live: int
    executed_backtest: int
    states_differing: int
    fills_differing: int
    late_differing: int
    net_live_micros: int
    net_backtest_micros: int
    net_difference_micros: int
    locked_live_micros: int
    locked_backtest_micros: int
    marked_live_micros: int
    marked_backtest_micros: int
    late_live: int
    late_backtest: int
    breaker_live_ns: int
    breaker_backtest_ns: int
    unwound_contracts_live_micros: int
    unwound_contracts_backtest_micros: int
    execution_difference_micros: int
    largest_difference_micros: int
    latencies: tuple[Pace, ...]
    trades: tuple[TradeDifference, ...]

    @property
    def alike(self) -> bool:
        """Whether both runs traded exactly alike."""
        differing = self.states_differing or self.fills_differing or self.late_differing
        return not (self.only_live or self.only_backtest or differing)


def compare(live: Document, backtest: Document) -> Verdict:
    """Compare two runs; pure."""
    ours = {trade.intent_id: trade for trade in live.analysis.trades}
    theirs = {trade.intent_id: trade for trade in backtest.analysis.trades}
    both = [name for name in ours if name in theirs]
    differences = [found for name in both if (found := _difference(ours[name], theirs[name])) is not None]
    differences += [_alone(trade, "only live") for name, trade in ours.items() if name not in theirs]
    differences += [_alone(trade, "only backtest") for name, trade in theirs.items() if name not in ours]
    net_live, net_backtest = live.analysis.totals.net_micros, backtest.analysis.totals.net_micros
    return Verdict(
        live=live.run.source,
        backtest=backtest.run.source,
        same_log=live.run.log_id == backtest.run.log_id,
        same_code=_decision_code(live) == _decision_code(backtest),
        same_portfolio=live.run.portfolio == backtest.run.portfolio,
        intents_live=len(ours),
        intents_backtest=len(theirs),
        matched=len(both),
        only_live=len(ours) - len(both),
        only_backtest=len(theirs) - len(both),
        executed_live=live.analysis.counts.executed,
        executed_backtest=backtest.analysis.counts.executed,
        states_differing=sum("state" in one.what for one in differences),
        fills_differing=sum("fills" in one.what for one in differences),
        late_differing=sum(LATE in one.what for one in differences),
        net_live_micros=net_live,
        net_backtest_micros=net_backtest,
        net_difference_micros=net_backtest - net_live,
        locked_live_micros=live.analysis.totals.locked_micros,
        locked_backtest_micros=backtest.analysis.totals.locked_micros,
        marked_live_micros=live.analysis.totals.marked_micros,
        marked_backtest_micros=backtest.analysis.totals.marked_micros,
        late_live=_late(live.analysis),
        late_backtest=_late(backtest.analysis),
        breaker_live_ns=_breaker_ns(live.analysis),
        breaker_backtest_ns=_breaker_ns(backtest.analysis),
        unwound_contracts_live_micros=live.analysis.totals.unwound_contracts_micros,
        unwound_contracts_backtest_micros=backtest.analysis.totals.unwound_contracts_micros,
        execution_difference_micros=sum(_executed(theirs[name]) - _executed(ours[name]) for name in both),
        largest_difference_micros=max((abs(theirs[n].net_micros - ours[n].net_micros) for n in both), default=0),
        latencies=_paces(live.analysis, backtest.analysis),
        trades=tuple(differences),
    )


def _decision_code(document: Document) -> str:
    """Digest of decide's code; a backtest names the executor's behind a stroke."""
    return document.run.code_digest.partition("/")[0]


def _executed(trade: TradeRow) -> int:
    return trade.cash_micros - trade.fee_micros


def _difference(live: TradeRow, backtest: TradeRow) -> TradeDifference | None:
    if (live.state, live.reason) in LATE_ENDS and (live.state, live.reason) != (backtest.state, backtest.reason):
        return _differing(live, backtest, (LATE,))
    what = []
    if (live.state, live.reason) != (backtest.state, backtest.reason):
        what.append("state")
    if live.fills != backtest.fills:
        what.append("fills")
    if live.net_micros != backtest.net_micros:
        what.append("PnL")
    return _differing(live, backtest, tuple(what)) if what else None


def _differing(live: TradeRow, backtest: TradeRow, what: tuple[str, ...]) -> TradeDifference:
    return TradeDifference(
        intent_id=live.intent_id,
        pair_id=live.pair_id,
        what=what,
        state_live=_state(live),
        state_backtest=_state(backtest),
        net_live_micros=live.net_micros,
        net_backtest_micros=backtest.net_micros,
    )


def _alone(trade: TradeRow, where: str) -> TradeDifference:
    here = where == "only live"
    return TradeDifference(
        intent_id=trade.intent_id,
        pair_id=trade.pair_id,
        what=(where,),
        state_live=_state(trade) if here else "",
        state_backtest="" if here else _state(trade),
        net_live_micros=trade.net_micros if here else 0,
        net_backtest_micros=0 if here else trade.net_micros,
    )


def _state(trade: TradeRow) -> str:
    return f"{trade.state}: {trade.reason}" if trade.reason else trade.state


def _paces(live: Analysis, backtest: Analysis) -> tuple[Pace, ...]:
    ours = {(row.clock, row.name): row.ns for row in live.latencies}
    theirs = {(row.clock, row.name): row.ns for row in backtest.latencies}
    return tuple(
        Pace(name=name, clock=clock, live=ours.get((clock, name)), backtest=theirs.get((clock, name)))
        for clock, name in dict.fromkeys([*ours, *theirs])
    )


def _late(analysis: Analysis) -> int:
    return sum(one.trades for one in analysis.declines if one.reason == LATE)


def _breaker_ns(analysis: Analysis) -> int:
    return sum(one.held_ns for one in analysis.venue_times if one.state == "breaker")


def verdict_rows(found: Verdict) -> list[list[str]]:
    """The table: what, live, backtest, difference."""
    rows = [
        ["intents", f"{found.intents_live:,}", f"{found.intents_backtest:,}", f"{found.matched:,} matched by id"],
        ["trades executed", f"{found.executed_live:,}", f"{found.executed_backtest:,}", ""],
        ["only in one run", f"{found.only_live:,}", f"{found.only_backtest:,}", ""],
        ["states differing", "", "", f"{found.states_differing:,}"],
        ["fills differing", "", "", f"{found.fills_differing:,}"],
        ["seen too late", f"{found.late_live:,}", f"{found.late_backtest:,}", ""],
        ["held by breakers", duration(found.breaker_live_ns), duration(found.breaker_backtest_ns), ""],
        ["live came too late, the backtest never does", "", "", f"{found.late_differing:,}"],
        [
            "contracts sold again",
            contracts(found.unwound_contracts_live_micros),
            contracts(found.unwound_contracts_backtest_micros),
            "",
        ],
        [
            "locked in",
            dollars(found.locked_live_micros, sign=True),
            dollars(found.locked_backtest_micros, sign=True),
            f"{found.locked_backtest_micros - found.locked_live_micros:,} micros",
        ],
        [
            "at mark",
            dollars(found.marked_live_micros, sign=True),
            dollars(found.marked_backtest_micros, sign=True),
            f"{found.marked_backtest_micros - found.marked_live_micros:,} micros",
        ],
        ["cash and fees of matched trades", "", "", f"{found.execution_difference_micros:,} micros"],
        ["largest PnL difference of a trade", "", "", f"{found.largest_difference_micros:,} micros"],
    ]
    return rows + [
        [f"{pace.name}, {pace.clock} time, p50 / p95", _quantiles(pace.live), _quantiles(pace.backtest), _apart(pace)]
        for pace in found.latencies
    ]


def _apart(pace: Pace) -> str:
    found = [pace.difference("p50"), pace.difference("p95")]
    return " / ".join(duration(one) for one in found if one is not None)


def _quantiles(found: Distribution | None) -> str:
    return "not measured" if found is None else f"{duration(found.p50)} / {duration(found.p95)}"


def difference_rows(found: Verdict) -> list[list[str]]:
    """The trades that differ, the largest effect first, at most NAMED_MAX."""
    ordered = sorted(found.trades, key=lambda one: -abs(one.net_backtest_micros - one.net_live_micros))
    return [
        [
            one.pair_id,
            ", ".join(one.what),
            one.state_live,
            one.state_backtest,
            f"{one.net_backtest_micros - one.net_live_micros:,}",
            clipped(one.intent_id, 40),
        ]
        for one in ordered[:NAMED_MAX]
    ]


def as_dict(found: Verdict) -> Mapping[str, Any]:
    """The verdict, ready for JSON."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain | {"alike": found.alike}


def load_run(text: str, stack: str = "", portfolio: str = MAIN) -> Document:
    """A run by name: `live` (the stack that runs or was kept), an archive's folder, a report's JSON, or a folder that holds one.

    `portfolio` chooses among the journals of a log; a report is of one already.

    Raises:
        ReportError: there is no run of that name, or it cannot be read.
        UsageError: no portfolio of that name has journaled anything there.
        StackError, BrokerAwayError: there is no stack, or its broker does not answer.
    """
    from crossbook.log.archive.read import ArchiveLog
    from crossbook.runtime.kafka_log import KafkaLog
    from deploy.lab.report.live import read_outcome
    from deploy.stack.attach import attached
    from schemas.codec import load_codec

    if text == LIVE:
        with attached("compare", stack, clickhouse=False) as settings:
            return document_of(read_outcome(KafkaLog(settings.kafka), load_codec(), portfolio=portfolio))
    path = Path(text)
    if path.is_file():
        return read_json(path)
    if (path / REPORT).is_file():
        return read_json(path / REPORT)
    if (path / MANIFEST).is_file():
        return document_of(read_outcome(ArchiveLog(path), load_codec(), portfolio=portfolio))
    raise ReportError(
        f"{text!r} is no run; name {LIVE!r}, a folder with {REPORT} (as `crossbook backtest` writes), an archive's folder, or a report's JSON"
    )
