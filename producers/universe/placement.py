"""Where an earlier life of the writer left instruments and pairs: their groups, as `market` has them.

Decides, from what is known of each partition and its last records, under which group an instrument stands and which pairs are listed.
A writer that starts again goes on from there, so that an instrument that must change its group leaves the old one by a record.
"""

from collections.abc import Iterable

from crossbook.market.image import MarketImage
from schemas.records import InstrumentListed, InstrumentMoved, PairDelisted, PairListed, Record


class Placement:
    """Fold of the ends of all partitions."""

    def __init__(self) -> None:
        self._instruments: dict[str, InstrumentListed] = {}
        self._pairs: dict[str, PairListed] = {}

    def take(self, known: MarketImage | None, tail: Iterable[Record | None]) -> None:
        """Take one partition: what a checkpoint knows of it, and its last records in order, which may begin before the checkpoint."""
        instruments: dict[str, InstrumentListed] = {}
        pairs: dict[str, PairListed] = {}
        if known is not None:
            instruments = {listed.instrument_id: listed for listed in known.instruments}
            pairs = {listed.pair_id: listed for listed in known.pairs}
        for record in tail:
            match record:
                case InstrumentListed():
                    instruments[record.instrument_id] = record
                case InstrumentMoved():
                    instruments.pop(record.instrument_id, None)
                case PairListed():
                    pairs[record.pair_id] = record
                case PairDelisted():
                    pairs.pop(record.pair_id, None)
                case _:
                    pass
        for name, instrument in instruments.items():
            before = self._instruments.get(name)
            if before is None or before.ts_received_ns <= instrument.ts_received_ns:
                self._instruments[name] = instrument
        for name, pair in pairs.items():
            listed = self._pairs.get(name)
            if listed is None or listed.ts_received_ns <= pair.ts_received_ns:
                self._pairs[name] = pair

    @property
    def groups(self) -> dict[str, str]:
        """Group of each instrument."""
        return {name: listed.group for name, listed in self._instruments.items()}

    @property
    def pairs(self) -> dict[str, PairListed]:
        """Pairs that are listed."""
        return dict(self._pairs)
