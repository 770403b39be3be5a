"""Terms under which the executor works: limits, times of the machine, behaviour of the paper venue.

Decides how settings become part of the journal: as canonical JSON in `ExecutorConfigured`, so that a fold of the journal needs
no settings file. Must never read a file or the environment; the shell hands the values over.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from executors.errors import JournalError

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


#: Quantiles of a latency: (share of orders that are at most this slow, ppm; ns), ascending, from 0 to 1,000,000 ppm.
Quantiles: TypeAlias = tuple[tuple[int, int], ...]
#: Fields of PaperTerms that are left out of the canonical text while they are empty: journals from before they were known, and
#: all that do not use them, keep their bytes.
_OMITTED_EMPTY: Final = ("decide_quantiles", "wire_quantiles", "report_quantiles")


class ExecuteTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the risk gate and times of the machine; names and units are those of the settings section `execute`."""

    cash_per_venue_micros: int = 5_000_000_000
    cost_per_leg_micros: int = 250_000_000
    pairs_open_max: int = 8
    category_cost_micros: int = 2_500_000_000
    daily_stop_ppm: int = 10_000
    weekly_stop_ppm: int = 30_000
    monthly_stop_ppm: int = 50_000
    hedge_timeout_ms: int = 250
    hedge_attempts_max: int = 3
    unwind_attempts_max: int = 3
    backoff_first_ms: int = 100
    backoff_max_ms: int = 800
    adverse_micros: int = 15_000
    adverse_ms: int = 5_000
    max_loss_per_trade_micros: int = 10_000_000
    mismatch_max_micros: int = 1_000_000
    send_window_ms: int = 300
    venue_errors_max: int = 5


class PaperTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The paper venue; names and units are those of the settings section `paper`.

    `finality_ms`: how long a Polymarket fill is provisional. `reverse_ppm`: share of its fills that never get mined.

    `decide_quantiles`, `wire_quantiles`, `report_quantiles`: where given, an order's own latency is drawn from these quantiles,
    pairs of (share of orders in ppm, ns) that ascend in both, in place of the constant of the same name; which then is what the
    machine expects. They are integers, so that a fold of the journal draws the same everywhere.
    """

    decide_latency_ms: int = 10
    wire_latency_ms: int = 40
    report_latency_ms: int = 20
    seed: int = 7
    reject_ppm: int = 0
    partial_ppm: int = 0
    vanish_ppm: int = 0
    late_ppm: int = 0
    late_ms: int = 400
    finality_ms: int = 2_000
    reverse_ppm: int = 0
    decide_quantiles: Quantiles = ()
    wire_quantiles: Quantiles = ()
    report_quantiles: Quantiles = ()

    @property
    def request_min_ns(self) -> int:
        """From request to the venue's engine at the earliest, ns."""
        decide = self.decide_quantiles[0][1] if self.decide_quantiles else self.decide_latency_ms * NS_PER_MS
        wire = self.wire_quantiles[0][1] if self.wire_quantiles else self.wire_latency_ms * NS_PER_MS
        return decide + wire

    @property
    def request_ns(self) -> int:
        """From request to the venue's engine as expected, ns."""
        return (self.decide_latency_ms + self.wire_latency_ms) * NS_PER_MS

    @property
    def report_ns(self) -> int:
        """From match to report as expected, ns."""
        return self.report_latency_ms * NS_PER_MS


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the execution machine is told."""

    execute: ExecuteTerms = ExecuteTerms()
    paper: PaperTerms = PaperTerms()


#: Limits that an operator may change by LimitsChanged: every field of the risk gate and the machine.
LIMIT_NAMES: Final = frozenset(ExecuteTerms.__struct_fields__)


def make_terms(execute: Mapping[str, Any], paper: Mapping[str, Any]) -> Terms:
    """Terms of two settings sections given as mappings; keys that concern only the shell are left out."""
    return Terms(
        execute=ExecuteTerms(**{k: v for k, v in execute.items() if k in ExecuteTerms.__struct_fields__}),
        paper=PaperTerms(**{k: v for k, v in paper.items() if k in PaperTerms.__struct_fields__}),
    )


def canonical_terms(terms: Terms) -> str:
    """The terms as JSON with sorted keys and no spaces: equal terms, equal text."""
    values = msgspec.to_builtins(terms)
    values["paper"] = {k: v for k, v in values["paper"].items() if v or k not in _OMITTED_EMPTY}
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def parse_terms(text: str) -> Terms:
    """Read the terms from an `ExecutorConfigured`. Raises JournalError if the text is none."""
    try:
        return msgspec.json.decode(text, type=Terms)
    except msgspec.DecodeError as error:
        raise JournalError(f"the settings in an ExecutorConfigured are no terms: {error}") from error


def with_limit(terms: Terms, name: str, value: int) -> Terms:
    """The terms with one limit changed. Raises JournalError for a name that is no limit."""
    if name not in LIMIT_NAMES:
        raise JournalError(f"no limit is called {name!r}; known are {', '.join(sorted(LIMIT_NAMES))}")
    return msgspec.structs.replace(terms, execute=msgspec.structs.replace(terms.execute, **{name: value}))


def at_quantile(quantiles: Quantiles, share_ppm: int) -> int:
    """The latency, ns, that a share of the orders does not exceed: linear between the pairs, in integers."""
    below = quantiles[0]
    for pair in quantiles:
        if pair[0] >= share_ppm:
            width = pair[0] - below[0]
            return pair[1] if not width else below[1] + (pair[1] - below[1]) * (share_ppm - below[0]) // width
        below = pair
    return below[1]
