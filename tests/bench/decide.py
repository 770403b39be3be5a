"""Decide an event: the pure step over a generated two-venue stream, with few and with many outputs, and with the codec around it."""

from crossbook.runtime.settings import DecideSettings
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step
from processors.decide.partition import PartitionFold
from processors.decide.state import DecideState
from schemas.codec import load_codec
from schemas.records import Record
from tests.bench.market import BUSY, MIXED, MS_NS, QUIET, Mix, World
from tests.bench.report import Row, distribution
from tests.bench.timing import time_calls

CALLS = 40_000
WARM_UP = 5_000
PAIRS = 40
T0 = 1_780_000_000_000_000_000
#: Stream time between two events: 5,000 a second.
GAP_NS = 200_000
#: No edge reaches this, so that standing edges are quoted and never traded.
NEVER_MICROS = 900_000
MIXES: dict[str, Mix] = {"quiet": QUIET, "mixed": MIXED, "busy": BUSY}


def run() -> list[Row]:
    """Time `step` under three mixes, then decode, fold and encode under the first and the last."""
    return [_step(name) for name in MIXES] + [_whole(name) for name in ("quiet", "busy")]


def make_stream(mix: Mix, events: int) -> tuple[list[Record], list[Record]]:
    """Head and events of a log of 5,000 updates a second."""
    world = World(PAIRS, mix)
    settings = DecideSettings(min_edge_micros=NEVER_MICROS) if mix.standing_edges else DecideSettings()
    return world.head(T0, settings), list(world.stream(T0 + MS_NS, events, GAP_NS))


def _step(name: str) -> Row:
    head, events = make_stream(MIXES[name], CALLS + WARM_UP)
    state = DecideState(decision_digest())
    for record in head:
        step(state, state.market.position + 1, record)
    counts = [0, 0]

    def decide(record: Record) -> None:
        outputs = step(state, state.market.position + 1, record)
        if outputs:
            counts[0] += 1
            counts[1] += len(outputs)

    samples = time_calls(decide, events, warm_up=WARM_UP)
    assert all(state.market.usable(one) for one in state.market.books), "every book of the stream stays usable"
    return Row(
        what=f"step, {name}: {100 * counts[0] / len(events):.1f} % of events with outputs",
        figures=distribution(samples, 1e3),
        unit="µs",
        goals={"p50": ("<", 100.0)},
        n=len(samples),
        warm_up=f"{WARM_UP:,} events",
        against="seed 000: price < 100 µs",
        note=f"{counts[1]:,} outputs; mean {sum(samples) / len(samples) / 1e3:.1f} µs, {1e9 * len(samples) / sum(samples):,.0f} events/s",
    )


def _whole(name: str) -> Row:
    head, events = make_stream(MIXES[name], CALLS + WARM_UP)
    codec = load_codec()
    fold = PartitionFold(0, codec, DecideState(decision_digest()))
    values = [(offset, codec.encode(record)) for offset, record in enumerate([*head, *events])]

    def take(line: tuple[int, bytes]) -> None:
        for output in fold.take(*line):
            codec.encode(output.record)

    for line in values[: len(head)]:
        take(line)
    samples = time_calls(take, values[len(head) :], warm_up=WARM_UP)
    return Row(
        what=f"decode, step, encode, {name}",
        figures=distribution(samples, 1e3),
        unit="µs",
        n=len(samples),
        warm_up=f"{WARM_UP:,} events",
        note=f"mean {sum(samples) / len(samples) / 1e3:.1f} µs, {1e9 * len(samples) / sum(samples):,.0f} events/s",
    )
