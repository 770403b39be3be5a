"""Settings that an executor works under, as its journal holds them: each field is defined here and nowhere else.

A field has a name whose last word is its unit, a default, the smallest and the largest value that it may take, and a text. Sections of
settings, limits that operators change, the Avro record and the page of settings follow from it (`schemas/terms.py`).
"""

from typing import Annotated, Final

from msgspec import Meta

from schemas.records.base import Record, Venue

_MICROS: Final = 10**6
#: A billion dollars: above every capital that this executor will see, and far below where sums could leave 64 bits.
_MONEY_MAX: Final = 10**9 * _MICROS
#: Until when a trade may send orders: no time of the machine makes sense above it.
_TRADE_MS_MAX: Final = 600_000


class VenueCash(Record, frozen=True, kw_only=True, gc=False):
    """Capital at one venue."""

    venue: Annotated[Venue, Meta(description="the venue")]
    cash_micros: Annotated[int, Meta(ge=0, le=_MONEY_MAX, description="capital there")]


class ExecuteTerms(Record, frozen=True, kw_only=True, gc=False):
    """Limits of the risk gate and times of the machine; an operator may change each of them, for the trades that open from then on."""

    cash_micros: Annotated[
        tuple[VenueCash, ...],
        Meta(description="capital at each venue, which loss stops are measured by; a venue that is not named has none"),
    ] = (
        VenueCash(venue="polymarket", cash_micros=5_000 * _MICROS),
        VenueCash(venue="kalshi", cash_micros=5_000 * _MICROS),
    )
    cost_per_leg_micros: Annotated[
        int, Meta(ge=0, le=_MONEY_MAX, description="largest cost incl. fees per leg, market and venue")
    ] = 250 * _MICROS
    pairs_open_max: Annotated[int, Meta(ge=0, le=10_000, description="most pairs open at once")] = 8
    category_cost_micros: Annotated[int, Meta(ge=0, le=_MONEY_MAX, description="largest cost in one category")] = (
        2_500 * _MICROS
    )
    daily_stop_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="loss of equity in a day that halts")] = 10_000
    weekly_stop_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="loss of equity in a week that halts")] = 30_000
    monthly_stop_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="loss of equity in a month that halts")] = (
        50_000
    )
    hedge_timeout_ms: Annotated[int, Meta(ge=1, le=_TRADE_MS_MAX, description="time-out after the expected match")] = (
        250
    )
    # A plan covers every order that may follow: two directions of a hedge attempt, four ways of an unwind.
    hedge_attempts_max: Annotated[int, Meta(ge=1, le=10, description="attempts of the hedge")] = 3
    unwind_attempts_max: Annotated[
        int, Meta(ge=1, le=10, description="attempts of the unwind before the trade is stuck")
    ] = 3
    backoff_first_ms: Annotated[int, Meta(ge=1, le=_TRADE_MS_MAX, description="first wait between attempts")] = 100
    backoff_max_ms: Annotated[int, Meta(ge=1, le=_TRADE_MS_MAX, description="largest wait between attempts")] = 800
    adverse_micros: Annotated[
        int, Meta(ge=0, le=_MICROS, description="hedge price this much worse than planned counts as adverse")
    ] = 15_000
    adverse_ms: Annotated[int, Meta(ge=1, le=_TRADE_MS_MAX, description="adverse for this long unwinds")] = 5_000
    max_loss_per_trade_micros: Annotated[
        int, Meta(ge=0, le=_MONEY_MAX, description="largest completion loss accepted to hedge")
    ] = 10 * _MICROS
    mismatch_max_micros: Annotated[
        int, Meta(ge=0, le=10**6 * _MICROS, description="unmatched contracts above this after the attempts unwind")
    ] = _MICROS
    # With the paper venue's patience (12 s) it stays within the horizon after which a silent order counts as dead (15 s).
    send_window_ms: Annotated[
        int, Meta(ge=1, le=3_000, description="a request may leave this long after its commit")
    ] = 300
    venue_errors_max: Annotated[
        int, Meta(ge=1, le=1_000, description="rejections in a row at a venue that open its breaker")
    ] = 5


class Quantile(Record, frozen=True, kw_only=True, gc=False):
    """One point of a distribution of latencies."""

    share_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="share of orders that are at most this slow")]
    latency_ns: Annotated[int, Meta(ge=0, description="the latency")]


class PaperTerms(Record, frozen=True, kw_only=True, gc=False):
    """The paper venue. Where quantiles are given, they ascend in both, and an order's own latency is drawn from them; the constant of the same name is what the machine expects."""

    decide_latency_ms: Annotated[int, Meta(ge=0, description="time from cause to request")] = 10
    wire_latency_ms: Annotated[int, Meta(ge=0, description="time from request to the venue's engine")] = 40
    report_latency_ms: Annotated[int, Meta(ge=0, description="time from match to report")] = 20
    seed: Annotated[int, Meta(description="seed of its faults")] = 7
    reject_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="share of orders rejected")] = 0
    partial_ppm: Annotated[
        int, Meta(ge=0, le=_MICROS, description="share of marketable orders that fill only in part")
    ] = 0
    vanish_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="share of orders that find the depth gone")] = 0
    late_ppm: Annotated[int, Meta(ge=0, le=_MICROS, description="share of orders whose report comes late")] = 0
    late_ms: Annotated[int, Meta(ge=0, description="how late a late report is")] = 400
    finality_ms: Annotated[
        int, Meta(ge=0, description="time until a provisional fill is final (at Polymarket, mined)")
    ] = 2_000
    reverse_ppm: Annotated[
        int,
        Meta(
            ge=0, le=_MICROS, description="share of provisional fills that are reversed (at Polymarket, fail on chain)"
        ),
    ] = 0
    decide_quantiles: Annotated[
        tuple[Quantile, ...], Meta(description="distribution of the time from cause to request; empty: the constant")
    ] = ()
    wire_quantiles: Annotated[
        tuple[Quantile, ...],
        Meta(description="distribution of the time from request to the venue's engine; empty: the constant"),
    ] = ()
    report_quantiles: Annotated[
        tuple[Quantile, ...], Meta(description="distribution of the time from match to report; empty: the constant")
    ] = ()
