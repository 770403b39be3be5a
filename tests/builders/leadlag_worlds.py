"""Price series with a known lead: a latent random walk, seen by two tick processes that update at random times of their own."""

import msgspec
import numpy as np

from processors.leadlag.statistics import Ticks
from schemas.records import ReferenceTop, TopOfBook, Watermark

S = 1_000_000_000
MS = 1_000_000
T0 = 1_780_000_000 * S
#: Resolution of the latent walk; updates fall on it.
GRID_NS = 10 * MS


def world(seed, *, rate_a, rate_b, lead_ms=0, correlation=0.8, seconds=600, margin_s=60):
    """Ticks of a and b: a moves `lead_ms` before b; rates in updates a second, Poisson. `seconds` start at T0."""
    rng = np.random.default_rng(seed)
    count = (seconds + margin_s) * S // GRID_NS
    common = rng.standard_normal(count)
    other = correlation * common + np.sqrt(1 - correlation**2) * rng.standard_normal(count)
    late = lead_ms * MS // GRID_NS
    path_a, path_b = np.cumsum(common), np.cumsum(np.roll(other, late))
    start = T0 - margin_s * S
    return (
        _seen(rng, path_a, rate_a, start),
        _seen(rng, path_b, rate_b, start),
    )


def _seen(rng, path, rate, start_ns):
    updates = np.flatnonzero(rng.random(len(path)) < rate * GRID_NS / S)
    return Ticks(start_ns + updates * GRID_NS, path[updates])


def planted_signals(seed, *, a, b, group, lead_ms, seconds, rate=8.0, log_id="0123456789abcdef" * 2):
    """Key and record of `signals` in which a leads b: tops, and a watermark every second."""
    ticks_a, ticks_b = world(seed, rate_a=rate, rate_b=rate, lead_ms=lead_ms, seconds=seconds, margin_s=0)
    events = [(int(at), a, value) for at, value in zip(*ticks_a, strict=True)]
    events += [(int(at), b, value) for at, value in zip(*ticks_b, strict=True)]
    events += [(T0 + second * S, "", 0.0) for second in range(1, seconds + 1)]
    return [
        (group, top(at, position, name, 50_000_000 + round(value * 1_000), log_id))
        if name
        else (None, watermark(at, position, log_id))
        for position, (at, name, value) in enumerate(sorted(events))
    ]


def top(ts_ns, position, name, mid, log_id="0123456789abcdef" * 2, *, valid=True, fresh=True):
    return TopOfBook(
        ts_ns=ts_ns,
        log_id=log_id,
        partition=0,
        position=position,
        index=0,
        instrument_id=name,
        valid=valid,
        fresh=fresh,
        bid_price_micros=mid - 5_000,
        bid_size_micros=1_000_000,
        ask_price_micros=mid + 5_000,
        ask_size_micros=1_000_000,
        ts_received_ns=ts_ns,
    )


def reference_top(record):
    """The same price as that of a reference."""
    fields = msgspec.structs.asdict(record)
    return ReferenceTop(reference_id=fields.pop("instrument_id"), **fields)


def watermark(ts_ns, position, log_id="0123456789abcdef" * 2):
    return Watermark(ts_ns=ts_ns, log_id=log_id, partition=0, position=position, index=0, intents=0, clamped=0)
