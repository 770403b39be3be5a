"""Logs as the live stages would have left them: a generated market, decided, and executed by an engine that waits for watermarks."""

from crossbook.log.reading import LogLine
from crossbook.runtime.settings import DecideSettings
from executors.engine import Engine
from executors.journal import key_of, topic_of
from executors.recovery.code_digest import execution_digest
from executors.terms import ExecuteTerms, PaperTerms, Terms
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step
from processors.decide.state import DecideState
from schemas.codec import load_codec
from schemas.records import InstrumentSettled, TradeIntent, TradingStateChanged, Watermark
from tests.bench.market import MIXED, MS_NS, World
from tests.builders.logs.memory import MemoryLog

T0 = 1_780_000_000_000_000_000
GAP_NS = 4 * MS_NS
CODEC = load_codec()
WIDE = ExecuteTerms(unwind_attempts_max=9, pairs_open_max=100, category_cost_micros=10**13, cost_per_leg_micros=10**12)
CALM = Terms(execute=WIDE)
ROUGH = Terms(
    execute=WIDE,
    paper=PaperTerms(vanish_ppm=150_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000, reverse_ppm=60_000),
)


def market(events=4_000, pairs=4, *, seed=7, settle=True, first=0):
    """Records of one partition: planted edges, and a settlement of a closed instrument near the end; pairs are numbered from `first`."""
    world = World(pairs, MIXED, seed=seed, first=first)
    head = world.head(T0, DecideSettings(cooldown_ms=200))
    records = [*head, *world.planted_stream(T0 + MS_NS, events, GAP_NS, 90, 60)]
    end_ns = records[-1].ts_received_ns
    if settle:
        listed = [r for r in head if type(r).__name__ == "InstrumentListed"]
        records += [
            InstrumentSettled(
                ts_received_ns=end_ns,
                ts_venue_ns=end_ns,
                instrument_id=one.instrument_id,
                payout_yes_micros=1_000_000,
                source="t",
            )
            for one in listed[:2]
        ]
    return [
        *records,
        *world.statuses(end_ns + 30_000 * MS_NS, "live"),
        *world.statuses(end_ns + 60_000 * MS_NS, "ended"),
    ]


def decided(records):
    """(position, record, outputs)."""
    state = DecideState(decision_digest())
    return [(position, record, step(state, position, record)) for position, record in enumerate(records)]


def executed(steps, terms=CALM, batch=50, halts=(), advice=(), lag_of=None, portfolio="main"):
    """What the live executor writes: fed in batches, held back by watermarks; `halts` are (position, state) said between batches.

    `lag_of` says how far, ns, the wall clock is past stream time; None: nobody says.
    """
    return executed_all({0: steps}, terms, lambda _: batch, halts, advice, lag_of, portfolio)


def executed_all(by_partition, terms=CALM, batch_of=lambda _: 50, halts=(), advice=(), lag_of=None, portfolio="main"):
    """The same over several partitions, which come in turns of uneven length."""
    engine = Engine(by_partition, advice_age_max_ns=10**18)
    for said in advice:
        engine.lanes[0].put_advice(said)
    engine.configure(terms, portfolio=portfolio, code_digest=execution_digest())
    written, said, start = [], 0, 0
    halts = list(halts)
    at = dict.fromkeys(by_partition, 0)
    while any(at[partition] < len(steps) for partition, steps in by_partition.items()):
        for partition, steps in by_partition.items():
            lane, batch = engine.lanes[partition], batch_of(partition)
            for position, record, outputs in steps[at[partition] : at[partition] + batch]:
                lane.put_record(position, record)
                for number, output in enumerate(outputs):
                    if isinstance(output.record, TradeIntent):
                        lane.put_intent(output.record, number, 5)
                    elif isinstance(output.record, Watermark):
                        lane.put_watermark(output.record, number)
            at[partition] += batch
        start, batch = max(at.values()), 0
        more = True
        while more:
            wall_ns = 0 if lag_of is None else engine.now_ns + lag_of(engine.now_ns)
            more = engine.advance(wall_ns=wall_ns)
            taken = engine.take_and_send()
            written += taken
            if lag_of is not None:
                engine.sent(taken, engine.now_ns + lag_of(engine.now_ns))
        while halts and halts[0][0] < start + batch:
            state = halts.pop(0)[1]
            engine.control(
                TradingStateChanged(ts_ns=1, operator="me", scope="all", scope_value="", state=state, reason="t"), said
            )
            said += 1
            written += engine.take_and_send()
    return written


def lines(records, key=lambda record: None):
    return [LogLine(n, 0, key(r), CODEC.encode(r)) for n, r in enumerate(records)]


def live_log(records, terms=CALM, *, steps=None, **options):
    """Everything that a stack would have left; `steps`: what `decided` said of the records, where it is known."""
    steps = decided(records) if steps is None else steps
    written = executed(steps, terms, **options)
    outputs = [output for _, _, given in steps for output in given]
    topics = {
        ("market", 0): lines(records),
        ("intents", 0): lines([o.record for o in outputs if o.topic == "intents"]),
        ("signals", 0): lines([o.record for o in outputs if o.topic == "signals"]),
    }
    return MemoryLog(topics | journal(written, 0), decided={0: len(records)})


def journal(written, partition):
    """The lines of `orders` and `fills` of one executor, by topic and partition."""
    return {
        (topic, partition): lines([r for r in written if topic_of(r) == topic], lambda r: (key_of(r) or "").encode())
        for topic in ("orders", "fills")
    }


def market_log(records):
    """The market alone, as an importer leaves it."""
    return MemoryLog({("market", 0): lines(records)})
