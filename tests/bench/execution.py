"""Step the executor: the fold of its journal alone, and a whole lane step (market fold, paper venue, machine, journal)."""

from collections.abc import Sequence

from crossbook.domain.limits import CASH_MICROS
from crossbook.runtime.settings import DecideSettings
from executors.engine import Engine
from executors.fold import step
from executors.journal import INPUTS
from executors.recovery.code_digest import execution_digest
from executors.state import ExecutorState
from executors.terms import ExecuteTerms, Terms, venue_cash
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step as decide
from processors.decide.state import DecideState
from schemas.records import BookDelta, IntentSeen, OrderReport, Record, TradeIntent, TradePlan, TradeUpdate, Watermark
from tests.bench.market import MIXED, MS_NS, World
from tests.bench.report import Row, distribution
from tests.bench.timing import time_calls

EVENTS = 130_000
GAP_NS = 200_000
PAIRS = 40
#: 83 edges a second, each shown for 0.3 s of stream time: long enough for leader and hedge at the paper venue.
PLANT_EVERY = 60
DWELL = 1_500
WARM_UP = 2_000
T0 = 1_780_000_000_000_000_000
#: Limits out of the way: what is measured is work, not refusals.
TERMS = Terms(
    execute=ExecuteTerms(
        cash_micros=venue_cash(dict.fromkeys(CASH_MICROS, 10**15)),
        cost_per_leg_micros=10**14,
        category_cost_micros=10**15,
        pairs_open_max=10_000,
        daily_stop_ppm=1_000_000,
        weekly_stop_ppm=1_000_000,
        monthly_stop_ppm=1_000_000,
    )
)


def run() -> list[Row]:
    """Decide a stream, execute it lane step by lane step, then fold the journal again."""
    engine = Engine([0])
    engine.configure(TERMS, portfolio="bench", code_digest=execution_digest())
    folding: list[int] = []
    journal, trading = _execute(engine, _decided(), folding)
    updates = [record for record in journal if isinstance(record, TradeUpdate)]
    states = {state: sum(1 for one in updates if one.state == state) for state in ("hedged", "unwinding", "declined")}
    inputs = [record for record in journal if isinstance(record, INPUTS)]
    state = ExecutorState()
    refolding = time_calls(lambda record: step(state, record), inputs, warm_up=WARM_UP)
    plans = sum(isinstance(record, TradePlan) for record in journal)
    reports = sum(isinstance(record, OrderReport) for record in inputs)
    common = {"unit": "µs", "warm_up": f"{WARM_UP:,} steps"}
    assert plans > 1_000, f"only {plans} plans came of the stream: {states}"
    return [
        Row(
            what="journal step (gate, plan, machine, ledger)",
            figures=distribution(refolding, 1e3),
            goals={"p50": ("<", 100.0)},
            n=len(refolding),
            against="seed 000: price < 100 µs",
            note=f"{plans:,} plans, {reports:,} reports; trades {states}",
            **common,
        ),
        Row(what="lane step that only folds the market", figures=distribution(folding, 1e3), n=len(folding), **common),
        Row(what="lane step that journals", figures=distribution(trading, 1e3), n=len(trading), **common),
    ]


def _decided() -> list[tuple[int, Record, Sequence[Record]]]:
    """(position, record, what decide wrote on it for the executor)."""
    world = World(PAIRS, MIXED)
    state = DecideState(decision_digest())
    head = world.head(T0, DecideSettings(cooldown_ms=100))
    events = [*head, *world.planted_stream(T0 + MS_NS, EVENTS, GAP_NS, PLANT_EVERY, DWELL)]
    decided = []
    for position, record in enumerate(events):
        wanted = [o.record for o in decide(state, position, record) if isinstance(o.record, (TradeIntent, Watermark))]
        decided.append((position, record, wanted))
    return decided


def _execute(
    engine: Engine, decided: list[tuple[int, Record, Sequence[Record]]], folding: list[int]
) -> tuple[list[Record], list[int]]:
    lane = engine.lanes[0]
    journal: list[Record] = []
    trading: list[int] = []
    given = [0]

    def one_step(_: int) -> None:
        engine.advance(1)

    for position, record, wanted in decided:
        lane.put_record(position, record)
        for output in wanted:
            given[0] += 1
            if isinstance(output, TradeIntent):
                lane.put_intent(output, given[0], output.ts_ns)
            else:
                assert isinstance(output, Watermark)
                lane.put_watermark(output, given[0])
        while wanted and lane.ready():
            (took,) = time_calls(one_step, [0], warm_up=0)
            written = engine.take_and_send()
            journal += written
            if len(written) and any(isinstance(one, (IntentSeen, OrderReport)) for one in written):
                trading.append(took)
            elif isinstance(record, BookDelta):
                folding.append(took)
    return journal, trading
