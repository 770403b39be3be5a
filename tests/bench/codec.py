"""Encode and decode of a BookDelta, and a taker fee: the smallest pieces that every event pays for."""

from crossbook.domain.fees import make_schedule, taker_fee
from schemas.codec import load_codec
from tests.bench.market import MIXED, World
from tests.bench.report import Row, distribution
from tests.bench.timing import time_calls

CALLS = 25_000
WARM_UP = 5_000
T0 = 1_780_000_000_000_000_000


def run() -> list[Row]:
    """Time them one by one."""
    codec = load_codec()
    world = World(40, MIXED)
    records = [world.update(T0 + number * 200_000) for number in range(CALLS + WARM_UP)]
    encoded = [codec.encode(record) for record in records]
    size = sum(map(len, encoded)) / len(encoded)
    common = {"unit": "µs", "n": CALLS, "warm_up": f"{WARM_UP:,} calls"}
    encoding = time_calls(codec.encode, records, warm_up=WARM_UP)
    decoding = time_calls(codec.decode, encoded, warm_up=WARM_UP)
    return [
        Row(
            what=f"encode a BookDelta ({size:.0f} bytes)",
            figures=distribution(encoding, 1e3),
            against="FIELD 4: fastavro alone 199k/s (5.0 µs)",
            note=f"mean rate {1e9 * len(encoding) / sum(encoding):,.0f}/s",
            **common,
        ),
        Row(
            what="decode a BookDelta",
            figures=distribution(decoding, 1e3),
            against="FIELD 4: fastavro alone 264k/s (3.8 µs)",
            note=f"mean rate {1e9 * len(decoding) / sum(decoding):,.0f}/s",
            **common,
        ),
        *_fees(),
    ]


def _fees() -> list[Row]:
    rows = []
    for model, rate in (("kalshi_quadratic", 70_000), ("polymarket_curve", 30_000)):
        schedule = make_schedule(model=model, taker_rate_ppm=rate, ts_effective_ns=0, source="bench")
        inputs = [
            (10_000 + number * 7_919 % 980_000, 10_000 + number * 104_729 % 500_000_000 // 10_000 * 10_000)
            for number in range(CALLS + WARM_UP)
        ]
        samples = time_calls(lambda pq, schedule=schedule: taker_fee(schedule, pq[0], pq[1]), inputs, warm_up=WARM_UP)
        rows.append(
            Row(
                what=f"taker_fee, {model}", figures=distribution(samples, 1e3), unit="µs", n=CALLS,
                warm_up=f"{WARM_UP:,} calls",
            )
        )  # fmt: skip
    return rows
