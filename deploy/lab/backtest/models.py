"""The models of a backtest: latencies and what else is assumed, each by name, as integers and in words.

Decides how a model's text becomes quantiles, which feed or order gets which latency, and how each model is described. Must never
hold a random state: what is drawn is a function of (seed, what it is drawn for), so that batches, speeds and the number of
processes cannot show. Floats stay in the quantiles' arithmetic and leave as ns. Pure.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Final, NamedTuple

import msgspec

from crossbook.domain.money import MICROS
from crossbook.runtime.settings import BacktestSettings
from deploy.lab.backtest.errors import ChangeError
from deploy.lab.outcome.outcome import Model, Positions
from executors.terms import NS_PER_MS, PaperTerms, Quantiles, Terms, at_quantile, quantiles_of

_EVERY_FEED: Final = ""
#: Points of a table: percents, and the tail where latencies hurt.
_SHARES_PPM: Final = (1_000, *range(10_000, 1_000_000, 10_000), 995_000, 999_000, 999_900)
#: Fewer measurements than this are no distribution.
EMPIRICAL_MIN: Final = 20


class FeedLatency(NamedTuple):
    """Latency of each feed's events: quantiles by feed (empty name: all others); `by_venue_stamp` counts from the venue's stamp."""

    quantiles: Mapping[str, Quantiles]
    by_venue_stamp: bool
    seed: int

    def draw_ns(self, feed: str, position: int) -> int:
        """Latency of the event that stands at a position of the log as recorded, ns."""
        quantiles = self.quantiles.get(feed) or self.quantiles.get(_EVERY_FEED)
        if not quantiles:
            return 0
        if quantiles[0].latency_ns == quantiles[-1].latency_ns:
            return quantiles[0].latency_ns
        digest = hashlib.sha256(f"{self.seed}:feed-latency:{feed}:{position}".encode()).digest()
        return at_quantile(quantiles, int.from_bytes(digest[:8], "big") % MICROS)


def lognormal(p50_ms: float, p99_ms: float) -> Quantiles:
    """Quantiles of the lognormal distribution with this median and 99th percentile."""
    sigma = math.log(p99_ms / p50_ms) / NormalDist().inv_cdf(0.99)
    standard = NormalDist()
    points = [
        (ppm, round(p50_ms * math.exp(sigma * standard.inv_cdf(ppm / MICROS)) * NS_PER_MS)) for ppm in _SHARES_PPM
    ]
    return quantiles_of(((0, points[0][1]), *points, (MICROS, points[-1][1])))


def empirical(samples_ns: Sequence[int]) -> Quantiles:
    """Quantiles of measurements. Raises ChangeError when there are too few to be a distribution."""
    if len(samples_ns) < EMPIRICAL_MIN:
        raise ChangeError(
            f"order_latency empirical needs at least {EMPIRICAL_MIN} measured trades, the log's journal has {len(samples_ns)}; "
            "use constant or lognormal:P50/P99"
        )
    ordered = sorted(max(0, sample) for sample in samples_ns)
    last = len(ordered) - 1
    points = [(ppm, ordered[last * ppm // MICROS]) for ppm in _SHARES_PPM]
    return quantiles_of(((0, ordered[0]), *points, (MICROS, ordered[-1])))


def _distribution(text: str, setting: str) -> Quantiles:
    """`P50/P99` in ms, or one number of ms."""
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        numbers = []
    if len(numbers) == 1 and numbers[0] >= 0:
        constant_ns = round(numbers[0] * NS_PER_MS)
        return quantiles_of(((0, constant_ns), (MICROS, constant_ns)))
    if len(numbers) == 2 and 0 < numbers[0] <= numbers[1]:
        return lognormal(*numbers)
    raise ChangeError(f"{setting}: {text!r} is no latency; write MS, or P50/P99 with 0 < P50 ≤ P99, in ms")


def make_feed_latency(settings: BacktestSettings, seed: int) -> FeedLatency | None:
    """The model that a text names; None where events keep their stamps. Raises ChangeError."""
    name, _, rest = settings.feed_latency.partition(":")
    if name == "none" and not rest:
        return None if settings.feed_stamp == "received" else FeedLatency({}, True, seed)
    if name not in {"constant", "lognormal"} or not rest or (name == "lognormal") != ("/" in rest):
        raise ChangeError(
            f"backtest.feed_latency {settings.feed_latency!r} is no model; known are none, constant:MS, lognormal:P50/P99, and "
            "by feed, as in constant:polymarket=30,kalshi=5"
        )
    quantiles: dict[str, Quantiles] = {}
    for part in rest.split(","):
        feed, found, value = part.partition("=")
        quantiles[feed.strip() if found else _EVERY_FEED] = _distribution(
            value if found else feed, "backtest.feed_latency"
        )
    return FeedLatency(quantiles, settings.feed_stamp == "venue", seed)


def with_order_latency(terms: Terms, text: str, measured_ns: Sequence[int]) -> Terms:
    """The terms with the order latency that a text names; `measured_ns` are the journal's tick_to_plan. Raises ChangeError."""
    name, _, rest = text.partition(":")
    if text == "constant":
        return terms
    if text == "empirical":
        quantiles = empirical(measured_ns)
        changed = msgspec.structs.replace(
            terms.paper, decide_quantiles=quantiles, decide_latency_ms=_nearest_ms(quantiles)
        )
    elif name == "lognormal" and rest:
        quantiles = _distribution(rest, "backtest.order_latency")
        changed = msgspec.structs.replace(terms.paper, wire_quantiles=quantiles, wire_latency_ms=_nearest_ms(quantiles))
    else:
        raise ChangeError(
            f"backtest.order_latency {text!r} is no model; known are constant, lognormal:P50/P99 and empirical"
        )
    return msgspec.structs.replace(terms, paper=changed)


