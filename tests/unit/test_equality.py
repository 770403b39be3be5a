"""The proof of equality by its own parts: a short world is the same twice, comes back from its files, and one changed field is found."""

import msgspec
import pytest

from schemas.records import EdgeUpdate, TradeIntent
from tests.equality import mapping
from tests.equality.compare import Comparison
from tests.equality.decided import decide_all
from tests.equality.files import read_market, write_manifest, write_source
from tests.equality.worlds import world_records

NAME = "world-01"


@pytest.fixture(scope="module")
def decided():
    return decide_all(NAME, world_records(1, 12, 60))


def dumped(folder, found):
    write_manifest(folder, {NAME: write_source(folder, NAME, found)})
    return folder


def compared(before, after):
    found = Comparison()
    found.dumps(before, after)
    return found


def test_a_seed_gives_one_world_and_it_trades(decided):
    assert world_records(1, 12, 60) == decided["market"]
    assert any(isinstance(record, EdgeUpdate) for record in decided["signals"])
    assert any(isinstance(record, TradeIntent) for record in decided["intents"])
    assert decided["journal"]


def test_market_comes_back_from_its_files_and_is_decided_on_alike(decided, tmp_path):
    before = dumped(tmp_path / "before", decided)
    market = read_market(before, NAME)
    assert market == decided["market"]
    found = compared(before, dumped(tmp_path / "after", decide_all(NAME, market)))
    assert found.different == 0
    assert sum(found.compared.values()) == sum(len(records) for records in decided.values())


def test_one_changed_field_and_a_missing_record_are_found(decided, tmp_path):
    intents = list(decided["intents"])
    intents[0] = msgspec.structs.replace(intents[0], net_micros=intents[0].net_micros + 1)
    changed = decided | {"intents": intents, "journal": decided["journal"][:-1]}
    found = compared(dumped(tmp_path / "before", decided), dumped(tmp_path / "after", changed))
    assert found.different == 2
    assert "intents record 0: TradeIntent.net_micros was" in found.differences[0]
    assert "only before" in found.differences[1]


def test_the_mapping_renames_adds_and_makes_legs(monkeypatch):
    monkeypatch.setattr(mapping, "RENAMED_RECORDS", {"Old": "New"})
    monkeypatch.setattr(mapping, "RENAMED_FIELDS", {("Old", "was"): "is"})
    monkeypatch.setattr(mapping, "ADDED_FIELDS", {("Old", "strategy"): "pairs"})
    monkeypatch.setattr(mapping, "LEGS", frozenset({"Old"}))
    mapped = mapping.forward("Old", {"was": 1, "leg_a": "a", "leg_b": "b"})
    assert mapped == ("New", {"is": 1, "legs": ["a", "b"], "strategy": "pairs"})
    assert "Old → New" in "\n".join(mapping.table())
