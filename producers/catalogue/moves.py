"""When a group moves: after the last trade on its instruments has ended, so that no trade loses its books on the way.

Decides, from the journals of all executors, whether a group that waits may go. Its pairs are delisted in `market` already, so decide
intends nothing new on them; what it intended before has expired for every executor after its validity and a margin for lag. Only then
is the journal read, and the group moves when it holds no open trade. The wait has an end, because an executor may be gone for good:
a group that moves under a trade says so in a dead letter, and the executor calls a person when it comes back.

`decide` sees none of this: what reaches `market` is the delisting and, later, the move. Must never write while the writer is blocked.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog
from confluent_kafka import KafkaException

from crossbook.domain.dead_letters import dead_letter
from crossbook.domain.errors import StageError
from crossbook.runtime.errors import BrokerAwayError
from crossbook.runtime.kafka import admin_client
from crossbook.runtime.kafka_log import read_partition
from crossbook.runtime.settings import KafkaSettings, Settings
from producers.feeds.protocol import STAGE
from producers.market_writer import MarketWriter
from producers.universe.universe import Step, Universe, Waiting
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import Record, TradePlan, TradeState, TradeUpdate
from schemas.topics import TOPICS

TICK_S: Final = 1.0
#: Beyond an intent's validity: an executor may be this late, and its journal this slow.
MARGIN_NS: Final = 5_000_000_000
#: A plan sends nothing after ten minutes, and what it bought is final a minute later: who is open longer has no executor.
WAIT_MAX_NS: Final = 900 * 1_000_000_000
TELL_AFTER_NS: Final = 30 * 1_000_000_000
METADATA_S: Final = 10.0
#: States that a trade does not leave, but for a fill that comes late.
ENDED: Final = frozenset[TradeState]({"declined", "closed", "flat", "stuck"})


class OpenTrades:
    """Fold of the journals: trades that have a plan and no end, with the instruments of the plan."""

    def __init__(self) -> None:
        self._legs: dict[str, frozenset[str]] = {}
        self._open: dict[str, None] = {}

    def take(self, record: Record) -> None:
        """Take a record of `orders`, in the order of its journal."""
        match record:
            case TradePlan():
                bounds = (record.leader, *record.bounds)
                self._legs[record.trade_id] = frozenset(bound.instrument_id for bound in bounds)
                self._open[record.trade_id] = None
            case TradeUpdate() if record.state in ENDED:
                self._open.pop(record.trade_id, None)
            case TradeUpdate():
                self._open[record.trade_id] = None  # a late or reversed fill opens a trade again
            case _:
                pass

    def on(self, instruments: Iterable[str]) -> list[str]:
        """Open trades on any of these instruments."""
        wanted = frozenset(instruments)
        return [trade_id for trade_id in self._open if self._legs.get(trade_id, wanted) & wanted]


class Journals(Protocol):
    """What is known of the executors' trades."""

    def read(self) -> OpenTrades:
        """Everything journaled up to now; may block. Raises StageError when it cannot be known."""


class KafkaJournals:
    """The journals of every portfolio, read from `orders` of a prefix."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._kafka, self._codec = kafka, load_codec()
        self._next: dict[int, int] = {}
        self._trades = OpenTrades()

    def read(self) -> OpenTrades:
        """Everything committed up to now. Raises BrokerAwayError or LogError when the topic cannot be read."""
        for partition in self._partitions():
            for line in read_partition(self._kafka, "orders", partition, start=self._next.get(partition)):
                self._next[partition] = line.offset + 1
                try:
                    self._trades.take(self._codec.decode(line.value))
                except SchemaError:
                    continue  # verify and the executor name it
        return self._trades

    def _partitions(self) -> list[int]:
        name = TOPICS["orders"].full_name(self._kafka.prefix)
        try:
            topic = admin_client(self._kafka).list_topics(name, timeout=METADATA_S).topics.get(name)
        except KafkaException as error:
            raise BrokerAwayError(f"{name}: {error}") from error
        return sorted(topic.partitions) if topic is not None else []


class GroupMoves:
    """Moves the groups that wait, as soon as they may. `write` takes the universe's steps in their order."""

    def __init__(
        self,
        settings: Settings,
        universe: Universe,
        writer: MarketWriter,
        write: Callable[[list[Step]], None],
        stamp: Callable[[], int],
        log: structlog.stdlib.BoundLogger,
        journals: Journals | None = None,
    ) -> None:
        self._universe, self._writer, self._write, self._stamp, self._log = universe, writer, write, stamp, log
        self._journals = KafkaJournals(settings.kafka) if journals is None else journals
        self._patience_ns = settings.decide.intent_valid_ms * 1_000_000 + MARGIN_NS
        self._told_ns: dict[str, int] = {}

    async def run(self) -> None:
        """Look at the groups that wait, for ever."""
        while True:
            await asyncio.sleep(TICK_S)
            await self.look()

    async def look(self) -> None:
        """Move every group that may go now; tell of those that may not."""
        waiting_now, now = self._universe.waiting, self._stamp()
        ready = [group for group, one in waiting_now.items() if now - one.ts_since_ns >= self._patience_ns]
        if not ready or self._writer.blocked:
            return
        unknown = ""
        trades = OpenTrades()
        try:
            trades = await asyncio.to_thread(self._journals.read)
        except StageError as error:
            unknown = f"the journal cannot be read: {error}"
        for group in ready:
            waiting = self._universe.waiting.get(group)
            if waiting is None or self._stamp() - waiting.ts_since_ns < self._patience_ns or self._writer.blocked:
                continue  # it began anew while the journal was read
            open_trades = trades.on(waiting.instruments)
            why = unknown or (f"trades {', '.join(open_trades[:5])} are open on it" if open_trades else "")
            if not why:
                self._go(group, waiting)
            elif self._stamp() - waiting.ts_since_ns >= WAIT_MAX_NS:
                self._go_under_a_trade(group, waiting, why)
            else:
                self._tell(group, waiting, why)

    def _go(self, group: str, waiting: Waiting) -> None:
        self._told_ns.pop(group, None)
        self._write(self._universe.move(group, self._stamp()))
        self._log.info("group.moved", group=group, to=waiting.group_to, instruments=len(waiting.instruments))

    def _go_under_a_trade(self, group: str, waiting: Waiting, why: str) -> None:
        error = f"group {group} moves to {waiting.group_to} after {WAIT_MAX_NS // 10**9} s of waiting although {why}"
        self._log.error("group.moved_under_trades", group=group, to=waiting.group_to, reason=why)
        self._writer.dead(dead_letter(ts_ns=self._stamp(), stage=STAGE, source="groups", error=error))
        self._go(group, waiting)

    def _tell(self, group: str, waiting: Waiting, why: str) -> None:
        now = self._stamp()
        if now - self._told_ns.get(group, 0) >= TELL_AFTER_NS:
            self._told_ns[group] = now
            waited_s = (now - waiting.ts_since_ns) // 10**9
            self._log.warning("group.waits", group=group, to=waiting.group_to, reason=why, waited_s=waited_s)
