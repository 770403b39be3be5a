"""Writes `market` at a Poisson rate, open loop: `python -m tests.bench.generator --settings FILE …`.

An event's `ts_received_ns` is the moment at which it was *due*, not at which it was written: what the generator or the broker
was late by counts as latency, so nothing is omitted. It must never wait for the pipeline. Ends at SIGTERM or after
`--seconds`, and writes what it did to `--result`.
"""

import argparse
import json
import os
import random
import signal
import threading
import time
from collections import deque
from itertools import chain
from pathlib import Path

from crossbook.runtime.errors import BufferFullError
from crossbook.runtime.kafka import RecordProducer
from crossbook.runtime.settings import CONFIG_VARIABLE, Settings, load_settings
from schemas.codec import load_codec
from schemas.records import Record
from tests.bench.market import MS_NS, STATUS_INTERVAL_NS, Mix, World
from tests.bench.report import quantile

SECOND_NS = 1_000_000_000
#: Shorter sleeps cost more CPU than they win; what this adds is part of the measured latency.
SLEEP_MIN_S = 0.0002
#: One lateness in this many is kept.
LATENESS_EVERY = 8


class Writer:
    """Sends a world's records under their groups' keys."""

    def __init__(self, settings: Settings, world: World) -> None:
        self._producer = RecordProducer(settings.kafka, load_codec(), "bench.generator")
        self._world = world
        self.sent = 0
        self.refused = 0

    def send(self, record: Record) -> None:
        """Queue one; a full buffer loses it, which is counted and shows."""
        name: str | None = getattr(record, "instrument_id", None)
        try:
            self._producer.send("market", record, key=None if name is None else self._world.groups[name])
            self.sent += 1
        except BufferFullError:
            self.refused += 1

    def poll(self) -> None:
        """Serve delivery reports."""
        self._producer.poll()

    def flush(self) -> None:
        """Wait until the broker has everything."""
        self._producer.flush(30.0)


def fill(settings: Settings, world: World, events: int, gap_ns: int) -> int:
    """Write a whole log as fast as the broker takes it; stamps end about now. Return the records written."""
    writer = Writer(settings, world)
    start_ns = time.time_ns() - events * gap_ns
    head, ended = world.head(start_ns, settings.decide), world.statuses(start_ns + events * gap_ns, "ended")
    for record in chain(head, world.stream(start_ns + MS_NS, events - 5, gap_ns), ended):
        writer.send(record)
        if writer.sent % 2_000 == 0:
            writer.poll()
            while writer._producer.waiting > settings.kafka.buffer_records // 2:
                writer._producer.poll(0.01)
    writer.flush()
    assert not writer.refused, "the buffer was watched"
    return writer.sent


def generate(
    writer: Writer,
    world: World,
    *,
    rate: float,
    plants_per_s: float,
    dwell_ms: int,
    seconds: float,
    stop: threading.Event,
) -> list[int]:
    """Write until the time is over; return samples of how late the generator itself was, ns."""
    rng = random.Random(11)
    now = time.time_ns()
    end_ns = now + int(seconds * SECOND_NS)
    update_ns, status_ns = now, now
    never = end_ns + SECOND_NS
    plant_ns = now + SECOND_NS if plants_per_s else never
    ends: deque[tuple[int, int]] = deque()
    pair = number = 0
    lateness: list[int] = []
    while not stop.is_set():
        due_ns = min(update_ns, status_ns, plant_ns, ends[0][0] if ends else never)
        if due_ns > end_ns:
            break
        now = time.time_ns()
        if due_ns > now:
            writer.poll()
            time.sleep(max(SLEEP_MIN_S, (due_ns - now) / SECOND_NS))
            continue
        if due_ns == update_ns:
            writer.send(world.update(due_ns))
            update_ns += 1 + int(rng.expovariate(rate) * SECOND_NS)
            number += 1
            if number % LATENESS_EVERY == 0:
                lateness.append(time.time_ns() - due_ns)
                writer.poll()
        elif due_ns == status_ns:
            for status in world.statuses(due_ns):
                writer.send(status)
            status_ns += STATUS_INTERVAL_NS
        elif due_ns == plant_ns:
            writer.send(world.plant(pair, due_ns))
            ends.append((due_ns + dwell_ms * MS_NS, pair))
            pair = (pair + 1) % world.pairs
            plant_ns += 1 + int(rng.expovariate(plants_per_s) * SECOND_NS)
        else:
            writer.send(world.unplant(ends.popleft()[1], due_ns))
    return lateness


def main() -> None:
    """Head the log, then write until the end."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.generator")
    parser.add_argument("--settings", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--top-share", type=float, default=0.1)
    parser.add_argument("--plants", type=float, default=0.0)
    parser.add_argument("--dwell-ms", type=int, default=400)
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    os.environ[CONFIG_VARIABLE] = options.settings
    settings = load_settings()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    world = World(options.pairs, Mix(top_share=options.top_share))
    writer = Writer(settings, world)
    for record in world.head(time.time_ns(), settings.decide, "wall"):
        writer.send(record)
    lateness = sorted(
        generate(
            writer, world, rate=options.rate, plants_per_s=options.plants, dwell_ms=options.dwell_ms,
            seconds=options.seconds, stop=stop,
        )
    )  # fmt: skip
    for status in world.statuses(time.time_ns(), "ended"):
        writer.send(status)
    writer.flush()
    late = {"p50": quantile(lateness, 0.5) / 1e6, "p99": quantile(lateness, 0.99) / 1e6} if lateness else {}
    options.result.write_text(json.dumps({"sent": writer.sent, "refused": writer.refused, "lateness_ms": late}))


if __name__ == "__main__":
    main()
