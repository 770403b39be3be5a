"""Every topic of crossbook, declared once: who writes it, who follows it, what it holds, how it is kept.

Names stand under a settable prefix (default `crossbook.`). `market` and what decide and leadlag make of it have the same number of
partitions, what an executor writes has one a portfolio, both fixed for a prefix; the others have one.
"""

from enum import Enum
from typing import Final, NamedTuple

DAY_MS = 86_400_000
KEEP = -1
DEFAULT_PREFIX = "crossbook."


#: The portfolio of a stack that names none.
MAIN: Final = "main"
#: Which partition of the topics that are spread by portfolio each portfolio's executor writes; without gaps.
PORTFOLIOS: Final[dict[str, int]] = {MAIN: 0}
#: Stages that follow topics with a consumer group of their own, whose offsets say how far they have come.
GROUPS: Final = ("decide", "leadlag", "execute", "project")


class Spread(Enum):
    """How many partitions a topic has."""

    ONE = "one"
    BY_GROUP = "by group"
    BY_PORTFOLIO = "by portfolio"


class Topic(NamedTuple):
    """One topic: its name without the prefix, its writer, its record types, its key and how long it is kept.

    `readers` are the stages that follow it as it grows; that a stage reads its own output again when it starts is not told here.
    """

    name: str
    writer: str
    readers: tuple[str, ...]
    records: tuple[str, ...]
    key: str
    spread: Spread
    retention_ms: int
    transactional: bool
    doc: str

    def full_name(self, prefix: str) -> str:
        """Name on the broker."""
        return prefix + self.name

    def partition_count(self, groups: int) -> int:
        """How many partitions it has where `market` has `groups`."""
        return {Spread.ONE: 1, Spread.BY_GROUP: groups, Spread.BY_PORTFOLIO: len(PORTFOLIOS)}[self.spread]

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
            (),
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
            ("decide", "execute", "project"),
            (
                "LogOpened",
                "MarketConfigured",
                "StrategyConfigured",
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
                "Observation",
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
            ("leadlag", "execute", "project"),
            ("TopOfBook", "ReferenceTop", "EdgeUpdate", "EdgeStatistics", "Watermark"),
            "group",
            Spread.BY_GROUP,
            28 * DAY_MS,
            True,
            "Tops, edges and watermarks.",
        ),
        Topic(
            "intents",
            "decide",
            ("execute", "project"),
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
            ("execute", "project"),
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
            ("producers", "project"),
            (
                "ExecutorConfigured",
                "IntentSeen",
                "QuoteSeen",
                "TakeSeen",
                "ControlApplied",
                "HaltedByFile",
                "LagWatched",
                "PayoutBooked",
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
            Spread.BY_PORTFOLIO,
            KEEP,
            True,
            "The executor's journal: one partition a portfolio.",
        ),
        Topic(
            "fills",
            "execute",
            ("project",),
            ("Fill", "FillConfirmed", "FillReversed"),
            "trade",
            Spread.BY_PORTFOLIO,
            KEEP,
            True,
            "Executions.",
        ),
        Topic(
            "control",
            "operators",
            ("producers", "execute", "project"),
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
            (),
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
            (),
            ("Checkpoint",),
            "portfolio",
            Spread.BY_PORTFOLIO,
            KEEP,
            False,
            "Fold states of the executor.",
        ),
        Topic(
            "deadletter",
            "any",
            ("project",),
            ("DeadLetter",),
            "stage",
            Spread.ONE,
            28 * DAY_MS,
            False,
            "Bytes that could not be used.",
        ),
    )
}


def read_by(stage: str) -> tuple[str, ...]:
    """Topics that a stage follows, in the order of the table."""
    return tuple(name for name, topic in TOPICS.items() if stage in topic.readers)


def declared(portfolio: str) -> str:
    """The portfolio itself. Raises ValueError: nobody declared it."""
    if portfolio not in PORTFOLIOS:
        raise ValueError(f"no portfolio is called {portfolio!r}; declared are {', '.join(PORTFOLIOS)}")
    return portfolio


def partition_of(portfolio: str) -> int:
    """Partition of the topics spread by portfolio that this one's executor writes. Raises ValueError: nobody declared it."""
    return PORTFOLIOS[declared(portfolio)]


def group_of(portfolio: str) -> str:
    """Consumer group of a portfolio's executor: each one has offsets of its own."""
    return "execute" if portfolio == MAIN else f"execute.{portfolio}"


def declare_portfolio(name: str) -> int:
    """Give a portfolio the next partition, for this process; one that is declared already keeps its own."""
    return PORTFOLIOS.setdefault(name, len(PORTFOLIOS))
