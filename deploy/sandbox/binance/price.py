"""The sandbox's spot price: a seeded walk that Binance's socket tells, and that leads one market of the world by a known time.

Decides quotes and trades of one symbol, from a random stream of its own, so that it never disturbs the rest of the world; and by
how much a market's latent probability moves when the spot's move of `lead_ns` ago reaches it. Prices are integer cents, sizes
integer micros; the walk itself is a float, as every latent value here. It must never read a clock.
"""

import math
import random
from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from deploy.sandbox.world.presets import MS, SECOND

SYMBOL = "BTCUSDT"
START_CENTS = 6_000_000
STEP_NS = 20 * MS
#: Log return per square root of a second, as bitcoin's on an ordinary day (about 56 % a year).
SIGMA = 1e-4
JUMP_PER_S = 0.05
JUMP = 4e-4
#: Share of steps with a new quote, and with a trade; a jump brings a burst of quotes.
QUOTE_SHARE = 0.7
TRADE_SHARE = 0.15
BURST = 6
FIRST_UPDATE_ID = 10_000_000_000
FIRST_TRADE_ID = 500_000_000
SIZE_STEP_MICROS = 10
#: Steps remembered for readers of the past: 20 s.
PAST_MAX = 1_000
#: Logits that a log return of 1 adds: a basis point is a cent at even odds, as for an option of minutes.
GAIN = 400.0
#: What remains of the market's own noise, and of the venues' disagreement about it, beside the spot's.
OWN_SHARE = 0.25
#: A push of this many logits makes everybody who quotes the market look again.
WAKE_LOGIT = 0.05


class SpotQuote(NamedTuple):
    """Best bid and ask after a change; simulated ns, cents, micros of the base."""

    t_ns: int
    update_id: int
    bid: int
    bid_size: int
    ask: int
    ask_size: int


class SpotTrade(NamedTuple):
    """One trade; `buyer_is_maker` when the aggressor sold."""

    t_ns: int
    trade_id: int
    price: int
    size: int
    buyer_is_maker: bool


SpotEvent = SpotQuote | SpotTrade


class Spot:
    """The walk. Identical for a seed whatever the step size of its readers."""

    def __init__(self, seed: str) -> None:
        self._rng = random.Random(seed)
        self._x = 0.0  # log of price over start
        self._next_ns = STEP_NS
        self._past: deque[tuple[int, float]] = deque([(0, 0.0)], maxlen=PAST_MAX)
        self._made: deque[SpotEvent] = deque()
        self._update_id = FIRST_UPDATE_ID
        self._trade_id = FIRST_TRADE_ID
        self.newest = SpotQuote(0, FIRST_UPDATE_ID, START_CENTS, 1_500_000, START_CENTS + 1, 2_500_000)

    def log_at(self, t_ns: int) -> float:
        """Log of the price at a time, over that of the start; 0 before it."""
        self._advance(t_ns)
        for at_ns, x in reversed(self._past):
            if at_ns <= t_ns:
                return x
        return self._past[0][1] if t_ns > 0 else 0.0

    def take(self, t_ns: int) -> list[SpotEvent]:
        """What happened up to a time and was not taken yet."""
        self._advance(t_ns)
        taken: list[SpotEvent] = []
        while self._made and self._made[0].t_ns <= t_ns:
            taken.append(self._made.popleft())
        return taken

    def _advance(self, t_ns: int) -> None:
        while self._next_ns <= t_ns:
            self._step(self._next_ns)
            self._next_ns += STEP_NS

    def _step(self, t_ns: int) -> None:
        rng = self._rng
        dt = STEP_NS / SECOND
        self._x += rng.gauss(0.0, SIGMA * math.sqrt(dt))
        jumped = rng.random() < JUMP_PER_S * dt
        if jumped:
            self._x += rng.choice((-1.0, 1.0)) * JUMP * (0.5 + rng.random())
        self._past.append((t_ns, self._x))
        for _ in range(BURST if jumped else int(rng.random() < QUOTE_SHARE)):
            self._quote(t_ns)
        if rng.random() < TRADE_SHARE:
            sold = rng.random() < 0.5
            self._trade_id += 1
            price = self.newest.bid if sold else self.newest.ask
            self._made.append(SpotTrade(t_ns, self._trade_id, price, self._size(), sold))

    def _quote(self, t_ns: int) -> None:
        bid = math.floor(START_CENTS * math.exp(self._x))
        self._update_id += self._rng.randint(1, 40)  # the venue counts every change of the book, not only the top's
        self.newest = SpotQuote(t_ns, self._update_id, bid, self._size(), bid + 1, self._size())
        self._made.append(self.newest)

    def _size(self) -> int:
        return SIZE_STEP_MICROS * self._rng.randint(1, 800_000)


@dataclass(slots=True, kw_only=True)
class Lead:
    """How the spot leads a market: its log return reaches the latent logit `lead_ns` later, times `gain`."""

    subject: str
    lead_ns: int
    gain: float = GAIN
    own_share: float = OWN_SHARE
    _seen: float = 0.0

    def push(self, spot: Spot, now_ns: int) -> float:
        """Logits to add now, since the last call."""
        before, self._seen = self._seen, spot.log_at(now_ns - self.lead_ns)
        return self.gain * (self._seen - before)

    def truth(self) -> dict[str, object]:
        """What `GET /sandbox/truth` says of it."""
        return {
            "symbol": SYMBOL,
            "leads": self.subject,
            "lead_ns": self.lead_ns,
            "logit_per_log_return": self.gain,
            "own_noise_share": self.own_share,
        }
