"""What an id stands for, once and for all: the legs of a pair, the tokens of an instrument.

Decides whether a listing may be taken. Legs under a pair's id and tokens under an instrument's never change: orders, positions and
counters are kept by id, so that a listing that names others would turn a hedge into two bets. What contradicts is not taken and makes
its id untradable: nobody can tell from here which of the two is right. For a pair that ends with a word of the producers that delists
it; its legs are remembered even then. Must never forget a leg, and never take the newer listing for the better one.
"""

from typing import Final

from schemas.records import InstrumentListed, PairListed

LEGS_CHANGED: Final = "legs_changed"
TOKENS_CHANGED: Final = "listed again with other tokens"
#: What an instrument is. A token that was not known may become known; one that was known stays.
_IDENTITY: Final = ("venue", "symbol", "yes_token", "no_token")


class Identities:
    """`legs` of every pair that was ever listed here; `pairs` and `instruments` whose listings contradict each other."""

    __slots__ = ("instruments", "legs", "pairs")

    def __init__(self) -> None:
        self.legs: dict[str, tuple[str, str]] = {}
        self.pairs: dict[str, None] = {}
        self.instruments: dict[str, None] = {}

    def accept_pair(self, record: PairListed) -> bool:
        """Whether a listing names the legs that its id has always had; if not, the pair is not to be traded."""
        legs = record.instrument_a, record.instrument_b
        if self.legs.setdefault(record.pair_id, legs) == legs:
            return True
        self.pairs[record.pair_id] = None
        return False

    def delist(self, pair_id: str) -> None:
        """The producers took the pair back: its next listing is judged by its legs alone."""
        self.pairs.pop(pair_id, None)

    def accept_instrument(self, before: InstrumentListed, record: InstrumentListed) -> bool:
        """Whether a listing is of the same contract as the one before; if not, the instrument is not to be traded."""
        for name in _IDENTITY:
            known = getattr(before, name)
            if known is not None and getattr(record, name) != known:
                self.instruments[record.instrument_id] = None
                return False
        return True
