"""What an executor may do now, read from its journal by its own fold: every word, hold and breaker that binds it.

Decides nothing: the rules are `executors/portfolio/halts.py`'s and the fold's. It reads the newest checkpoint that the journal proves and what
was journaled since, as a restarted executor would, and writes nothing.
"""

from typing import Any, NamedTuple

from confluent_kafka import TopicPartition

from crossbook.runtime.kafka import committed_offsets, open_consumer
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import Settings
from executors.errors import ExecutorError
from executors.orders.work import WORKING
from executors.portfolio.halts import Halts, strictest
from executors.recovery.code_digest import execution_digest
from executors.recovery.resume import existing_topics, starts
from executors.state import ExecutorState
from schemas.codec import load_codec
from schemas.records import TradingState
from schemas.topics import TOPICS, group_of


class Bind(NamedTuple):
    """One thing that forbids something: what it concerns, the state that it imposes, and whose word it is."""

    what: str
    state: TradingState
    source: str
    ts_until_ns: int = 0


class Trading(NamedTuple):
    """What an executor may do. `state`: of everything in its portfolio; a bind of a venue, category, pair or strategy narrows it further.

    `work`: id, state and number of orders of each trade that may still send.
    """

    portfolio: str
    journal: int
    state: TradingState
    binds: tuple[Bind, ...]
    open_trades: int
    work: tuple[tuple[str, str, int], ...]
    stuck_trades: tuple[str, ...]

    @property
    def killed(self) -> bool:
        """Whether the KILL file is in force."""
        return any(bind.source == KILL_SOURCE for bind in self.binds)

    def as_dict(self) -> dict[str, Any]:
        """The same, ready for JSON."""
        return self._asdict() | {"binds": [bind._asdict() for bind in self.binds]}


KILL_SOURCE = "the KILL file"


def read_trading(settings: Settings, now_ns: int) -> Trading:
    """What the executor of the settings' portfolio may do, by its journal as it is now. `now_ns` is compared with a breaker's end.

    Raises:
        StageError: the broker does not answer, or the journal cannot be read by this code.
        ExecutorError: what it holds does not follow from its inputs.
    """
    kafka = settings.kafka
    topics = existing_topics(kafka)
    market = TOPICS["market"].full_name(kafka.prefix)
    consumer = open_consumer(kafka, group_of(settings.execute.portfolio))
    try:
        stored = committed_offsets(consumer, [TopicPartition(market, number) for number in range(kafka.partitions)])
    finally:
        consumer.close()
    for start in starts(
        KafkaLog(kafka),
        load_codec(),
        portfolio=settings.execute.portfolio,
        code_digest=execution_digest(),
        committed={number: max(offset, 0) for (_, number), offset in stored.items()},
        checkpoints="checkpoints.execute" in topics,
        told=lambda _position, _reason, _count: None,
    ):
        return trading_of(start.state, settings.execute.portfolio, now_ns)
    raise ExecutorError("the journal has no beginning")


def read_every_trading(settings: Settings, now_ns: int) -> tuple[Trading, ...]:
    """What the executor of each portfolio of a stack may do. Raises as `read_trading`."""
    return tuple(read_trading(settings.of_portfolio(name), now_ns) for name in settings.portfolio_names)


def trading_of(state: ExecutorState, portfolio: str, now_ns: int) -> Trading:
    """What a folded journal allows."""
    halts = state.standing.halts
    portfolio = state.portfolio or portfolio
    binds = [*_words(halts, portfolio), *_holds(halts)]
    binds += [
        Bind(f"venue {venue}", "reduce_only", "the breaker: too many orders rejected in a row", until_ns)
        for venue, until_ns in sorted(state.standing.breaker_until_ns.items())
        if until_ns > now_ns
    ]
    if state.lagging:
        binds.append(Bind("all", "reduce_only", "the watchdog: market lags (setting execute.lag_limit_ms)"))
    work = tuple((key, one.state, len(one.orders)) for key, one in state.trades.items() if one.state in WORKING)
    return Trading(
        portfolio=portfolio,
        journal=state.next_sequence,
        state=strictest("running", *(bind.state for bind in binds if bind.what in {"all", f"portfolio {portfolio}"})),
        binds=tuple(binds),
        open_trades=len(work),
        work=work,
        stuck_trades=tuple(trade_id for trade_id, trade in state.trades.items() if trade.state == "stuck"),
    )


def _words(halts: Halts, portfolio: str) -> list[Bind]:
    """Every executor journals every word; one about another portfolio binds nothing here."""
    binds = [Bind("all", "halted", KILL_SOURCE)] if halts.killed else []
    if halts.fault:
        binds.append(Bind("all", "reduce_only", f"an input that could not be folded: {halts.fault}"))
    return binds + [
        Bind("all" if scope == "all" else f"{scope} {value}", said, "an operator's halt")
        for (scope, value), said in sorted(halts.words.items())
        if scope != "portfolio" or value == portfolio
    ]


def _holds(halts: Halts) -> list[Bind]:
    revoked = [Bind(f"pair {pair_id}", "reduce_only", "revoked") for pair_id in sorted(halts.revoked)]
    return revoked + [
        Bind(f"venue {venue}", "reduce_only", f"stuck: {', '.join(trades)}")
        for venue, trades in sorted(halts.held.items())
    ]
