"""How long an order takes on its ways at the paper venue: functions of terms and order id alone, whatever portfolio it names.

Must never draw a number or read a clock: equal orders take equally long, live, in a replay and in a backtest.
"""

import hashlib

from crossbook.domain.money import MICROS
from executors.terms import NS_PER_MS, PaperTerms, Quantiles, at_quantile
from executors.venues.paper_faults import drawn_by


def request_latency_ns(terms: PaperTerms, order_id: str) -> int:
    """From the request of this order to the venue's engine, ns: a function of terms and id alone."""
    return decide_latency_ns(terms, order_id) + wire_latency_ns(terms, order_id)


def decide_latency_ns(terms: PaperTerms, order_id: str) -> int:
    """From the cause of this order to the moment it leaves, as the terms assume it, ns."""
    return _drawn_ns(terms, "decide", order_id, terms.decide_quantiles, terms.decide_latency_ms)


def wire_latency_ns(terms: PaperTerms, order_id: str) -> int:
    """From the moment this order leaves to the venue's engine, ns."""
    return _drawn_ns(terms, "wire", order_id, terms.wire_quantiles, terms.wire_latency_ms)


def report_latency_ns(terms: PaperTerms, order_id: str) -> int:
    """From a match of this order to its report, ns: a function of terms and id alone."""
    return _drawn_ns(terms, "report", order_id, terms.report_quantiles, terms.report_latency_ms)


def _drawn_ns(terms: PaperTerms, kind: str, order_id: str, quantiles: Quantiles, constant_ms: int) -> int:
    if not quantiles:
        return constant_ms * NS_PER_MS
    digest = hashlib.sha256(f"{terms.seed}:{kind}-latency:{drawn_by(order_id)}".encode()).digest()
    return at_quantile(quantiles, int.from_bytes(digest[:8], "big") % MICROS)
