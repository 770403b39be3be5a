"""The fee file: one entry for a series, grids by ranges, and what it refuses."""

from pathlib import Path

import pytest
import yaml

from producers.errors import RecordingError
from producers.recordings.fees import FeeFile, load_fee_file
from tests.builders.places import REPOSITORY

ENTRY = {
    "venue": "kalshi", "id": "KXA-*", "model": "kalshi_quadratic", "taker_rate": "0.07", "evidence": "e", "source": "s",
}  # fmt: skip


def load(tmp_path: Path, *entries: dict[str, object]) -> FeeFile:
    file = tmp_path / "fees.yaml"
    markets = [ENTRY | entry for entry in entries]
    file.write_text(
        yaml.safe_dump({"version": 1, "markets": markets}).replace("source: s", "source: s\n  effective: 2026-05-01")
    )
    return load_fee_file(file)


def test_the_nearest_entry_counts(tmp_path: Path) -> None:
    fees = load(tmp_path, {}, {"id": "KXA-26*"}, {"id": "KXA-26X"})
    found = {name: fees.market("kalshi", name) for name in ("KXA-26X", "KXA-26XY", "KXA-25", "KXB")}
    assert {name: one and one.id for name, one in found.items()} == {
        "KXA-26X": "KXA-26X",
        "KXA-26XY": "KXA-26*",
        "KXA-25": "KXA-*",
        "KXB": None,
    }
    assert fees.market("polymarket", "KXA-26X") is None


def test_a_star_stands_at_the_end_of_a_name(tmp_path: Path) -> None:
    for wrong in ("*", "KX*-A", "KXA-**"):
        with pytest.raises(RecordingError, match="may only end an id"):
            load(tmp_path, {"id": wrong})


def test_a_grid_of_ranges(tmp_path: Path) -> None:
    ranges = [{"start": "0", "end": "0.1", "tick": "0.001"}, {"start": "0.1", "end": "1", "tick": "0.01"}]
    grid = load(tmp_path, {"grid": ranges}).markets[0].price_grid()
    assert grid.contains(99_000)
    assert grid.contains(110_000)
    assert not grid.contains(111_000)
    with pytest.raises(RecordingError, match="grid of kalshi"):
        load(tmp_path, {"grid": ranges[::-1]}).markets[0].price_grid()
    with pytest.raises(RecordingError, match="grid of kalshi"):
        load(tmp_path, {"tick": "0.03"}).markets[0].price_grid()


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "docs" / "examples").glob("fees_*.yaml")), ids=lambda file: file.stem
)
def test_the_examples_are_fee_files(file: Path) -> None:
    fees = load_fee_file(file)
    for market in fees.markets:
        assert (market.schedule().taker_rate_ppm > 0) == (market.model != "free")
        assert market.price_grid().ranges
