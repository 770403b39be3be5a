"""`run_backtest`: a log and settings in, an `Outcome` out; one process, and stream time is the only clock.

Decides which terms and models are in force, in which order the partitions take turns, and what is compared with the live run. The
decisions themselves are those of `processors.decide.fold` and `executors.engine`; nothing of them is written again here. Must never
read a wall clock for anything but how long the run took.

Turns: where the log holds the journal of the same run (logged positions, nothing changed) lanes step and operators' words take effect
in the journal's own order, which is the one thing that the market does not fix. Else partitions go on by stream time.
"""

import time
from collections import deque
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from crossbook.domain.limits import CASH
from crossbook.log.reading import Log
from crossbook.runtime.settings import BacktestSettings, DecideSettings
from deploy.lab.backtest.collect import Collection
from deploy.lab.backtest.errors import BacktestError
from deploy.lab.backtest.feed import Delayed, Placed, Preparation, market_records
from deploy.lab.backtest.guard import LookAheadGuard
from deploy.lab.backtest.lanes import FollowingEngine, WatchedMarket
from deploy.lab.backtest.live import LiveRun, Turn, Word, read_live, read_words
from deploy.lab.backtest.models import describe, make_feed_latency, with_order_latency
from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.partition import PartitionRun
from deploy.lab.compare.bytes import compare_executions, compare_intents, compare_opportunities
from deploy.lab.journals import journal_of
from deploy.lab.memory import peak_rss_mb
from deploy.lab.outcome.outcome import Comparison, Outcome
from executors.recovery.code_digest import execution_digest
from executors.terms import NS_PER_MS, ExecuteTerms, PaperTerms, Terms, cash_by_venue, make_terms, with_limit
from executors.venues.port import NEVER_NS
from processors.decide.code_digest import decision_digest
from processors.decide.settings import UNITS_NS, in_ns
from processors.decide.state import DecideState
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from schemas.codec import Codec, load_codec
from schemas.records import ExecutorConfigured, LogOpened, OrderRequested, OrderSent, TradeIntent

#: Without a journal to go by, a partition may be this far ahead of another in stream time: a watermark's interval.
AHEAD_NS: Final = 50 * NS_PER_MS
PROGRESS_EVENTS: Final = 20_000
#: Called now and then with the events folded so far.
Progress = Callable[[int], None]


class _Head(NamedTuple):
    log_id: str
    base_offsets: dict[int, int]


class _Setting:
    """What is in force: terms, models, and what they were changed from."""

    def __init__(self, options: BacktestOptions, live: LiveRun) -> None:
        self.options = options
        self.backtest = BacktestSettings.model_validate(options.backtest.model_dump() | options.changed("backtest"))
        self.decide = in_ns(options.changed("decide"))
        self._measured_ns = live.measured_ns
        self.terms = self.adapt(live.terms or _own_terms(options))
        self.seed = self.terms.paper.seed
        self.feed = make_feed_latency(self.backtest, self.seed) if options.positions == "simulated" else None
        self.as_live = (
            options.positions == "logged"
            and live.terms == self.terms
            and not self.decide
            and self.backtest.taker_delay_ms < 0
        )

    def adapt(self, terms: Terms) -> Terms:
        """Terms of the log or of the settings, with what this run changes."""
        paper = self.options.changed("paper")
        if self.options.seed is not None:
            paper["seed"] = self.options.seed
        for name, value in self.options.changed("execute").items():
            terms = with_limit(terms, name, value)
        terms = msgspec.structs.replace(terms, paper=msgspec.structs.replace(terms.paper, **paper))
        return with_order_latency(terms, self.backtest.order_latency, self._measured_ns)


def _own_terms(options: BacktestOptions) -> Terms:
    """Terms of the settings for the portfolio that is run."""
    terms = make_terms(options.execute.model_dump(), options.paper.model_dump())
    for name, value in () if options.own is None else options.own.limits.items():
        terms = with_limit(terms, name, value)
    return terms


