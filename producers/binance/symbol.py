"""One symbol of a reference feed: where its ids stand, how long its quotes may be silent, and what waits to be let go.

Decides nothing; the protocol does. The habit outlives a connection, everything else starts over with it.
"""

from producers.feeds.silence import Silence
from schemas.records import ReferencePrice


class Symbol:
    """One symbol: its ids, and what waits to be let go."""

    __slots__ = (
        "name", "quote_at_ns", "quote_held", "quote_last", "reference_id", "refused", "seen", "shown", "silence", "stale",
        "trade_at_ns", "trade_held", "trade_id", "update_id",
    )  # fmt: skip

    def __init__(self, name: str, source: str) -> None:
        self.name = name
        self.reference_id = f"{source}:{name}"
        self.silence = Silence()
        self.reset(0)

    def reset(self, ts_ns: int) -> None:
        """Start over, as on a new connection."""
        self.silence.begin(ts_ns)
        self.update_id = self.trade_id = -1
        self.stale = 0  # ids in a row that stepped back
        self.seen = False
        self.shown = False  # the log believes in a quote
        self.refused = False
        self.quote_at_ns = self.trade_at_ns = 0  # when the next one may go
        self.quote_held: ReferencePrice | None = None
        self.quote_last: ReferencePrice | None = None
        self.trade_held: ReferencePrice | None = None
