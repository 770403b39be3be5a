"""Where things stand: the checkout, and the recordings and samples beside it, which may be absent."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"
SAMPLES = SHARED / "venues" / "samples"
