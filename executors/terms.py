"""Terms under which the executor works: limits, times of the machine, behaviour of the paper venue.

Decides how settings become part of the journal: as canonical JSON in `ExecutorConfigured`, so that a fold of the journal needs
no settings file. Must never read a file or the environment; the shell hands the values over.
"""

import json
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from crossbook.domain.limits import CASH_MICROS, LIMITS, refusal_of_limit
from executors.errors import JournalError
from schemas.records import Venue

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000


#: Quantiles of a latency: (share of orders that are at most this slow, ppm; ns), ascending, from 0 to 1,000,000 ppm.
Quantiles: TypeAlias = tuple[tuple[int, int], ...]
#: Fields of PaperTerms that are left out of the canonical text while they are empty: journals from before they were known, and
#: all that do not use them, keep their bytes.
_OMITTED_EMPTY: Final = ("decide_quantiles", "wire_quantiles", "report_quantiles")


class ExecuteTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the risk gate and times of the machine; names and units are those of the settings section `execute`.

    An operator may change each of them by LimitsChanged, for the trades that open from then on. `cash_micros` is the capital at each
    venue; one that is not in it has none.
    """

    cash_micros: Mapping[Venue, int] = msgspec.field(default_factory=lambda: dict(CASH_MICROS))
    cost_per_leg_micros: int = LIMITS["cost_per_leg_micros"].default
    pairs_open_max: int = LIMITS["pairs_open_max"].default
    category_cost_micros: int = LIMITS["category_cost_micros"].default
    daily_stop_ppm: int = LIMITS["daily_stop_ppm"].default
    weekly_stop_ppm: int = LIMITS["weekly_stop_ppm"].default
    monthly_stop_ppm: int = LIMITS["monthly_stop_ppm"].default
    hedge_timeout_ms: int = LIMITS["hedge_timeout_ms"].default
    hedge_attempts_max: int = LIMITS["hedge_attempts_max"].default
    unwind_attempts_max: int = LIMITS["unwind_attempts_max"].default
    backoff_first_ms: int = LIMITS["backoff_first_ms"].default
    backoff_max_ms: int = LIMITS["backoff_max_ms"].default
    adverse_micros: int = LIMITS["adverse_micros"].default
    adverse_ms: int = LIMITS["adverse_ms"].default
    max_loss_per_trade_micros: int = LIMITS["max_loss_per_trade_micros"].default
    mismatch_max_micros: int = LIMITS["mismatch_max_micros"].default
    send_window_ms: int = LIMITS["send_window_ms"].default
    venue_errors_max: int = LIMITS["venue_errors_max"].default

    def __hash__(self) -> int:
        """Equal terms have equal hashes; a mapping has none of its own."""
        return hash((self.cost_per_leg_micros, self.max_loss_per_trade_micros))

    @property
    def capital_micros(self) -> int:
        """Capital at all venues together, which loss stops are measured by."""
        return sum(self.cash_micros.values())

    def cash_at(self, venue: Venue) -> int:
        """Capital at a venue, micros; 0 where none is configured."""
        return self.cash_micros.get(venue, 0)


class PaperTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The paper venue; names and units are those of the settings section `paper`.

    `finality_ms`: how long a provisional fill is one. `reverse_ppm`: share of them that are reversed.

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
    """The terms with one limit changed, which `refusal_of_limit` must have let pass."""
    assert not refusal_of_limit(name, value), "a limit is checked before it is changed"
    limit, _, venue = name.partition(".")
    changed = {limit: {**terms.execute.cash_micros, venue: value} if venue else value}
    return msgspec.structs.replace(terms, execute=msgspec.structs.replace(terms.execute, **changed))


def at_quantile(quantiles: Quantiles, share_ppm: int) -> int:
    """The latency, ns, that a share of the orders does not exceed: linear between the pairs, in integers."""
    below = quantiles[0]
    for pair in quantiles:
        if pair[0] >= share_ppm:
            width = pair[0] - below[0]
            return pair[1] if not width else below[1] + (pair[1] - below[1]) * (share_ppm - below[0]) // width
        below = pair
    return below[1]
