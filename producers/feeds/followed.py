"""One instrument of a feed: its listing, the feed's own copy of its book, and how far both may be trusted.

Decides nothing; a protocol does. It must never be valid and withheld at once: a withheld book goes on in the mirror, while the log
holds it for broken.
"""

from typing import Literal, TypeAlias

from crossbook.domain.grid import PriceGrid
from producers.feeds.mirror import BookMirror
from producers.feeds.silence import Silence
from schemas.records import InstrumentListed

SECOND_NS = 1_000_000_000
#: An invalid book is asked for again after this, doubling up to the maximum.
RETRY_FIRST_NS = SECOND_NS
RETRY_MAX_NS = 30 * SECOND_NS
#: silent: quiet for longer than its habit and not yet held against REST, or unlike REST at the first look; late: the whole feed runs behind.
Withheld: TypeAlias = Literal["", "silent", "late"]


class Followed:
    """One instrument of a feed and where its book stands."""

    __slots__ = (
        "ask_again_ns",
        "awaited_until_ns",
        "equal_seen",
        "grid",
        "level_stamps",
        "listed",
        "mirror",
        "on_trial",
        "reason",
        "retry_ns",
        "sequence",
        "silence",
        "snapshot_venue_ns",
        "suspect_since_ns",
        "ts_venue_ns",
        "valid",
        "withheld",
    )

    def __init__(self, listed: InstrumentListed) -> None:
        self.listed = listed
        self.grid = PriceGrid.from_ranges(listed.grid)
        self.mirror = BookMirror()
        self.silence = Silence()
        self.level_stamps: dict[tuple[bool, int], int] = {}
        self.reset("not yet seen", 0)

    def reset(self, reason: str, ts_ns: int) -> None:
        """Start over, as on a new connection."""
        self.valid = False
        self.withheld: Withheld = ""
        self.reason = reason
        self.sequence = 0
        self.ts_venue_ns = 0
        self.snapshot_venue_ns = 0
        self.suspect_since_ns = 0  # 0: not suspect
        self.ask_again_ns = 0  # 0: nothing is to be asked
        self.retry_ns = RETRY_FIRST_NS
        self.awaited_until_ns = 0  # 0: no renewed subscription is to be answered
        self.equal_seen = (0, 0)  # the last frame's stamp and the hash of the REST book that was found equal after it
        self.on_trial = False  # its subscription was renewed, and no change has come since
        self.mirror.clear()
        self.level_stamps.clear()
        self.silence.begin(ts_ns)

    @property
    def id(self) -> str:
        """The instrument's id."""
        return self.listed.instrument_id
