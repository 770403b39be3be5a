"""The seeded two-venue world: a pure discrete-event generator with known truth.

Decides the order of everything that happens: latent probabilities walk and jump, makers follow with their own lag,
somebody trades, rivals take what crosses, edges are planted. Identical for a seed whatever the step size, because each
happening draws from one random stream in the order of its own time. It must never read a clock; time is simulated
nanoseconds since the start. Floats are the latent probability only; no price or size is ever one.
"""

import heapq
import math
import random
from collections.abc import Callable, Iterator

from deploy.sandbox.binance.price import WAKE_LOGIT, Lead, Spot
from deploy.sandbox.listing import subjects_of
from deploy.sandbox.world.floor import Floor, Market, package_nets
from deploy.sandbox.world.happenings import TickChanged, WorldEvent
from deploy.sandbox.world.makers import public_trade, requote, resize, rival_takes
from deploy.sandbox.world.planting import Planter, Window
from deploy.sandbox.world.presets import MS, SECOND, preset_named
from deploy.sandbox.world.pricing import KALSHI, MICROS, POLYMARKET, even_grid

LATENT_STEP_NS = 100 * MS
# Latent probabilities stay where a planted edge has room on both sides, and clear of the price band's ends.
LATENT_BAND = (0.03, 0.93)
RETRY_NS = 100 * MS
# The spot remembers 20 s of its past.
SPOT_LEAD_MAX_NS = 15 * SECOND
# Share (tenths) and sign of the lasting bias from subject to subject: fixed, so that no seed gets a tame world.
BIAS_PATTERN = (10, -6, 3, -10, 6, -3)


