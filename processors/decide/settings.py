"""Says what decide announces at its start: the settings of the market and of each strategy, and the code that folds.

Decides which strategies run: the cross-venue pair, under the section `decide` itself, and those that `decide.strategies` names. The
section is the one definition of the pair's settings (default, bounds, unit, text); their names change only from ms and s to ns, as
records have them. Settings take effect when the log carries them.
"""

from collections.abc import Mapping
from typing import Any, Final

from crossbook.market.configuration import MARKET_TERMS, as_settings
from crossbook.runtime.settings import DecideSettings
from processors.errors import StrategySettingsError
from processors.strategies.base import Strategies
from processors.strategies.cross_venue.settings import NAME, CrossVenueSettings
from processors.strategies.table import STRATEGIES
from schemas.records import DecideAnnounced, StrategyAnnounced

#: Last word of a setting's name → ns.
UNITS_NS: Final = {"ms": 1_000_000, "s": 1_000_000_000}


def announcement(
    settings: DecideSettings, code_digest: str, *, ts_ns: int, operator: str, strategies: Strategies = STRATEGIES
) -> DecideAnnounced:
    """The record that decide writes to `control`.

    Raises:
        StrategySettingsError: a strategy is unknown, or cannot work under its settings.
    """
    fields = in_ns(settings.model_dump(exclude={"strategies"}))
    given: dict[str, Mapping[str, Any]] = dict(settings.strategies)
    if NAME in strategies:
        given[NAME] = {name: fields[name] for name in CrossVenueSettings.__struct_fields__}
    return DecideAnnounced(
        ts_ns=ts_ns,
        operator=operator,
        code_digest=code_digest,
        strategies=tuple(_announced(name, given[name], strategies) for name in sorted(given)),
        **{name: fields[name] for name in MARKET_TERMS if name in fields},
    )


def _announced(name: str, values: Mapping[str, Any], strategies: Strategies) -> StrategyAnnounced:
    if name not in strategies:
        raise StrategySettingsError(f"decide.strategies.{name}: no such strategy; there are {', '.join(strategies)}")
    texts = {key: str(value) for key, value in values.items()}
    strategy = strategies[name]()
    strategy.configure(texts)
    return StrategyAnnounced(strategy=name, version=strategy.version, settings=as_settings(texts))


def in_ns(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings under the names that records have: `_ms` and `_s` become `_ns`."""
    fields: dict[str, Any] = {}
    for name, value in values.items():
        stem, _, unit = name.rpartition("_")
        if unit in UNITS_NS:
            fields[f"{stem}_ns"] = value * UNITS_NS[unit]
        else:
            fields[name] = value
    return fields
