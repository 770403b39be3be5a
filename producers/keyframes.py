"""What is said again and again, so that a reader of books may start anywhere: settings, venues, instruments, pairs and books.

Decides when: everything once an interval, the instruments spread evenly over it. Must never say what is not in force.
"""

import asyncio
from collections.abc import Callable, Sequence

from crossbook.runtime.settings import FrictionSettings
from producers.market_writer import MarketWriter, friction_pack
from producers.relay import Relay
from producers.router import Router
from producers.universe.universe import Universe
from producers.venues import StatusSource

TICK_S = 0.1


class Keyframes:
    """Repeats what stands in the log. `statuses` are those of the venues that say whether they trade."""

    def __init__(
        self,
        friction: FrictionSettings,
        writer: MarketWriter,
        universe: Universe,
        router: Router,
        relay: Relay,
        statuses: Sequence[StatusSource],
        stamp: Callable[[], int],
    ) -> None:
        self._friction = friction
        self._writer = writer
        self._universe = universe
        self._router = router
        self._relay = relay
        self._statuses = statuses
        self._stamp = stamp
        self._next = 0

    async def run(self, interval_s: float) -> None:
        """Repeat until cancelled."""
        owed = settings_owed = 0.0
        while True:
            await asyncio.sleep(TICK_S)
            settings_owed += TICK_S
            if settings_owed >= interval_s:
                settings_owed = 0.0
                self._settings()
                for status in self._statuses:
                    status.keyframe()
            ids = [listed.instrument_id for listed in self._universe.open_instruments()]
            owed += len(ids) * TICK_S / interval_s
            while owed >= 1 and ids:
                owed -= 1
                self._next = (self._next + 1) % len(ids)
                self.instrument(ids[self._next])

    def instrument(self, instrument_id: str) -> None:
        """Repeat an instrument, its pairs and its book."""
        for write in self._universe.keyframes(instrument_id, self._stamp()):
            self._writer.write(write.record, write.group)
        self._router.show(instrument_id, keyframe=True)

    def whole(self) -> None:
        """Say everything but books as news, for a log that missed some of it."""
        self._settings()
        for status in self._statuses:
            status.keyframe(whole=True)
        for write in self._universe.repeat(self._stamp()):
            self._writer.write(write.record, write.group)

    def _settings(self) -> None:
        ts_ns = self._stamp()
        self._writer.broadcast(friction_pack(self._friction, ts_ns))
        in_force = self._relay.in_force
        if in_force is not None:
            for record in in_force.at(ts_ns).records:
                self._writer.broadcast(record)
