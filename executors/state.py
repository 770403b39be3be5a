"""Everything that the journal of an executor says, as its fold keeps it. Only `executors.fold.step` changes it."""

from executors.machines import MACHINES
from executors.orders.machine import MachineTable
from executors.orders.work import Work
from executors.portfolio.risk import Standing
from executors.terms import Terms
from schemas.records import ExecutorConfigured, ListingSeen, TopSeen


class ExecutorState:
    """Everything that the journal says. Mutable; only `step` changes it.

    `life`: life of the executor that writes now; `working`: per partition of `market`, the trades that may still send; `intents_seen`: number of the last intent per
    partition; `positions`: last position journaled per partition; `controls_applied`: first control offset not applied yet;
    `lagging`: whether the watchdog lets no trade open. `machines`: what takes which kind of intent; no part of what is remembered.
    """

    def __init__(self, machines: MachineTable = MACHINES) -> None:
        self.machines = machines
        self.next_sequence = 0
        self.life = 0
        self.configured: ExecutorConfigured | None = None
        self.terms = Terms()
        self.overrides: dict[str, int] = {}
        self.standing = Standing()
        self.trades: dict[str, Work] = {}
        self.working: dict[int, dict[str, None]] = {}
        self.timed: dict[int, dict[str, None]] = {}
        self.tops_before: dict[str, dict[str, TopSeen]] = {}
        self.listings_before: dict[str, tuple[ListingSeen, ...]] = {}
        self.intents_seen: dict[int, int] = {}
        self.positions: dict[int, int] = {}
        self.controls_applied = 0
        self.lagging = False

    @property
    def portfolio(self) -> str:
        """Whose journal it is; empty before its first settings."""
        return self.standing.portfolio

    def take_sequence(self) -> int:
        """Number of the next journal record."""
        number = self.next_sequence
        self.next_sequence += 1
        return number
