"""A seeded lively market for decide, two crossing books, and the digest of what a fold wrote."""

import hashlib
import random

from schemas.codec import load_codec
from tests.builders import market_records as mr
from tests.builders.market_records import CONTRACT, MS, T0, A, B

BIG = 100 * CONTRACT


def books(ts_ns=T0 + MS, *, ask_a=400_000, bid_b=460_000, size=BIG, sequence=1):
    """YES costs `ask_a` at A and can be sold (NO bought at 1 - bid) at `bid_b` at B."""
    return [
        mr.snapshot(A, ts_ns, sequence, bids=[(ask_a - 10_000, size)], asks=[(ask_a, size)]),
        mr.snapshot(B, ts_ns, sequence, bids=[(bid_b, size)], asks=[(bid_b + 10_000, size)]),
    ]


def trading_word(rng, feed, ts_ns):
    """A venue that may pause now or soon, or a fee that changes soon."""
    if rng.random() < 0.4:
        dearer = mr.fees_from(ts_ns + 250 * MS, mr.KALSHI_FEES, taker_rate_ppm=rng.randrange(60, 80) * 1_000)
        return mr.instrument("kalshi:T0", ts_ns, fee_changes=(dearer,))
    ahead = ts_ns + rng.randrange(1, 200) * MS
    pauses = ((ahead, ahead + 300 * MS),) if rng.random() < 0.7 else ()
    return mr.venue(feed, ts_ns, trading=rng.random() < 0.8, pauses=pauses)


def lively_market(events=1_500, seed=5, pairs=2):
    """A seeded market of crossing random walks with holes, duplicates, resyncs, silence, late stamps and a jump."""
    rng = random.Random(seed)
    records = [
        mr.opened(),
        *mr.settings(min_edge_micros=0, cooldown_ns=300 * MS),
        mr.friction(gas_micros=1_000, fx_ppm=100),
    ]
    ids, sequences, sessions, mids = [], {}, {"kalshi": 1, "polymarket": 1}, {}
    for number in range(pairs):
        a, b = f"kalshi:T{number}", f"polymarket:0x{number}"
        records += [mr.instrument(a), mr.instrument(b), mr.pair(pair_id=f"pair{number}", a=a, b=b)]
        ids += [a, b]
        mids[a] = mids[b] = 500
    ts_ns = T0
    records += [mr.status(feed, ts_ns) for feed in sessions]
    beat_ns = ts_ns
    for event in range(events):
        ts_ns += rng.randrange(1, 60) * MS
        if event == events // 2:
            ts_ns += 10_000 * MS
        if ts_ns - beat_ns >= 500 * MS or event == events // 2:
            beat_ns = ts_ns
            silent = rng.random() < 0.1
            if rng.random() < 0.5:  # what was paused trades again
                records += [mr.venue(feed, ts_ns) for feed in sessions] + [mr.instrument(one, ts_ns) for one in ids]
            records += [
                mr.status(feed, ts_ns, session=sessions[feed]) for feed in sessions if not (silent and feed == "kalshi")
            ]
        instrument_id = rng.choice(ids)
        feed = instrument_id.partition(":")[0]
        mids[instrument_id] = min(900, max(100, mids[instrument_id] + rng.randrange(-6, 7)))
        mid = mids[instrument_id] * 1_000
        stamp = ts_ns - rng.choice((0, 0, 0, 30 * MS))
        luck = rng.random()
        if instrument_id not in sequences or luck < 0.3:
            sequences[instrument_id] = sequences.get(instrument_id, 0) + 1
            depth = [(rng.randrange(1, 40) * CONTRACT // 2 or CONTRACT) for _ in range(3)]
            records.append(
                mr.snapshot(
                    instrument_id,
                    stamp,
                    sequences[instrument_id],
                    bids=[(mid - 1_000 * (k + 1), depth[k]) for k in range(3)],
                    asks=[(mid + 1_000 * (k + 1), depth[-k]) for k in range(3)],
                    session=sessions[feed],
                    keyframe=rng.random() < 0.1,
                )
            )
        elif luck < 0.95:
            lost = rng.random() < 0.03
            sequences[instrument_id] += 2 if lost else 1
            side = [(mid + rng.choice((-3, -2, -1, 1, 2, 3)) * 1_000, rng.choice((0, 5, 9, 20)) * CONTRACT)]
            bids, asks = (side, []) if side[0][0] < mid else ([], side)
            change = mr.delta(
                instrument_id, stamp, sequences[instrument_id], bids=bids, asks=asks, session=sessions[feed]
            )
            records += [change] * (2 if rng.random() < 0.05 else 1)
        elif luck < 0.97:
            sessions[feed] += 1
            records.append(mr.status(feed, ts_ns, state="live", session=sessions[feed]))
        elif luck < 0.976:
            records.append(trading_word(rng, feed, ts_ns))
        elif luck < 0.98:
            records.append(mr.status(feed, ts_ns, state="resync", session=sessions[feed], instruments=(instrument_id,)))
        else:
            paused = rng.choice(("active", "active", "active", "paused"))
            records.append(mr.instrument(instrument_id, ts_ns, status=paused, keyframe=True))
    return records


def digest(outputs):
    codec = load_codec()
    found = hashlib.sha256()
    for topic, key, record in outputs:
        found.update(f"{topic}|{key}|".encode() + codec.encode(record))
    return found.hexdigest()
