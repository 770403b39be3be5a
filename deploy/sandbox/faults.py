"""Switchable faults: what is wrong on purpose, for how long, on which instrument.

Decides the fate of each data frame (``verdict``) and keeps what is armed. It must never touch the world: a fault is on
the wire only, REST keeps telling the truth. Time (monotonic ns) is an argument.
"""

from dataclasses import dataclass
from enum import Enum, auto

from deploy.sandbox.errors import UnknownFaultError
from deploy.sandbox.standing import OUTCOMES, PAUSES
from deploy.sandbox.world.pricing import BINANCE, KALSHI, POLYMARKET

SECONDS_MAX = 3_600
COUNT_MAX = 100_000

FRAME_FAULTS = ("drop_delta", "duplicate", "reorder")
#: What a venue says about trading, with the kinds that each one takes; the first is the default.
WORDS: dict[str, tuple[str, ...]] = {
    "pause": PAUSES,
    "deactivate": ("",),
    "close": ("",),
    "settle": tuple(OUTCOMES),
    "fee_change": ("",),
    "fee_override": ("",),
}
FAULTS = (*FRAME_FAULTS, "silence", "tick_change", "garbage", "disconnect", "crossed", "shutdown", *WORDS, "clear")
GARBAGE_KINDS = (
    "non_json",
    "unknown_type",
    "missing_field",
    "off_grid",
    "huge_number",
    "negative_size",
    "unknown_market",
)


class Verdict(Enum):
    """What happens to one book change on its way to the receivers."""

    SEND = auto()
    DROP = auto()
    TWICE = auto()
    HOLD = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultRequest:
    """A parsed ``POST /sandbox/faults`` body."""

    venue: str
    fault: str
    count: int
    seconds: float
    instrument: str | None
    kind: str


def parse_fault(body: object) -> FaultRequest:
    """The request in a JSON body; raises ``UnknownFaultError`` saying which field to mend."""
    if not isinstance(body, dict):
        raise UnknownFaultError("send a JSON object: venue, fault, and count or seconds, instrument, kind as needed")
    venue, fault = body.get("venue"), body.get("fault")
    if fault not in FAULTS:
        raise UnknownFaultError(f"fault {fault!r} is unknown: use one of {', '.join(FAULTS)}")
    if venue not in (POLYMARKET, KALSHI, BINANCE) and fault != "clear":
        raise UnknownFaultError(f"venue {venue!r} is unknown: use {POLYMARKET}, {KALSHI} or {BINANCE}")
    if fault == "shutdown" and venue != BINANCE:
        raise UnknownFaultError("shutdown is Binance's: no other venue announces one")
    if fault == "crossed" and venue == BINANCE:
        raise UnknownFaultError("crossed needs a book: for Binance use garbage of the kind off_grid")
    if fault == "tick_change" and venue != POLYMARKET:
        raise UnknownFaultError("tick_change is Polymarket's: Kalshi grids do not change here")
    if fault in WORDS and venue != KALSHI and not (venue == POLYMARKET and fault in ("deactivate", "close", "settle")):
        raise UnknownFaultError(f"{fault} is not said by {venue}")
    kinds = WORDS.get(str(fault), GARBAGE_KINDS)
    kind = body.get("kind", kinds[0])
    if kind not in kinds:
        raise UnknownFaultError(f"kind {kind!r} is unknown: use one of {', '.join(kinds)}")
    count, seconds, instrument = body.get("count", 1), body.get("seconds", 0), body.get("instrument")
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= COUNT_MAX:
        raise UnknownFaultError(f"count must be an integer from 1 to {COUNT_MAX}")
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds <= SECONDS_MAX:
        raise UnknownFaultError(f"seconds must be a number from 0 to {SECONDS_MAX}")
    if instrument is not None and not isinstance(instrument, str):
        raise UnknownFaultError("instrument must be a Kalshi ticker, a Polymarket condition id or one of its token ids")
    return FaultRequest(
        venue=str(venue), fault=str(fault), count=count, seconds=float(seconds), instrument=instrument, kind=str(kind)
    )


class _Armed:
    __slots__ = ("fault", "left", "market", "until_ns")

    def __init__(self, fault: str, market: int | None, left: int, until_ns: int) -> None:
        self.fault = fault
        self.market = market  # None: every instrument of the venue
        self.left = left  # frames still to spoil; unused with until_ns
        self.until_ns = until_ns  # 0: by count

    def over(self, now_ns: int) -> bool:
        return now_ns >= self.until_ns if self.until_ns else self.left <= 0


class FaultBoard:
    """What is armed at one venue."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []
        self.spoiled: dict[str, int] = {}

    def arm(self, request: FaultRequest, market: int | None, now_ns: int) -> None:
        """Arm a frame fault or a silence, by seconds when given (silence: 5 s unless told), else by count."""
        seconds = request.seconds or (5.0 if request.fault == "silence" else 0.0)
        until_ns = now_ns + int(seconds * 1e9) if seconds else 0
        self._armed.append(_Armed(request.fault, market, request.count, until_ns))

    def clear(self) -> None:
        self._armed.clear()

    @property
    def quiet(self) -> bool:
        """Nothing armed: the caller may skip ``verdict``."""
        return not self._armed

    def count(self, fault: str) -> None:
        self.spoiled[fault] = self.spoiled.get(fault, 0) + 1

    def silent(self, market: int, now_ns: int) -> bool:
        """Whether no data of this market may leave now."""
        return any(
            a.fault == "silence" and (a.market is None or a.market == market) and not a.over(now_ns)
            for a in self._armed
        )

    def verdict(self, market: int, now_ns: int) -> Verdict:
        """The fate of one book change; counts it against the oldest fault armed for it."""
        self._armed = [a for a in self._armed if not a.over(now_ns)]
        if self.silent(market, now_ns):
            self.count("silence")
            return Verdict.DROP
        for armed in self._armed:
            if armed.fault == "silence" or (armed.market is not None and armed.market != market):
                continue
            armed.left -= 1
            self.count(armed.fault)
            return {"drop_delta": Verdict.DROP, "duplicate": Verdict.TWICE, "reorder": Verdict.HOLD}[armed.fault]
        return Verdict.SEND

    def describe(self, now_ns: int) -> list[dict[str, object]]:
        return [
            {
                "fault": a.fault,
                "market": a.market,
                "count_left": None if a.until_ns else a.left,
                "seconds_left": max(0, a.until_ns - now_ns) / 1e9 if a.until_ns else None,
            }
            for a in self._armed
            if not a.over(now_ns)
        ]
