"""A seeded two-venue market as records of `market`: pairs whose books move, and edges planted on purpose.

Decides what the next event is, never when: stamps are handed in. `World` holds the truth that its events describe, so that
every delta is one that decide takes: on the grid, in sequence, never crossing a book. All values micros.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from crossbook.domain.fees import make_schedule
from crossbook.domain.names import KALSHI, POLYMARKET, instrument_id
from crossbook.market.configuration import Configuration
from crossbook.market.feed_clock import RECORDED
from crossbook.runtime.settings import DecideSettings
from crossbook.venues.policies import POLICIES
from processors.decide.code_digest import decision_digest
from processors.decide.settings import announcement
from schemas.records import (
    BookDelta,
    BookSnapshot,
    FeedState,
    FeedStatus,
    FrictionPack,
    InstrumentListed,
    LogOpened,
    OrderMinimum,
    PairListed,
    PayoutCell,
    PriceRange,
    Record,
    Venue,
)

MS_NS = 1_000_000
DAY_NS = 86_400_000_000_000
CONTRACT = 1_000_000
TICK = 1_000
LEVELS = 10
LOG_ID = "b" * 32
FEEDS: tuple[Venue, ...] = (POLYMARKET, KALSHI)
STATUS_INTERVAL_NS = 500 * MS_NS

#: Best prices without an edge: buying YES at Polymarket and NO at Kalshi costs 1.01, the other package 1.11.
POLYMARKET_BID, POLYMARKET_ASK = 400_000, 500_000
KALSHI_BID, KALSHI_ASK = 490_000, 510_000
#: An ask at Polymarket that makes the first package cost 0.93: about 4.5 cents after both fees.
PLANTED_ASK = 420_000
PLANTED_SIZE = 20 * CONTRACT


@dataclass(frozen=True, kw_only=True)
class Mix:
    """Shares of the events: of all, those that change a best level; planted edges are scheduled by the caller.

    `standing_edges` leaves every pair's edge open all the time, so that each change of its best level is news.
    """

    top_share: float
    standing_edges: bool = False


#: About 1 % of the events cause an output (the rest move depth below the best levels).
QUIET = Mix(top_share=0.008)
#: What a busy book does: one event in ten changes a best level.
MIXED = Mix(top_share=0.1)
#: About 60 % of the events cause an output: edges stand open and move.
BUSY = Mix(top_share=0.62, standing_edges=True)


class Side:
    """One side of a book: sizes at ten fixed prices, best first; a planted level stands before them."""

    __slots__ = ("prices", "sizes")

    def __init__(self, best: int, step: int, rng: random.Random) -> None:
        self.prices = [best + step * number for number in range(LEVELS)]
        self.sizes = [rng.randrange(200, 900) * CONTRACT for _ in range(LEVELS)]


class World:
    """Books of `pairs` pairs, numbered from `first`, both legs in one group; `feed` names are the venues'."""

    def __init__(self, pairs: int, mix: Mix, seed: int = 7, first: int = 0) -> None:
        self._rng = random.Random(seed)
        self._mix = mix
        self.pairs = pairs
        self._first = first
        self._sides: list[tuple[Side, Side]] = []  # (bids, asks) of Polymarket's, then Kalshi's instrument of each pair
        self._sequences = [0] * (2 * pairs)
        self._ids: list[str] = []
        for number in range(pairs):
            for best_bid, best_ask in ((POLYMARKET_BID, POLYMARKET_ASK), (KALSHI_BID, KALSHI_ASK)):
                self._sides.append((Side(best_bid, -TICK, self._rng), Side(best_ask, TICK, self._rng)))
            if mix.standing_edges:  # only the first level is worth taking, so that its size is the quote's quantity
                self._sides[-2] = (self._sides[-2][0], Side(PLANTED_ASK, 56 * TICK, self._rng))
            name = first + number
            self._ids += [instrument_id(POLYMARKET, f"0x{name:064x}"), instrument_id(KALSHI, f"KXBENCH-{name:03d}")]

        self.groups = {one: group_of(number // 2) for number, one in enumerate(self._ids, 2 * first)}

    def head(self, ts_ns: int, decide: DecideSettings, clock: str = RECORDED) -> list[Record]:
        """What a log begins with: itself, settings under this very code, instruments, pairs, feeds and whole books."""
        said = announcement(decide, decision_digest(), ts_ns=ts_ns, operator="bench")
        records: list[Record] = [
            LogOpened(ts_received_ns=ts_ns, log_id=LOG_ID, partition=0, partitions=1, base_offset=0, clock=clock),
            *Configuration.of(said, ts_received_ns=ts_ns, control_offset=-1).records,
            FrictionPack(
                ts_received_ns=ts_ns, gas_micros=0, fx_ppm=0, on_ramp_ppm=0, lockup_ppm_per_year=40_000,
                source="bench", hash="f" * 64,
            ),
        ]  # fmt: skip
        records += [listed(number, one, ts_ns) for number, one in enumerate(self._ids, 2 * self._first)]
        records += [
            _pair(self._first + number, self._ids[2 * number], self._ids[2 * number + 1], ts_ns)
            for number in range(self.pairs)
        ]
        records += self.statuses(ts_ns)
        records += [self._snapshot(number, ts_ns) for number in range(len(self._ids))]
        return records

    def statuses(self, ts_ns: int, state: FeedState = "live") -> list[FeedStatus]:
        """Both feeds are live, or have ended: then decide writes the last watermark, without which execute would wait."""
        return [
            FeedStatus(
                ts_received_ns=ts_ns, feed=feed, venue=feed, session=1, state=state, reason="", instruments=(),
                ts_data_ns=ts_ns, clock_offset_ns=0,
            )
            for feed in FEEDS
        ]  # fmt: skip

    def update(self, ts_ns: int) -> BookDelta:
        """A maker changes a size: deep in a book, or at a best level as often as the mix says."""
        rng = self._rng
        at_top = rng.random() < self._mix.top_share
        number = rng.randrange(len(self._ids))
        if at_top and self._mix.standing_edges:
            # The ask of the open package's cheaper, thinner leg: its quantity, and so the quote, changes every time.
            number -= number % 2
            is_bid, level, size = False, 0, rng.randrange(5_000, 15_000) * 10_000
        else:
            is_bid = rng.random() < 0.5
            level = 0 if at_top else rng.randrange(2, LEVELS)
            size = rng.randrange(200, 900) * CONTRACT + rng.randrange(100) * 10_000
        side = self._sides[number][0 if is_bid else 1]
        if size == side.sizes[level]:
            size += 10_000
        side.sizes[level] = size
        return self._delta(number, is_bid=is_bid, price=side.prices[level], size=size, ts_ns=ts_ns)

    def plant(self, pair: int, ts_ns: int) -> BookDelta:
        """Show a cheap ask at the pair's Polymarket leg."""
        return self._delta(2 * pair, is_bid=False, price=PLANTED_ASK, size=PLANTED_SIZE, ts_ns=ts_ns)

    def unplant(self, pair: int, ts_ns: int) -> BookDelta:
        """Take the cheap ask away again."""
        return self._delta(2 * pair, is_bid=False, price=PLANTED_ASK, size=0, ts_ns=ts_ns)

    def stream(self, ts_ns: int, events: int, gap_ns: int) -> Iterator[FeedStatus | BookDelta]:
        """Updates at even stamps with the feeds' statuses between them."""
        due_ns = ts_ns
        for number in range(events):
            now_ns = ts_ns + number * gap_ns
            if now_ns >= due_ns:
                yield from self.statuses(now_ns)
                due_ns = now_ns + STATUS_INTERVAL_NS
            yield self.update(now_ns)

    def planted_stream(self, ts_ns: int, events: int, gap_ns: int, plant_every: int, dwell: int) -> Iterator[Record]:
        """As `stream`, and after every `plant_every` events one pair in turn shows its cheap ask for `dwell` events."""
        ends: deque[tuple[int, int]] = deque()
        pair = 0
        for number, record in enumerate(self.stream(ts_ns, events, gap_ns)):
            yield record
            stamp: int = record.ts_received_ns
            if number % plant_every == 0:
                yield self.plant(pair, stamp)
                ends.append((number + dwell, pair))
                pair = (pair + 1) % self.pairs
            while ends and ends[0][0] <= number:
                yield self.unplant(ends.popleft()[1], stamp)

    def _delta(self, number: int, *, is_bid: bool, price: int, size: int, ts_ns: int) -> BookDelta:
        self._sequences[number] += 1
        sequence = self._sequences[number]
        level = ((price,), (size,))
        none: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())
        bids, asks = (level, none) if is_bid else (none, level)
        return BookDelta(
            ts_received_ns=ts_ns, ts_venue_ns=ts_ns - 5 * MS_NS, instrument_id=self._ids[number], feed=FEEDS[number % 2],
            session=1, sequence=sequence, previous_sequence=sequence - 1,
            bid_prices=bids[0], bid_sizes=bids[1], ask_prices=asks[0], ask_sizes=asks[1],
        )  # fmt: skip

    def _snapshot(self, number: int, ts_ns: int) -> BookSnapshot:
        self._sequences[number] += 1
        bids, asks = self._sides[number]
        return BookSnapshot(
            ts_received_ns=ts_ns, ts_venue_ns=ts_ns, instrument_id=self._ids[number], feed=FEEDS[number % 2], session=1,
            sequence=self._sequences[number], delivery="streaming", cadence_ms=0, keyframe=False,
            bid_prices=tuple(bids.prices), bid_sizes=tuple(bids.sizes),
            ask_prices=tuple(asks.prices), ask_sizes=tuple(asks.sizes),
        )  # fmt: skip


def group_of(pair: int) -> str:
    """Group, and so key, of a pair's events."""
    return f"bench-{pair:03d}"


def listed(number: int, name: str, ts_ns: int) -> InstrumentListed:
    """The listing of a World's instrument: even numbers are Polymarket's, odd ones Kalshi's."""
    venue = FEEDS[number % 2]
    is_kalshi = venue == KALSHI
    schedule = make_schedule(
        model="kalshi_quadratic" if is_kalshi else "polymarket_curve",
        taker_rate_ppm=70_000 if is_kalshi else 30_000,
        ts_effective_ns=0,
        source="bench",
    )
    minimums = tuple(
        OrderMinimum(
            order_type="marketable", side=side, quantity_micros=10_000 if is_kalshi else 5 * CONTRACT,
            notional_micros=0 if is_kalshi else CONTRACT,
        )
        for side in ("buy", "sell")
    )  # fmt: skip
    return InstrumentListed(
        ts_received_ns=ts_ns, instrument_id=name, venue=venue, symbol=name.partition(":")[2],
        yes_token=None if is_kalshi else f"1{number:076d}", no_token=None if is_kalshi else f"2{number:076d}",
        event_id=f"{venue}:bench", group=group_of(number // 2), title=name, category="sports", rules_hash="",
        resolution_source="", grid=(PriceRange(start_micros=TICK, end_micros=CONTRACT - TICK, tick_micros=TICK),),
        quantity_step_micros=10_000, minimums=minimums, taker_delay_ms=0,
        ts_close_ns=ts_ns + 30 * DAY_NS, ts_payout_expected_ns=ts_ns + 31 * DAY_NS, neg_risk=False, exchange_version="v2", shard=0,
        status="active", fee_schedule=schedule, policy=POLICIES[venue], keyframe=False,
    )  # fmt: skip


def _pair(number: int, first: str, second: str, ts_ns: int) -> PairListed:
    cells = [
        PayoutCell(
            outcome="yes", payout_a_micros=CONTRACT, payout_b_micros=CONTRACT, admissible=True, evidence="bench"
        ),
        PayoutCell(outcome="no", payout_a_micros=0, payout_b_micros=0, admissible=True, evidence="bench"),
    ]
    # In terms of YES; the payout of NO is the rest of a dollar.
    cells += [
        PayoutCell(outcome=outcome, admissible=False, evidence="bench")
        for outcome in ("void", "tie", "cancelled", "postponed")
    ]
    return PairListed(
        ts_received_ns=ts_ns, group=group_of(number), pair_id=f"bench-pair-{number:03d}", relation="identity",
        instrument_a=first, instrument_b=second, payouts=tuple(cells), haircut_micros=0, evidence="bench",
        approved_by="bench", keyframe=False,
    )  # fmt: skip
