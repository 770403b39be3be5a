"""What a backtest is asked for: a range, a mode, and the settings that differ from those of the log.

Decides which settings may be changed, what a value means, and which runs a sweep consists of. Must never let an unknown name pass:
a misspelt limit must not be a limit ignored.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any, Final, Literal

from pydantic import ValidationError

from crossbook.domain.limits import CASH
from crossbook.domain.names import VENUES
from crossbook.runtime.settings import (
    BacktestSettings,
    DecideSettings,
    ExecuteSettings,
    PaperSettings,
    PortfolioSettings,
    Section,
)
from deploy.lab.backtest.errors import ChangeError
from deploy.lab.log_range import Bound
from deploy.lab.outcome.outcome import Positions
from schemas.topics import MAIN

#: Sections whose settings a backtest may change.
SECTIONS: Final[Mapping[str, type[Section]]] = {
    "decide": DecideSettings,
    "execute": ExecuteSettings,
    "paper": PaperSettings,
    "backtest": BacktestSettings,
}
#: Settings of the shells alone: changing them changes nothing here.
NO_EFFECT: Final = frozenset(
    {
        "decide.checkpoint_events",
        "execute.portfolio",
        "execute.checkpoint_events",
        "execute.advice_max_age_ms",
        "execute.lag_limit_ms",
    }
)
RUNS_MAX: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """What is traded, as `deploy.lab.log_range` reads bounds; the end is not in it, None is the log's own.

    decide folds what lies before it in silence, because its decisions rest on all of it. A time is stream time.
    """

    begin: Bound | None = None
    end: Bound | None = None

    def begins(self, partition: int, position: int, now_ns: int) -> bool:
        """Whether a record lies at or after the beginning."""
        return self.begin is None or _reached(self.begin, partition, position, now_ns, default=True)

    def ends(self, partition: int, position: int, now_ns: int) -> bool:
        """Whether a record lies at or after the end."""
        return self.end is not None and _reached(self.end, partition, position, now_ns, default=False)

    def end_position(self, partition: int) -> int | None:
        """Position that is not in the range any more; None where a time, or nothing, says when it ends."""
        return None if self.end is None or self.end.positions is None else _position(self.end.positions, partition)


def _reached(bound: Bound, partition: int, position: int, now_ns: int, *, default: bool) -> bool:
    if bound.positions is None:
        return bound.ts_ns is None or now_ns >= bound.ts_ns
    wanted = _position(bound.positions, partition)
    return default if wanted is None else position >= wanted


def _position(positions: Mapping[int, int], partition: int) -> int | None:
    return positions.get(partition, positions.get(-1))


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestOptions:
    """One run. `changes` are flat (`decide.min_edge_micros`) and typed as `parse_changes` gives them.

    `execute`, `paper` and `backtest` are the settings in force where the log names none of its own; `own` those in which the portfolio
    differs from them, None where no settings name it, so that its journal must be in the log. `seed` replaces that of the
    paper venue. `guards` says whether a look-ahead stops the run or is only counted among the warnings.
    """

    name: str = "backtest"
    positions: Positions = "logged"
    changes: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    range: Range = Range()
    portfolio: str = MAIN
    own: PortfolioSettings | None = None
    execute: ExecuteSettings = field(default_factory=ExecuteSettings)
    paper: PaperSettings = field(default_factory=PaperSettings)
    backtest: BacktestSettings = field(default_factory=BacktestSettings)
    guards: Literal["raise", "warn"] = "raise"

    def changed(self, section: str) -> dict[str, Any]:
        """Changes of one section by their short names."""
        head = f"{section}."
        return {name.removeprefix(head): value for name, value in self.changes.items() if name.startswith(head)}


def known_settings() -> tuple[str, ...]:
    """Every name that --set and --sweep take."""
    names = {f"{section}.{name}" for section, model in SECTIONS.items() for name in model.model_fields}
    cash = f"execute.{CASH}"
    return tuple(sorted((names - NO_EFFECT - {cash}) | {f"{cash}.{venue}" for venue in VENUES}))


def parse_changes(texts: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` texts. Raises ChangeError for an unknown key, with the nearest known ones, or for a value that cannot be."""
    changes: dict[str, Any] = {}
    for text in texts:
        name, found, value = text.partition("=")
        if not found:
            raise ChangeError(f"--set {text!r} has no value; write --set {text}=VALUE")
        changes[name.strip()] = parse_value(name.strip(), value.strip())
    return changes


def parse_value(name: str, text: str) -> Any:
    """The value of a setting as its section types it. Raises ChangeError as `parse_changes` does."""
    if name not in known_settings():
        near = difflib.get_close_matches(name, known_settings(), n=3, cutoff=0.5)
        near = near or [known for known in known_settings() if known.endswith(f".{name}")]
        hint = f"; did you mean {', '.join(near)}?" if near else f"; known are {', '.join(known_settings())}"
        raise ChangeError(f"no setting is called {name!r}{hint}")
    section, _, short = name.partition(".")
    short, _, venue = short.partition(".")
    try:
        value = getattr(SECTIONS[section].model_validate({short: {venue: text} if venue else text}), short)
        return getattr(value, venue) if venue else value
    except ValidationError as error:
        raise ChangeError(f"setting {name}: {error.errors()[0]['msg']} (was {text!r})") from error


def parse_sweep(texts: Sequence[str]) -> list[dict[str, Any]]:
    """The runs of `key=a,b,c` texts: every combination, the last key changing fastest.

    A value that holds commas itself (a model per feed) is written with `;` between the values instead. Raises ChangeError.
    """
    axes: list[list[tuple[str, Any]]] = []
    for text in texts:
        name, found, values = text.partition("=")
        if not found or not values.strip():
            raise ChangeError(f"--sweep {text!r} has no values; write --sweep {name}=A,B,C")
        if name.strip() in {axis[0][0] for axis in axes}:
            raise ChangeError(f"--sweep {name} was given twice; give all its values at once")
        parts = values.split(";" if ";" in values else ",")
        axis = [(name.strip(), parse_value(name.strip(), part.strip())) for part in parts]
        axes.append(list(dict.fromkeys(axis)))
    runs = [dict(one) for one in product(*axes)] if axes else []
    if len(runs) > RUNS_MAX:
        raise ChangeError(f"the sweep has {len(runs):,} runs; more than {RUNS_MAX:,} are not begun")
    return runs
