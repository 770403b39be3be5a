"""What decide works under, as records of `market`: the settings of each strategy, and then those of the market itself.

Decides the order: MarketConfigured comes last, because decide writes nothing before it and it ends what its announcement left out. Must never change a setting on the way from
the announcement to the log.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, Self

import msgspec

from crossbook.market.keyframes import same_but
from schemas.records import DecideAnnounced, MarketConfigured, Record, StrategyConfigured, StrategySetting

#: What says when and whence, not what is in force.
_WHENCE: Final = frozenset({"ts_received_ns", "control_offset"})
#: What a decision may rest on of either record; DecideAnnounced has those of the market under the same names.
MARKET_TERMS: Final = tuple(name for name in MarketConfigured.__struct_fields__ if name not in _WHENCE)
STRATEGY_TERMS: Final = tuple(name for name in StrategyConfigured.__struct_fields__ if name not in _WHENCE)


class Configuration(NamedTuple):
    """Everything that is configured, under one code."""

    market: MarketConfigured
    strategies: tuple[StrategyConfigured, ...]

    @classmethod
    def of(cls, announced: DecideAnnounced, *, ts_received_ns: int, control_offset: int) -> Self:
        """An announcement as it stands in `market` once it was relayed."""
        return cls(
            MarketConfigured(
                ts_received_ns=ts_received_ns,
                control_offset=control_offset,
                **{name: getattr(announced, name) for name in MARKET_TERMS},
            ),
            tuple(
                StrategyConfigured(
                    ts_received_ns=ts_received_ns,
                    strategy=one.strategy,
                    version=one.version,
                    code_digest=announced.code_digest,
                    settings=one.settings,
                    control_offset=control_offset,
                )
                for one in announced.strategies
            ),
        )

    @property
    def records(self) -> tuple[Record, ...]:
        """The records in the order in which they are written."""
        return *self.strategies, self.market

    def at(self, ts_received_ns: int) -> Self:
        """The same, said at another time."""
        replace = msgspec.structs.replace
        return type(self)(
            replace(self.market, ts_received_ns=ts_received_ns),
            tuple(replace(one, ts_received_ns=ts_received_ns) for one in self.strategies),
        )

    def says_no_more_than(self, known: "Configuration") -> bool:
        """Whether all of it is in force once `known` is."""
        return self.is_in_force(known.market, {one.strategy: one for one in known.strategies})

    def is_in_force(self, market: MarketConfigured | None, strategies: Mapping[str, StrategyConfigured]) -> bool:
        """Whether these newest words of a log say all of it already, and no more: a strategy that is left out is to end."""
        return (
            market is not None
            and same_but(self.market, market, MARKET_TERMS)
            and len(strategies) == len(self.strategies)
            and all(
                one.strategy in strategies and same_but(one, strategies[one.strategy], STRATEGY_TERMS)
                for one in self.strategies
            )
        )


def said_with(market: MarketConfigured, strategies: Iterable[StrategyConfigured]) -> dict[str, StrategyConfigured]:
    """The strategies, by name, that the announcement of these market settings named: those that run from there on."""
    return {
        one.strategy: one
        for one in strategies
        if (one.control_offset, one.code_digest) == (market.control_offset, market.code_digest)
    }


def settings_of(record: StrategyConfigured) -> dict[str, str]:
    """Settings by name."""
    return {one.name: one.value for one in record.settings}


def as_settings(values: Mapping[str, str]) -> tuple[StrategySetting, ...]:
    """Settings in their canonical order."""
    return tuple(StrategySetting(name=name, value=values[name]) for name in sorted(values))
