"""Terms under which the executor works: limits, times of the machine, behaviour of the paper venue.

Decides what follows from them: a limit changed, a latency as it is expected or drawn. Fields, defaults and bounds are those of
`schemas/records/terms.py`; the shell hands the values over, and the journal holds them in `ExecutorConfigured`, so that a fold of it needs
no settings file. Must never read a file or the environment.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from crossbook.domain.limits import CASH, refusal_of_limit
from schemas.records import ExecuteTerms, PaperTerms, Quantile, Venue, VenueCash

__all__ = [
    "NS_PER_MS",
    "NS_PER_S",
    "ExecuteTerms",
    "PaperTerms",
    "Quantiles",
    "Terms",
    "at_quantile",
    "capital_micros",
    "cash_at",
    "cash_by_venue",
    "make_terms",
    "quantiles_of",
    "report_ns",
    "request_min_ns",
    "request_ns",
    "venue_cash",
    "with_limit",
]

NS_PER_MS: Final = 1_000_000
NS_PER_S: Final = 1_000_000_000

#: A distribution of latencies: points that ascend in both, from 0 to 1,000,000 ppm.
Quantiles: TypeAlias = tuple[Quantile, ...]


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the execution machine is told."""

    execute: ExecuteTerms = ExecuteTerms()
    paper: PaperTerms = PaperTerms()


def make_terms(execute: Mapping[str, Any], paper: Mapping[str, Any]) -> Terms:
    """Terms of two settings sections given as mappings; keys that concern only the shell are left out."""
    limits: dict[str, Any] = {name: value for name, value in execute.items() if name in ExecuteTerms.__struct_fields__}
    if CASH in limits:
        limits[CASH] = venue_cash(limits[CASH])
    return Terms(
        execute=ExecuteTerms(**limits),
        paper=PaperTerms(**{name: value for name, value in paper.items() if name in PaperTerms.__struct_fields__}),
    )


def venue_cash(micros: Mapping[Venue, int]) -> tuple[VenueCash, ...]:
    """Capital by venue as the terms hold it."""
    return tuple(VenueCash(venue=venue, cash_micros=capital) for venue, capital in micros.items())


def cash_by_venue(execute: ExecuteTerms) -> dict[Venue, int]:
    """Capital at each venue that is named, micros."""
    return {one.venue: one.cash_micros for one in execute.cash_micros}


def cash_at(execute: ExecuteTerms, venue: Venue) -> int:
    """Capital at a venue, micros; 0 where none is configured."""
    for one in execute.cash_micros:
        if one.venue == venue:
            return one.cash_micros
    return 0


def capital_micros(execute: ExecuteTerms) -> int:
    """Capital at all venues together, which loss stops are measured by."""
    return sum(one.cash_micros for one in execute.cash_micros)


def request_min_ns(paper: PaperTerms) -> int:
    """From request to the venue's engine at the earliest, ns."""
    decide = paper.decide_quantiles[0].latency_ns if paper.decide_quantiles else paper.decide_latency_ms * NS_PER_MS
    wire = paper.wire_quantiles[0].latency_ns if paper.wire_quantiles else paper.wire_latency_ms * NS_PER_MS
    return decide + wire


def request_ns(paper: PaperTerms) -> int:
    """From request to the venue's engine as expected, ns."""
    return (paper.decide_latency_ms + paper.wire_latency_ms) * NS_PER_MS


def report_ns(paper: PaperTerms) -> int:
    """From match to report as expected, ns."""
    return paper.report_latency_ms * NS_PER_MS


def quantiles_of(points: Iterable[tuple[int, int]]) -> Quantiles:
    """A distribution of (share of orders in ppm, latency in ns) pairs."""
    return tuple(Quantile(share_ppm=share, latency_ns=latency) for share, latency in points)


def with_limit(terms: Terms, name: str, value: int) -> Terms:
    """The terms with one limit changed, which `refusal_of_limit` must have let pass."""
    assert not refusal_of_limit(name, value), "a limit is checked before it is changed"
    limit, _, venue = name.partition(".")
    changed = {limit: venue_cash(cash_by_venue(terms.execute) | {venue: value}) if venue else value}
    return msgspec.structs.replace(terms, execute=msgspec.structs.replace(terms.execute, **changed))


def at_quantile(quantiles: Quantiles, share_ppm: int) -> int:
    """The latency, ns, that a share of the orders does not exceed: linear between the points, in integers."""
    below = quantiles[0]
    for point in quantiles:
        if point.share_ppm >= share_ppm:
            width = point.share_ppm - below.share_ppm
            rise = point.latency_ns - below.latency_ns
            return point.latency_ns if not width else below.latency_ns + rise * (share_ppm - below.share_ppm) // width
        below = point
    return below.latency_ns
