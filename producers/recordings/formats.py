"""Every format of a recording by name, and what opens it.

Decides which importer reads what was named. It must never guess a format from a file.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from producers.errors import RecordingError
from producers.recordings.bbo import replay as bbo_pairs
from producers.recordings.bbo.fed_rows import fed_rows
from producers.recordings.binance import wire as binance_wire
from producers.recordings.frame import Recording
from producers.recordings.kalshi_l2.open import BTC15M, GOLD15M, KalshiL2
from producers.recordings.polymarket_l2.open import PolymarketL2

#: (files or folders, fee file, partitions, **options of the format) → Recording; raises RecordingError.
Opener: TypeAlias = Callable[..., Recording]

FORMATS: Final[dict[str, Opener]] = {
    "bbo-pairs": bbo_pairs.Recording,
    "xv-fed-dec2025": partial(bbo_pairs.Recording, read=fed_rows),
    "polymarket-btc5m-l2": PolymarketL2,
    "kalshi-btc15m-l2-spot": partial(KalshiL2, BTC15M),
    "kalshi-gold15m-l2": partial(KalshiL2, GOLD15M),
    "binance-wire-2024-08": binance_wire.Recording,
}


def open_recording(
    name: str, files: Sequence[Path], fees_file: Path | None, partitions: int, **options: Any
) -> Recording:
    """Open a recording of a format; `_` and `-` in its name are the same.

    Raises:
        RecordingError: there is no such format, or what was named cannot be imported.
    """
    opener = FORMATS.get(name.replace("_", "-"))
    if opener is None:
        raise RecordingError(f"no format is called {name!r}; known are {', '.join(FORMATS)}")
    return opener(files, fees_file, partitions, **options)