class World:
    """Two venues over one set of subjects.

    ``rate_updates_per_s`` is the sum of book updates on both venues; the activity clock waits for each update that any
    actor made, so bursts are paid back by quiet. With ``spot_lead_ns`` the reference price ``spot`` drives the first crypto
    subject's latent probability that much later; 0: the spot walks beside a world that it does not touch.
    """

    def __init__(
        self, *, preset: str, seed: int, rate_updates_per_s: int, pairs_n: int = 6, spot_lead_ns: int = 0
    ) -> None:
        if rate_updates_per_s < 1 or pairs_n < 1:
            raise ValueError("rate_updates_per_s and pairs_n must be at least 1")
        if not 0 <= spot_lead_ns <= SPOT_LEAD_MAX_NS:
            raise ValueError(f"the spot's lead must lie between 0 and {SPOT_LEAD_MAX_NS // SECOND} s")
        self.preset = preset_named(preset)
        self.seed = seed
        self.rate = rate_updates_per_s
        self.subjects = subjects_of(self.preset.catalogue, pairs_n)
        self._rng = random.Random(f"crossbook-sandbox:{preset}:{seed}")
        self.spot = Spot(f"crossbook-sandbox-spot:{preset}:{seed}")
        led = next((s.key for s in self.subjects if s.category == "Crypto" and s.paired), None)
        self.lead = Lead(subject=led, lead_ns=spot_lead_ns) if led is not None and spot_lead_ns else None
        self.floor = Floor(self.subjects, self.preset, self._rng)
        self.markets = self.floor.markets
        self._by_subject: dict[str, list[Market]] = {s.key: [] for s in self.subjects}
        for market in self.markets:
            self._by_subject[market.subject.key].append(market)
        self.pairs = [
            (found[0], found[1]) for s in self.subjects if s.paired and len(found := self._by_subject[s.key]) == 2
        ]
        # Dislocations of several cents would drown what the spot says: nothing is planted on the pair that it leads.
        free = [p for p in self.pairs if self.lead is None or p[0].subject.key != self.lead.subject]
        self.planter = Planter(self.floor, free or self.pairs)
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._pushed = 0
        self._paid_updates = 0
        self._spacing_ns = SECOND / rate_updates_per_s
        self._logits = {s.key: math.log(s.probability / (MICROS - s.probability)) for s in self.subjects}
        sign = self._rng.choice((-1, 1))
        self._bias = {
            s.key: sign * self.preset.bias_micros * BIAS_PATTERN[i % len(BIAS_PATTERN)] // 10
            for i, s in enumerate(self.subjects)
        }
        self._rivals_coming: set[str] = set()
        # Pairs are looked at three times as often as the markets that nobody trades across.
        self._attention = [m for m in self.markets for _ in range(3 if m.subject.paired else 1)]
        self._open_books()

    @property
    def updates(self) -> int:
        return self.floor.updates

    def probability_of(self, key: str) -> int:
        """The latent probability of a subject now, in micros."""
        return round(MICROS / (1.0 + math.exp(-self._logits[key])))

    def advance(self, t_ns: int) -> list[WorldEvent]:
        """Everything that happens up to and including ``t_ns``."""
        return [event for step in self.steps(t_ns) for event in step]

    def steps(self, t_ns: int) -> Iterator[list[WorldEvent]]:
        """The same, one happening at a time: between two of them the books stand as the events say."""
        floor = self.floor
        while self._queue and self._queue[0][0] <= t_ns:
            floor.now_ns, _, happen = heapq.heappop(self._queue)
            happen()
            if floor.emitted:
                events, floor.emitted = floor.emitted, []
                yield events
        floor.now_ns = max(floor.now_ns, t_ns)

    def _at(self, t_ns: int, happen: Callable[[], None]) -> None:
        self._pushed += 1
        heapq.heappush(self._queue, (t_ns, self._pushed, happen))

    def _open_books(self) -> None:
        """Before time starts: every maker quotes a full ladder; these changes are the snapshots, not updates."""
        for subject in self.subjects:
            self._see(subject.key)
        for market in self.markets:
            for maker in market.makers:
                for _ in range(maker.depth + 2):
                    requote(self.floor, market, maker)
        for number, subject in enumerate(self.subjects):
            key = subject.key
            self._at(LATENT_STEP_NS * (number + 1) // (len(self.subjects) + 1), lambda key=key: self._walk(key))  # type: ignore[misc]
            listing = subject.polymarket
            if listing is not None and listing.tick_change_ns:
                market = self._by_subject[key][0]
                self._at(listing.tick_change_ns, lambda market=market: self.change_tick(market, 1_000))  # type: ignore[misc]
        self._at(0, self._act)
        if self.preset.planted_interval_ns:
            self._at(self.preset.planted_first_ns, self._plant)
        self.floor.emitted = []
        self.floor.updates = self.floor.trades = 0
        for market in self.markets:
            market.traded = 0

    def _see(self, key: str) -> None:
        """Each venue's makers get a new view: the latent price, this venue's lasting bias and its passing offset."""
        fair = self.probability_of(key)
        for market in self._by_subject[key]:
            bias = self._bias[key] if market.venue == POLYMARKET else -self._bias[key]
            price = fair + bias // 2 + int(market.offset)
            market.views.append((self.floor.now_ns, max(10_000, min(MICROS - 10_000, price))))

    def _walk(self, key: str) -> None:
        preset, rng = self.preset, self._rng
        dt = LATENT_STEP_NS / SECOND
        step = rng.gauss(0.0, preset.sigma_logit * math.sqrt(dt))
        jumped = rng.random() < preset.jump_per_s * dt
        if jumped:
            step += rng.choice((-1.0, 1.0)) * preset.jump_logit * (0.5 + rng.random())
        own = 1.0
        if self.lead is not None and self.lead.subject == key:
            own = (
                self.lead.own_share
            )  # everybody watches the same price: own noise and the venues' disagreement are small
            push = self.lead.push(self.spot, self.floor.now_ns)
            step = own * step + push
            jumped = jumped or abs(push) >= WAKE_LOGIT
        low, high = (math.log(p / (1 - p)) for p in LATENT_BAND)
        x = self._logits[key] + step
        self._logits[key] = 2 * low - x if x < low else 2 * high - x if x > high else x
        revert = preset.offset_revert_per_s * dt
        noise = own * preset.offset_micros * math.sqrt(2 * revert)
        for market in self._by_subject[key]:
            market.offset += -market.offset * revert + rng.gauss(0.0, noise)
        self._see(key)
        if jumped:
            self._wake(key)
        self._at(self.floor.now_ns + LATENT_STEP_NS, lambda: self._walk(key))

    def _wake(self, key: str) -> None:
        """Everybody who quotes this subject looks again, each after its own lag."""
        for market in self._by_subject[key]:
            for maker in market.makers:
                delay = 1 + maker.lag_ns + self._rng.randrange(20 * MS)

                def look(market: Market = market, maker: object = maker) -> None:
                    if key not in self.floor.frozen:
                        requote(self.floor, market, maker)  # type: ignore[arg-type]
                        self._watch(market)

                self._at(self.floor.now_ns + delay, look)

    def _act(self) -> None:
        """One ordinary activity, then wait for as long as the updates since the last one cost."""
        rng, floor = self._rng, self.floor
        market = self._attention[int(rng.random() * len(self._attention))]
        maker = market.makers[int(rng.random() * len(market.makers))]
        if market.subject.key in floor.frozen:
            resize(floor, market, maker)
        elif rng.random() < self.preset.trade_share:
            public_trade(floor, market)
        else:
            requote(floor, market, maker)
            self._watch(market)
        cost = floor.updates - self._paid_updates
        self._paid_updates = floor.updates
        # A barren activity costs a fraction of an update, so that time always moves.
        wait = self._spacing_ns * (cost or 0.2) * (0.5 + rng.random())
        self._at(floor.now_ns + max(1, int(wait)), self._act)

    def _watch(self, market: Market) -> None:
        """Rivals notice a net edge between the venues and take it after their own delay."""
        if market.twin is None or market.subject.key in self._rivals_coming:
            return
        polymarket, kalshi = (market, market.twin) if market.venue == POLYMARKET else (market.twin, market)
        if max((net for net in package_nets(polymarket, kalshi) if net is not None), default=0) <= (
            self.preset.rival_net_micros
        ):
            return
        key = market.subject.key
        self._rivals_coming.add(key)

        def come() -> None:
            self._rivals_coming.discard(key)
            if key not in self.floor.frozen:
                rival_takes(self.floor, polymarket, kalshi)

        self._at(self.floor.now_ns + self._rng.randint(*self.preset.rival_delay_ns), come)

    def _plant(self) -> None:
        window = self.planter.plant()
        if window is None:
            self._at(self.floor.now_ns + RETRY_NS, self._plant)
            return
        if window.fragile_ns:
            self._at(window.fragile_ns, lambda: self._thin_out(window))
        else:
            self._at(window.end_ns, lambda: self._finish(window))
        wait = int(self.preset.planted_interval_ns * (0.6 + 0.8 * self._rng.random()))
        self._at(self.floor.now_ns + wait, self._plant)

    def _thin_out(self, window: Window) -> None:
        dead = self.planter.thin_out(window)
        # With one side gone the dislocated top itself does not live much longer.
        end_ns = self.floor.now_ns + self._rng.randint(100 * MS, 400 * MS) if dead else window.end_ns
        self._at(end_ns, lambda: self._finish(window))

    def _finish(self, window: Window) -> None:
        self.planter.finish(window)
        self._wake(window.edge.pair)

    def change_tick(self, market: Market, tick: int) -> None:
        """Move a Polymarket market to another tick; quotes that the new grid does not allow are cancelled."""
        assert market.venue != KALSHI, "Kalshi grids do not change in this world"
        if tick == market.tick:
            return
        old, market.tick, market.grid = market.tick, tick, even_grid(tick)
        self.floor.emitted.append(TickChanged(self.floor.now_ns, market.index, old, tick))
        for owner in (*market.makers, market.visitor):
            for is_bid in (True, False):
                own = owner.bids if is_bid else owner.asks
                for price in [p for p in own if not market.grid.contains(p)]:
                    self.floor.quote(market, owner, price, 0, is_bid=is_bid)

    def drain(self) -> list[WorldEvent]:
        """Events made from outside the queue (a tick change on demand), taken out once."""
        events, self.floor.emitted = self.floor.emitted, []
        return events
