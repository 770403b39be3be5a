"""What decide remembers of a partition beside the market itself: tops and watermarks already written, and its strategies.

Decides nothing. `market`, the strategies and the written marks are the state; what is marked as a memo is derived from them and
left out of checkpoints. The order of every dict here is the order of events, never of hashes, because outputs follow it.
"""

from typing import Final, NamedTuple

from crossbook.market.book_state import ChangeKind
from crossbook.market.configuration import settings_of
from crossbook.market.market_state import MarketState
from processors.errors import StrategySettingsError
from processors.strategies.base import Strategies, Strategy
from processors.strategies.table import STRATEGIES
from schemas.records import MarketConfigured, Record, StrategyConfigured

#: Changes that cause nothing by themselves unless a best level changed or a polled book was polled anew.
MAY_BE_IDLE: Final[frozenset[ChangeKind]] = frozenset({"book", "none", "trade", "reference"})


class Output(NamedTuple):
    """A record that decide writes: the topic's name without prefix, the key, the record."""

    topic: str
    key: str | None
    record: Record


class DecideState:
    """State of the fold of one partition, under the code that runs.

    `makers` are the strategies that this code has, `strategies` those that were configured, by name. `groups` holds the last known
    group of an instrument, `top_written_ns` when its top was last written, `tops_unwritten` those that changed since;
    `references_fresh` whether a reference was fresh when its top was last written; `other_code` the digest of the other code that
    decides now, empty when this one does.
    """

    __slots__ = (
        "code_digest",
        "groups",
        "intents",
        "makers",
        "market",
        "may_be_idle",
        "other_code",
        "references_fresh",
        "strategies",
        "top_written_ns",
        "tops_unwritten",
        "watermark_due_ns",
    )

    def __init__(self, code_digest: str, makers: Strategies = STRATEGIES) -> None:
        self.code_digest = code_digest
        self.makers = makers
        self.market = MarketState()
        self.strategies: dict[str, Strategy] = {}
        self.groups: dict[str, str] = {}
        self.top_written_ns: dict[str, int] = {}
        self.tops_unwritten: dict[str, None] = {}
        self.references_fresh: dict[str, bool] = {}
        self.watermark_due_ns = 0
        self.intents = 0
        self.other_code = ""
        self.may_be_idle = MAY_BE_IDLE  # memo

    def begins_with(self, record: Record) -> bool:
        """Whether a record puts this code in force after another one."""
        return bool(self.other_code) and isinstance(record, MarketConfigured) and record.code_digest == self.code_digest

    def adopt(self, record: Record) -> None:
        """Take settings that `market` holds already: who decides from here on, and under what. Raises StrategySettingsError for our own."""
        assert isinstance(record, (MarketConfigured, StrategyConfigured))
        if record.code_digest != self.code_digest:
            self.other_code = record.code_digest
            if isinstance(record, StrategyConfigured):
                self._guess(record)
        elif isinstance(record, StrategyConfigured):
            self.configure(record)
        else:
            self.other_code = ""
        if isinstance(
            record, MarketConfigured
        ):  # the last word of an announcement: who is not named in it runs no longer
            for name in [one for one in self.strategies if one not in self.market.strategies]:
                del self.strategies[name]

    def _guess(self, configured: StrategyConfigured) -> None:
        """Follow another code's settings in silence, as far as they mean something here."""
        try:
            self.configure(configured)
        except StrategySettingsError:
            self.strategies.pop(configured.strategy, None)

    def configure(self, configured: StrategyConfigured) -> None:
        """Have a strategy work under these settings; one that did not run yet begins. Raises StrategySettingsError."""
        name = configured.strategy
        strategy = self.strategies.get(name)
        if strategy is None:
            if name not in self.makers:
                raise StrategySettingsError(f"{name}: this code has no such strategy; it has {', '.join(self.makers)}")
            strategy = self.makers[name]()
        strategy.configure(settings_of(configured))
        self.strategies[name] = strategy
        self.may_be_idle -= strategy.follows