def run_backtest(
    log: Log, options: BacktestOptions, progress: Progress | None = None, strategies: Strategies = STRATEGIES
) -> Outcome:
    """Run decide, with the strategies of a table, and the executor over a log.

    Raises:
        ChangeError: a model that is none.
        LookAheadError: something stamped after now reached a decision, and the guards are to raise.
        BacktestError: the log holds nothing that could be traded.
        UsageError: neither the log nor the settings know the portfolio.
        StageError: the log cannot be read, or is not what it says.
    """
    started = time.monotonic()
    codec = load_codec()
    head = read_head(log, codec)
    journal = journal_of(log, codec, options.portfolio, settled=options.own is not None)
    live = read_live(log, codec, options.range, head.base_offsets, journal)
    setting = _Setting(options, live)
    digest = decision_digest(strategies)
    prepare = Preparation(decide=setting.decide, digest=digest, taker_delay_ms=setting.backtest.taker_delay_ms)
    kept = Collection()
    runs: dict[int, PartitionRun] = {}
    delayed: list[Delayed] = []
    for partition in head.base_offsets:
        records = market_records(log, codec, partition)
        if setting.feed is not None:
            delayed.append(Delayed(records, setting.feed))
            records = iter(delayed[-1])
        market = WatchedMarket()
        runs[partition] = PartitionRun(
            partition,
            _told(records, progress),
            state=DecideState(digest, strategies),
            market=market,
            prepare=prepare,
            guard=LookAheadGuard(market, options.guards),
            span=options.range,
            advice=live.advice if options.positions == "logged" else None,
            lags_ns=live.lags_ns if setting.as_live else None,
        )
    engine = FollowingEngine({partition: run.market for partition, run in runs.items()})
    for run in runs.values():
        run.guard.met_ns = engine.met_ns
    if setting.as_live and live.score:
        _in_journal_order(engine, runs, kept, live, setting)
    _in_time_order(engine, runs, kept, [] if setting.as_live and live.score else _words(log, codec, live), setting)
    if not any(run.folded for run in runs.values()):
        raise BacktestError(f"{log.name} holds no market records; import a recording or run a stack first")
    return _outcome(log, options, setting, head, live, engine, runs, kept, prepare, delayed, codec, started)


def read_head(log: Log, codec: Codec) -> _Head:
    """Which log it is and where its partitions begin; partitions without a LogOpened are left out. Raises BacktestError."""
    bases: dict[int, int] = {}
    log_id = ""
    for partition in range(log.partitions):
        for _, record in market_records(log, codec, partition):
            assert isinstance(record, LogOpened), "positions begin with LogOpened"
            bases[partition], log_id = record.base_offset, record.log_id
            break
    if not bases:
        raise BacktestError(f"{log.name} holds no LogOpened: nothing there says where its market begins")
    return _Head(log_id, bases)


def _told(records: Iterator[Placed], progress: Progress | None) -> Iterator[Placed]:
    """The same records, with progress told every so many."""
    if progress is None:
        return records

    def told() -> Iterator[Placed]:
        for count, placed in enumerate(records, 1):
            yield placed
            if count % PROGRESS_EVENTS == 0:
                progress(PROGRESS_EVENTS)

    return told()


# Turns


def _words(log: Log, codec: Codec, live: LiveRun) -> list[Word]:
    return live.words if live.journal else read_words(log, codec)


def _put_word(engine: FollowingEngine, word: Word, setting: _Setting) -> None:
    record = word.record
    if isinstance(record, ExecutorConfigured):
        terms = setting.adapt(Terms(execute=record.execute, paper=record.paper))
        changes = {"execute": terms.execute, "paper": terms.paper, "code_digest": execution_digest()}
        engine.journal(msgspec.structs.replace(record, **changes))
    elif isinstance(record, OrderSent):
        engine.put_sent(record)
    elif word.offset is not None:
        engine.control(record, word.offset)
    else:
        engine.journal(record)  # type: ignore[arg-type]  # without an offset it is a record of a journal


def _keep_orders(engine: FollowingEngine, runs: Mapping[int, PartitionRun], kept: Collection) -> None:
    """Keep what a word caused: an acknowledgement, and orders that it set free again."""
    paper = engine.state.terms.paper
    for record in engine.take_and_send():
        kept.journal.append(record)
        if isinstance(record, OrderRequested) and record.partition in runs:
            runs[record.partition].guard.requested(record, paper)
        elif isinstance(record, OrderSent):
            runs[record.partition].guard.sent(record)


