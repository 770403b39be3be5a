"""An audit of a finished run from its topics alone: figures counted and PnL computed a second time, by other lines than ours.

Reads records, never ClickHouse and never the folds (but for the executor's refold, which is what is held against its journal).
"""

from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from crossbook.runtime.kafka_log import KafkaLog
from executors.engine import refold
from executors.recovery.verify import verify_executions
from processors.verify.verify import verify_decide
from schemas.records import (
    BookDelta,
    BookSnapshot,
    EdgeStatistics,
    Fill,
    FillReversed,
    OrderReport,
    OrderRequested,
    Record,
    TradeIntent,
    TradePlan,
    TradeUpdate,
    Watermark,
)
from tests.builders.logs.projected import Placed
from tests.builders.oracles.pnl import pnl
from tests.integration.whole_stack import Log

ENDED = {"hedged", "closed", "flat", "declined", "stuck"}
MICROS = 1_000_000


class Audit:
    """Every topic of a run, decoded once; `market` without what cannot be decoded. `journal`: partition of the portfolio's journal."""

    def __init__(self, log: Log, journal: int = 0) -> None:
        self.log = log
        self.log_lines = {topic: log.lines(topic) for topic in ("market", "deadletter")}
        self.letters = log.records("deadletter")
        self.market = log.readable("market")
        self.signals = log.readable("signals")
        self.intents = [r for r in log.readable("intents") if isinstance(r, TradeIntent)]
        self.journal = log.records("orders", journal)
        self.fill_records = log.records("fills", journal)

    @property
    def last_updates(self) -> dict[str, TradeUpdate]:
        return {r.trade_id: r for r in self.journal if isinstance(r, TradeUpdate)}

    @property
    def fills(self) -> list[Fill]:
        """Executions that stand."""
        reversed_ids = {r.fill_id for r in self.fill_records if isinstance(r, FillReversed)}
        return [r for r in self.fill_records if isinstance(r, Fill) and r.fill_id not in reversed_ids]

    def counts(self) -> dict[str, Any]:
        """The countable figures of `crossbook demo --json`, from the topics."""
        statistics = {(r.pair_id, r.package): r for r in self.signals if isinstance(r, EdgeStatistics)}
        total = Counter[str]()
        for one in statistics.values():
            for name in ("evaluations", "gross_positive", "net_positive", "episodes", "episodes_at_threshold"):
                total[name] += getattr(one, name)
        filled_trades = {r.trade_id for r in self.fills}
        states = Counter(
            ("unwound" if r.trade_id in filled_trades else "unfilled") if r.state == "flat" else r.state
            for r in self.last_updates.values()
        )
        trades = {name: states[name] for name in ("unwound", "unfilled", "declined", "stuck")}
        trades["hedged"] = states["hedged"] + states["closed"]
        trades["open"] = sum(n for state, n in states.items() if state not in {*trades, "closed"})
        return {
            "updates": sum(
                isinstance(r, BookDelta) or (isinstance(r, BookSnapshot) and not r.keyframe) for r in self.market
            ),
            "evaluations": total["evaluations"],
            "gross_positive": total["gross_positive"],
            "net_positive": total["net_positive"],
            "edges": total["episodes"],
            "edges_at_threshold": total["episodes_at_threshold"],
            "intents": len(self.intents),
            "trades": trades,
            "fills": len(self.fills),
            "residual_contracts_micros": max((abs(r.residual_micros) for r in self.last_updates.values()), default=0),
        }

    def pnl(self) -> dict[str, int]:
        """What each trade is worth by its executions, the payouts and the last tops of the journal, by the tests' own arithmetic."""
        names = ("gross", "fees", "net", "locked", "marked", "unwound")
        records = [*self.intents, *self.journal, *self.fill_records]
        return dict(zip(names, pnl([Placed("", 0, record) for record in records]), strict=True))

    def check(self) -> None:
        """What must hold of every run, whatever happened to it."""
        self.check_trades()
        self.check_nothing_twice()
        self.check_journal()
        readable = KafkaLog(self.log.kafka)
        decided, executed = verify_decide(readable), verify_executions(readable)
        assert decided.mismatches == 0, decided.first_difference and decided.first_difference.describe()
        assert executed.mismatches == 0, executed.first_difference and executed.first_difference.describe()
        assert decided.decisions == len(self.signals) + len(self.intents)
        assert decided.events == len(self.log_lines["market"]), "decide has read everything"

    def check_trades(self) -> None:
        """Every intent became a trade that ended, with nothing unmatched that could be traded away."""
        updates = self.last_updates
        assert {r.intent_id for r in updates.values()} == {r.intent_id for r in self.intents}
        steps = {r.intent_id: max(r.legs[0].quantity_step_micros, r.legs[1].quantity_step_micros) for r in self.intents}
        for update in updates.values():
            assert update.state in ENDED, update
            assert update.state == "stuck" or abs(update.residual_micros) < steps[update.intent_id], update
        held: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for fill in self.fills:
            held[fill.trade_id][fill.instrument_id] += (
                fill.quantity_micros if fill.side == "buy" else -fill.quantity_micros
            )
        legs = {r.intent_id: (r.legs[0].instrument_id, r.legs[1].instrument_id) for r in self.intents}
        for trade_id, quantities in held.items():
            last = updates[trade_id]
            a, b = (quantities[leg] for leg in legs[last.intent_id])
            if last.state in {"hedged", "closed"}:
                assert abs(a - b) < steps[last.intent_id], (last, a, b)

    def check_nothing_twice(self) -> None:
        """Every derived id stands once, and positions never go back."""
        derived = [r for r in (*self.signals, *self.intents) if hasattr(r, "index")]
        assert len(derived) == len(self.signals) + len(self.intents), "all outputs of decide name their cause"
        identities = Counter((type(r).__name__, r.partition, r.position, r.index) for r in derived)
        assert not (identities - Counter(dict.fromkeys(identities, 1))), "an output of decide stands twice"
        for topic in (self.signals, self.intents):
            positions = [r.position for r in topic]
            assert positions == sorted(positions)
        once: dict[type[Record], str] = {TradePlan: "trade_id", OrderRequested: "order_id", OrderReport: "report_id"}
        for kind, name in once.items():
            ids = [getattr(r, name) for r in self.journal if isinstance(r, kind)]
            assert len(ids) == len(set(ids)), f"a {kind.__name__} stands twice"
        fill_ids = [r.fill_id for r in self.fill_records if isinstance(r, Fill)]
        assert len(fill_ids) == len(set(fill_ids)), "an execution stands twice"
        marks = [r for r in self.signals if isinstance(r, Watermark)]
        assert marks[-1].intents == len(self.intents), "decide counted as many intents as there are"
        numbers = [r.number for r in self.intents]
        assert all(later == earlier + 1 for earlier, later in pairwise(numbers)), numbers

    def check_journal(self) -> None:
        """Numbers without a hole, and a refold that stands where the written updates say."""
        assert [r.sequence for r in self.journal] == list(range(len(self.journal)))
        state, _ = refold(self.journal)
        assert state.next_sequence == len(self.journal)
        assert {one.trade_id: one.state for one in state.trades.values()} == {
            trade_id: update.state for trade_id, update in self.last_updates.items() if update.state != "declined"
        }
