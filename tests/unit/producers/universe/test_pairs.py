"""The pairs file: what it approves, and that each mistake is named."""

from pathlib import Path

import pytest

from producers.universe.pairs import PairsFileError, full_condition_id, load_pairs_file, other_legs

GOOD = """
pairs:
  - pair_id: cut
    relation: identity
    polymarket: {condition_id: "0xabc"}
    kalshi: KXFED-26-C
    haircut: "0.005"
    evidence: both follow the same statement
    payouts:
      yes: {polymarket: "1", kalshi: "1", evidence: rules}
      no: {polymarket: "0", kalshi: "0", evidence: rules}
      void: {admissible: false, evidence: neither voids}
      postponed: {polymarket: "0.5", evidence: kalshi says nothing}
"""


def load(tmp_path: Path, text: str):
    file = tmp_path / "pairs.yaml"
    file.write_text(text)
    return load_pairs_file(file)


def test_an_approval_carries_the_matrix(tmp_path: Path) -> None:
    (pair,) = load(tmp_path, GOOD)
    record = pair.approval(7, "me")
    assert (record.instrument_a, record.instrument_b) == ("polymarket:0xabc" + "0" * 61, "kalshi:KXFED-26-C")
    assert (record.ts_ns, record.operator, record.haircut_micros) == (7, "me", 5_000)
    cells = {c.outcome: (c.payout_a_micros, c.payout_b_micros, c.admissible) for c in record.payouts}
    assert cells == {
        "yes": (1_000_000, 1_000_000, True), "no": (0, 0, True), "void": (None, None, False),
        "postponed": (500_000, None, True),
    }  # fmt: skip


def test_a_complement_pays_on_the_other_side(tmp_path: Path) -> None:
    text = GOOD.replace("relation: identity", "relation: complement")
    text = text.replace('"1", kalshi: "1"', '"1", kalshi: "0"').replace('"0", kalshi: "0"', '"0", kalshi: "1"')
    assert load(tmp_path, text)[0].relation == "complement"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pair_id: cut", "pair_id: ''", "pair_id"),
        ("relation: identity", "relation: same", "relation"),
        ("relation: identity", "relation: complement", "contradicts relation complement"),
        ('{condition_id: "0xabc"}', "{}", "exactly one"),
        ('{condition_id: "0xabc"}', "{condition_id: a, slug: b}", "exactly one"),
        ("haircut:", "haricut:", "haricut"),
        ('"0.005"', "0.005", "haircut"),
        ('"0.005"', '"1.5"', "outside 0..1"),
        ('      no: {polymarket: "0", kalshi: "0", evidence: rules}\n', "", "payouts.no is missing"),
        ("evidence: rules}\n      no", "evidence: ''}\n      no", "evidence"),
        ("void:", "maybe:", "maybe"),
        ("pairs:", "pear:", "pear"),
        (GOOD, "{", "no YAML"),
        (GOOD, "", "the file"),
        (GOOD, GOOD + GOOD.split("pairs:\n")[1], "more than once"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(PairsFileError, match=says):
        load(tmp_path, GOOD.replace(old, new))


def test_short_condition_ids_are_padded() -> None:
    assert full_condition_id("0x" + "a" * 62) == "0x" + "a" * 62 + "00"
    assert full_condition_id("0x" + "a" * 64) == "0x" + "a" * 64
    assert full_condition_id("slug") == "slug"


def test_other_legs_under_a_name_are_seen(tmp_path: Path) -> None:
    (pair,) = load(tmp_path, GOOD)
    known = pair.approval(1, "o")
    assert not other_legs(known, pair.approval(2, "p"))
    (kalshi,) = load(tmp_path, GOOD.replace("KXFED-26-C", "KXFED-26-H"))
    (condition,) = load(tmp_path, GOOD.replace("0xabc", "0xabd"))
    assert other_legs(known, kalshi.approval(2, "o")) and other_legs(known, condition.approval(2, "o"))
    (slug,) = load(tmp_path, GOOD.replace('condition_id: "0xabc"', "slug: fed-cuts"))
    assert not other_legs(known, slug.approval(2, "o")), "a slug may mean the same market: the catalogue knows, later"