def _in_journal_order(
    engine: FollowingEngine, runs: Mapping[int, PartitionRun], kept: Collection, live: LiveRun, setting: _Setting
) -> None:
    for item in live.score:
        if isinstance(item, Turn):
            run = runs.get(item.partition)
            if run is not None and not run.ended:
                run.run(engine, kept, until_journaled=item.journaled, until_position=item.position)
        else:
            _put_word(engine, item, setting)
            _keep_orders(engine, runs, kept)


def _in_time_order(
    engine: FollowingEngine, runs: Mapping[int, PartitionRun], kept: Collection, words: list[Word], setting: _Setting
) -> None:
    waiting = deque(words)
    going = [run for run in runs.values() if not run.ended]
    if engine.state.configured is None and not any(isinstance(word.record, ExecutorConfigured) for word in words):
        options = setting.options
        engine.configure(
            setting.terms,
            portfolio=options.portfolio,
            code_digest=execution_digest(),
            strategies=() if options.own is None else options.own.strategies,
        )
    while going:
        while waiting and waiting[0].ts_ns <= engine.now_ns:
            _put_word(engine, waiting.popleft(), setting)
        _keep_orders(engine, runs, kept)
        run = min(going, key=lambda one: one.market.now_ns)
        others = [one.market.now_ns for one in going if one is not run]
        until_ns = min(others, default=NEVER_NS - AHEAD_NS) + AHEAD_NS
        if waiting:
            until_ns = min(until_ns, waiting[0].ts_ns)
        run.run(engine, kept, until_ns=until_ns)
        if run.ended:
            going.remove(run)


# What is left


def _outcome(
    log: Log,
    options: BacktestOptions,
    setting: _Setting,
    head: _Head,
    live: LiveRun,
    engine: FollowingEngine,
    runs: Mapping[int, PartitionRun],
    kept: Collection,
    prepare: Preparation,
    delayed: list[Delayed],
    codec: Codec,
    started: float,
) -> Outcome:
    terms = engine.state.terms if engine.state.configured is not None else setting.terms
    return Outcome(
        name=options.name,
        source=log.name,
        portfolio=options.portfolio,
        log_id=head.log_id,
        positions=options.positions,
        seed=setting.seed,
        code_digest=f"{prepare.digest}/{execution_digest()}",
        ts_first_ns=min((run.first_ns for run in runs.values() if run.first_ns), default=0),
        ts_last_ns=engine.now_ns,
        events=sum(run.events for run in runs.values()),
        settings=_flat(prepare, terms, setting.backtest),
        changed=dict(options.changes) | ({} if options.seed is None else {"seed": options.seed}),
        models=describe(setting.backtest, terms.paper, options.positions),
        journal=tuple(kept.journal),
        fills=tuple(kept.fills),
        intents=tuple(kept.intents),
        quotes=tuple(kept.quotes),
        statistics=tuple(kept.statistics.values()),
        instruments=kept.instruments,
        pairs=kept.pairs,
        settled=kept.settled,
        comparisons=_comparisons(options, setting, live, runs, kept, codec),
        warnings=_warnings(options, setting, live, runs, prepare, delayed),
        elapsed_s=time.monotonic() - started,
        rss_mb=peak_rss_mb(),
    )


def _flat(prepare: Preparation, terms: Terms, backtest: BacktestSettings) -> dict[str, Any]:
    """Settings in force under the names that --set takes."""
    flat: dict[str, Any] = {}
    fields = {} if prepare.market is None else msgspec.structs.asdict(prepare.market)
    fields |= {name: int(value) for name, value in prepare.pair.items()}
    for name in DecideSettings.model_fields:
        stem, _, unit = name.rpartition("_")
        field = f"{stem}_ns" if unit in UNITS_NS else name
        if field in fields:
            flat[f"decide.{name}"] = fields[field] // UNITS_NS.get(unit, 1)
    flat |= {f"execute.{name}": getattr(terms.execute, name) for name in ExecuteTerms.__struct_fields__ if name != CASH}
    flat |= {f"execute.{CASH}.{venue}": micros for venue, micros in cash_by_venue(terms.execute).items()}
    flat |= {
        f"paper.{name}": getattr(terms.paper, name)
        for name in PaperTerms.__struct_fields__
        if not name.endswith("_quantiles")
    }
    return flat | {f"backtest.{name}": value for name, value in backtest.model_dump().items()}


