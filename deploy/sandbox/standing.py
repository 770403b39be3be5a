"""Where a market stands beside its book: paused, closed, resolved, repriced; and whether Kalshi trades at all.

Decides what the venues say about trading, never what the books do: a pause or a close is told and nothing else, so that whoever trades
through it is seen to. It must never read a clock; wall time is an argument.
"""

from deploy.sandbox.world.pricing import MICROS

#: What an outcome pays for YES, micros.
OUTCOMES = {"yes": MICROS, "no": 0, "half": MICROS // 2}
PAUSES = ("trading", "exchange", "shard")


class Standing:
    """One market's; times are wall ns, 0 or None where nothing was told."""

    __slots__ = ("closes_ns", "fee_changes", "inactive_until_ns", "outcome", "override_tenths")

    def __init__(self) -> None:
        self.inactive_until_ns = 0
        self.closes_ns: int | None = None
        self.outcome: str | None = None
        self.fee_changes: list[tuple[int, int]] = []  # (from when, multiplier in tenths), ascending
        self.override_tenths: int | None = None

    def closed(self, wall_ns: int) -> bool:
        return self.outcome is not None or (self.closes_ns is not None and wall_ns >= self.closes_ns)

    def status(self, wall_ns: int) -> str:
        """Kalshi's word for it."""
        if self.outcome is not None:
            return "finalized"
        if self.closed(wall_ns):
            return "closed"
        return "inactive" if wall_ns < self.inactive_until_ns else "active"

    def tenths(self, listed_tenths: int, wall_ns: int) -> int:
        """Multiplier of the series in force."""
        return next((tenths for begins, tenths in reversed(self.fee_changes) if wall_ns >= begins), listed_tenths)


class Exchange:
    """Kalshi as a whole."""

    def __init__(self) -> None:
        self._until_ns = 0
        self._kind = PAUSES[0]

    def pause(self, kind: str, until_ns: int) -> None:
        self._kind, self._until_ns = kind, until_ns

    def body(self, shards: list[int], wall_ns: int) -> dict[str, object]:
        """The body of ``GET /exchange/status``; a pause of a shard is the highest one's alone."""
        kind = self._kind if wall_ns < self._until_ns else ""
        rows = [
            {
                "exchange_index": shard,
                "exchange_active": kind != "exchange",
                "trading_active": not kind or (kind == "shard" and shard != shards[-1]),
            }
            for shard in shards
        ]
        return {
            "exchange_active": kind != "exchange",
            "trading_active": kind not in ("trading", "exchange"),
            "intra_exchange_transfers_active": kind != "exchange",
            "exchange_index_statuses": rows,
        }
