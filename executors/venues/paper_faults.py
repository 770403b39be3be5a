"""Faults of the paper venue: drawn by a hash of the seed and the subject, so that they are part of every replay."""

import hashlib

from crossbook.domain.money import MICROS
from executors.terms import PaperTerms
from schemas.records import OrderRequested


def vanishes(request: OrderRequested, terms: PaperTerms) -> bool:
    """Depth gone before we came: for all hedges of a trade in an instrument, or for a single other order."""
    subject = f"{request.trade_id}/{request.instrument_id}" if request.role == "hedge" else request.order_id
    return fault(terms, "vanish", subject, terms.vanish_ppm)


def drawn_by(name: str) -> str:
    """What of an id of an order, a trade or a fill a draw depends on: all but the portfolio, so that equal orders of two portfolios meet equal luck."""
    return name.partition("-")[2] or name


def fault(terms: PaperTerms, kind: str, subject: str, ppm: int) -> bool:
    """Whether this fault hits this subject, where it hits so many of a million."""
    if not ppm:
        return False
    digest = hashlib.sha256(f"{terms.seed}:{kind}:{drawn_by(subject)}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % MICROS < ppm
