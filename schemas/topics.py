"""Every topic of crossbook, declared once: who writes it, what it holds, how it is kept.

Names stand under a settable prefix (default `crossbook.`). `market`, `signals`, `intents` and `leadlag` have the same number of
partitions, fixed for a prefix; the others have one.
"""

from enum import Enum
from typing import NamedTuple

DAY_MS = 86_400_000
KEEP = -1
DEFAULT_PREFIX = "crossbook."


class Spread(Enum):
    """How many partitions a topic has."""

    ONE = "one"
    BY_GROUP = "by group"


class Topic(NamedTuple):
    """One topic: its name without the prefix, its writer, its record types, its key and how long it is kept."""

    name: str
    writer: str
    records: tuple[str, ...]
    key: str
    spread: Spread
    retention_ms: int
    transactional: bool
    doc: str

    def full_name(self, prefix: str) -> str:
        """Name on the broker."""
        return prefix + self.name

    def config(self) -> dict[str, str]:
        """Topic settings on the broker: append time rules, because imported events are years old."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": str(self.retention_ms),
            "message.timestamp.type": "LogAppendTime",
            "compression.type": "producer",
            "max.message.bytes": "2097152",
        }


TOPICS: dict[str, Topic] = {
    topic.name: topic
    for topic in (
        Topic(
            "tape",
            "producers",
            ("RawFrame",),
            "feed",
            Spread.ONE,
            3 * DAY_MS,
            False,
            "Raw frames, before they are parsed.",
        ),
        Topic(
            "market",
            "producers",
            (
                "LogOpened",
                "DecideConfigured",
                "FrictionPack",
                "InstrumentListed",
                "InstrumentMoved",
                "InstrumentSettled",
                "PairListed",
                "PairDelisted",
                "BookSnapshot",
                "BookDelta",
                "PublicTrade",
                "FeedStatus",
                "VenueStatus",
                "ReferencePrice",
                "ReferenceStatus",
            ),
            "group",
            Spread.BY_GROUP,
            KEEP,
            False,
            "Everything seen and everything configured, in the one order that decisions are made in.",
        ),
        Topic(
            "signals",
            "decide",
            ("TopOfBook", "EdgeQuote", "EdgeStatistics", "Watermark"),
            "group",
            Spread.BY_GROUP,
            28 * DAY_MS,
            True,
            "Tops, edges and watermarks.",
        ),
        Topic(
            "intents",
            "decide",
            ("TradeIntent", "QuoteIntent", "TakeIntent"),
            "group",
            Spread.BY_GROUP,
            KEEP,
            True,
            "What decide wants traded.",
        ),
        Topic(
            "leadlag",
            "leadlag",
            ("LeadLag",),
            "group",
            Spread.BY_GROUP,
            28 * DAY_MS,
            False,
            "Who moves first, as advice.",
        ),
        Topic(
            "orders",
            "execute",
            (
                "ExecutorConfigured",
                "IntentSeen",
                "ControlApplied",
                "TimerFired",
                "TopSeen",
                "ListingSeen",
                "TradePlan",
                "OrderRequested",
                "OrderSent",
                "OrderReport",
                "TradeUpdate",
                "VenueHeld",
                "LatencyObserved",
                "CancelRequested",
                "OrderReconciled",
                "LifeOpened",
            ),
            "trade",
            Spread.ONE,
            KEEP,
            True,
            "The executor's journal: one partition a portfolio.",
        ),
        Topic(
            "fills",
            "execute",
            ("Fill", "FillConfirmed", "FillReversed"),
            "trade",
            Spread.ONE,
            KEEP,
            True,
            "Executions.",
        ),
        Topic(
            "control",
            "operators",
            (
                "DecideAnnounced",
                "PairApproved",
                "PairRevoked",
                "TradingStateChanged",
                "LimitsChanged",
                "SettingsChanged",
            ),
            "none",
            Spread.ONE,
            KEEP,
            False,
            "What operators and starting stages say.",
        ),
        Topic(
            "checkpoints.decide",
            "decide",
            ("Checkpoint",),
            "partition",
            Spread.BY_GROUP,
            KEEP,
            False,
            "Fold states of decide.",
        ),
        Topic(
            "checkpoints.execute",
            "execute",
            ("Checkpoint",),
            "portfolio",
            Spread.ONE,
            KEEP,
            False,
            "Fold states of the executor.",
        ),
        Topic(
            "deadletter",
            "any",
            ("DeadLetter",),
            "stage",
            Spread.ONE,
            28 * DAY_MS,
            False,
            "Bytes that could not be used.",
        ),
    )
}