def _comparisons(
    options: BacktestOptions,
    setting: _Setting,
    live: LiveRun,
    runs: Mapping[int, PartitionRun],
    kept: Collection,
    codec: Codec,
) -> tuple[Comparison, ...]:
    found: list[Comparison] = []
    theirs = _live_intents(options, live, runs)
    if options.positions == "simulated":
        if live.intents:
            wanted = [codec.decode(value) for value in theirs.values()]
            found.append(compare_opportunities([one for one in wanted if isinstance(one, TradeIntent)], kept.intents))
        return tuple(found)
    if live.intents or any(end > 0 for end in live.decided_positions.values()):
        ours = [one for one in kept.intents if one.position < live.decided_positions.get(one.partition, NEVER_NS)]
        found.append(compare_intents(theirs, ours, codec))
    if live.journal:
        # What lies behind decide's last word a live executor could not have done.
        proved = {n: min(run.proved, (live.decided_positions.get(n, 0) or NEVER_NS) - 1) for n, run in runs.items()}
        beyond = {
            record.sequence  # type: ignore[attr-defined]  # every record of the journal has a number
            for record in kept.journal
            if getattr(record, "position", -1) > proved[getattr(record, "partition", min(proved))]
        }
        numbers = {record.sequence for record in live.journal}  # type: ignore[attr-defined]  # as above
        here = [r for r in kept.journal if r.sequence not in beyond]  # type: ignore[attr-defined]  # as above
        fills = [r for r in kept.fills if r.sequence not in beyond]  # type: ignore[attr-defined]  # as above
        late: Container[str] = () if setting.as_live else live.late
        found.append(compare_executions("orders", live.journal, here, late))
        live_fills = [r for r in live.fills if r.sequence in numbers]  # type: ignore[attr-defined]  # as above
        found.append(compare_executions("fills", live_fills, fills, late))
    return tuple(found)


def _live_intents(options: BacktestOptions, live: LiveRun, runs: Mapping[int, PartitionRun]) -> dict[str, bytes]:
    """Intents that the live run had within what was traded here."""
    spans = {n: (run.position_first, run.position_last) for n, run in runs.items()}
    if options.positions == "simulated":
        return live.intents
    kept: dict[str, bytes] = {}
    for name, value in live.intents.items():
        partition, position = live.intent_places[name]
        first, last = spans.get(partition, (0, -1))
        if first <= position <= last:
            kept[name] = value
    return kept


def _warnings(
    options: BacktestOptions,
    setting: _Setting,
    live: LiveRun,
    runs: Mapping[int, PartitionRun],
    prepare: Preparation,
    delayed: list[Delayed],
) -> tuple[str, ...]:
    found: list[str] = []
    if options.changes or options.seed is not None:
        names = ", ".join([*options.changes, *([] if options.seed is None else ["seed"])])
        found.append(f"changed against the log: {names}; intents and trades are not expected to equal the live ones")
    if options.positions == "simulated":
        found.append("positions are simulated: comparisons show what the feed latency changed, not mismatches")
    if late := sum(one.late for one in delayed):
        found.append(f"{late:,} events came too late for their place in time and were put behind later ones")
    if prepare.market is None:
        found.append("the log holds no MarketConfigured: nothing was decided")
    if prepare.others:
        found.append(f"the log was decided by other code ({', '.join(sorted(o[:12] for o in prepare.others))}…)")
    digests = {w.record.code_digest for w in live.words if isinstance(w.record, ExecutorConfigured)}
    if digests - {execution_digest()}:
        found.append("the journal was written by other execution code: ExecutorConfigured differs, trades may")
    if live.late:
        found.append(_late_line(live, setting))
    if options.range.begin is not None:
        found.append(
            "the range begins within the log: the executor begins it flat, without the live run's trades and positions"
        )
    for run in runs.values():
        found += run.guard.found
        if run.guard.count > len(run.guard.found):
            found.append(f"{run.guard.count:,} look-aheads in all in partition {run.partition}")
        if text := run.guard.end():
            found.append(text)
    if len(runs) > 1 and not (setting.as_live and live.score):
        found.append("partitions took turns by stream time; live, their order in the journal is that of arrival")
    return tuple(found)


def _late_line(live: LiveRun, setting: _Setting) -> str:
    trades = f"the live executor was late for {len(live.late):,} trades (declined, or an order left late)"
    if setting.as_live:
        return f"{trades}: so it is here, by its journal"
    return f"{trades}: an executor of the backtest never is, so those are set apart from the comparison"