def _nearest_ms(quantiles: Quantiles) -> int:
    """The median in whole ms: what the machine expects of an order."""
    return (at_quantile(quantiles, MICROS // 2) + NS_PER_MS // 2) // NS_PER_MS


def describe(settings: BacktestSettings, paper: PaperTerms, positions: Positions) -> tuple[Model, ...]:
    """Every assumption of a run, in words."""
    return (
        _positions_model(positions),
        _order_latency_model(settings, paper),
        _feed_latency_model(settings, positions),
        Model(
            "taker_delay",
            "as listed" if settings.taker_delay_ms < 0 else f"{settings.taker_delay_ms} ms",
            "time that a venue holds a taker's order back before it is matched"
            + (", from each InstrumentListed" if settings.taker_delay_ms < 0 else ", the same for every instrument"),
        ),
        Model(
            "consumed_depth",
            "remembered",
            "what we took is gone until the level displays more than ever since, which alone is new, or has been empty; a new poll "
            "of the same resting order grants nothing",
        ),
        Model(
            "matching",
            "displayed depth",
            "a marketable order takes displayed levels up to its limit, of the book that stands at its arrival; of a polled one at its "
            "next poll; others do not react to us",
        ),
        Model("resting_orders", "none", "the machine sends immediate orders only, so no queue position is assumed"),
        Model("faults", _faults(paper), "seeded by order, in ppm of orders: rejected, partly filled, depth gone, reported late"),
        Model(
            "reversal",
            f"{paper.reverse_ppm} ppm after {paper.finality_ms} ms",
            "share of Polymarket fills that are matched and then fail on chain, and when a fill is final",
        ),
        Model("settlement", "as logged", "payouts are those that the log holds, from the moment it holds them"),
        Model("fees", "schedule in force", "each fill pays the schedule that its instrument was last listed with at the fill"),
    )  # fmt: skip


def _positions_model(positions: Positions) -> Model:
    if positions == "logged":
        return Model(
            "positions", "logged", "the market as it was recorded, event by event; decide sees what it saw live"
        )
    return Model(
        "positions",
        "simulated",
        "market events stamped and ordered anew by the feed latency; differences to the live run are reported, not mismatches. "
        "The paper venue matches on the same delayed books as decide",
    )


def _order_latency_model(settings: BacktestSettings, paper: PaperTerms) -> Model:
    parts = [
        f"{name} {_shown(quantiles) if quantiles else f'{constant} ms'}"
        for name, quantiles, constant in (
            ("decide", paper.decide_quantiles, paper.decide_latency_ms),
            ("wire", paper.wire_quantiles, paper.wire_latency_ms),
            ("report", paper.report_quantiles, paper.report_latency_ms),
        )
    ]
    return Model(
        "order_latency",
        f"{settings.order_latency} ({', '.join(parts)})",
        "cause to request, request to the venue's engine, match to report; where a distribution is given, drawn for each order by "
        "its id and the seed",
    )


def _shown(quantiles: Quantiles) -> str:
    p50, p99 = (at_quantile(quantiles, ppm) / NS_PER_MS for ppm in (500_000, 990_000))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms"


def _feed_latency_model(settings: BacktestSettings, positions: Positions) -> Model:
    if positions == "logged" or (settings.feed_latency == "none" and settings.feed_stamp == "received"):
        return Model("feed_latency", "as recorded", "events count when our producer received them")
    basis = "the venue's stamp, where it has one" if settings.feed_stamp == "venue" else "the stamp of our producer"
    return Model(
        "feed_latency",
        settings.feed_latency,
        f"added to {basis}; within a feed the order is kept, feeds are merged by time",
    )


def _faults(paper: PaperTerms) -> str:
    shares = {
        "rejected": paper.reject_ppm,
        "partial": paper.partial_ppm,
        "gone": paper.vanish_ppm,
        "late": paper.late_ppm,
    }
    return ", ".join(f"{name} {ppm}" for name, ppm in shares.items() if ppm) or "none"
