"""What the sandbox lists: enough kinds to exercise a catalogue, ids that do not move."""

from deploy.sandbox.listing import subjects_of


def test_six_pairs_two_singles_and_a_quiet_one() -> None:
    subjects = subjects_of("eventful", 6)
    assert [s.paired for s in subjects] == [True] * 6 + [False] * 3
    singles = [s for s in subjects if s.polymarket is None or s.kalshi is None]
    assert len(singles) == 2
    quiet = subjects[-1]
    assert quiet.polymarket is not None
    assert quiet.kalshi is not None
    assert max(quiet.polymarket.volume, quiet.kalshi.volume) < 1_000_000
    busy = [listing.volume for s in subjects[:-1] for listing in (s.polymarket, s.kalshi) if listing is not None]
    assert min(busy) > 1_000_000


def test_every_kind_of_schedule_grid_and_delay_is_there() -> None:
    pairs = [s for s in subjects_of("eventful", 6) if s.paired]
    mine = [s.polymarket for s in pairs if s.polymarket is not None]
    theirs = [s.kalshi for s in pairs if s.kalshi is not None]
    assert {0, 40_000, 50_000, 70_000} == {m.fee_rate for m in mine}
    assert {1_000, 10_000} == {m.tick for m in mine}
    assert any(m.tick_change_ns for m in mine)
    assert any(m.seconds_delay for m in mine)
    assert any(m.itode and not m.seconds_delay for m in mine)
    assert {"v1", "v2"} == {m.version for m in mine}
    assert {"linear_cent", "tapered_deci_cent"} == {k.structure for k in theirs}
    assert {5, 10} == {k.multiplier_tenths for k in theirs}
    assert {35_000, 70_000} == {k.fee_rate for k in theirs}


def test_ids_are_unique_and_derive_from_the_key_alone() -> None:
    subjects = subjects_of("eventful", 40)
    assert subjects == subjects_of("eventful", 40)
    tokens = [t for s in subjects if s.polymarket for t in (s.polymarket.token_yes, s.polymarket.token_no)]
    tickers = [s.kalshi.ticker for s in subjects if s.kalshi]
    assert len(set(tokens)) == len(tokens)
    assert len(set(tickers)) == len(tickers)


def test_a_v2_market_follows_the_position_id_layout() -> None:
    listing = next(s.polymarket for s in subjects_of("eventful", 6) if s.polymarket and s.polymarket.version == "v2")
    yes, no = int(listing.token_yes), int(listing.token_no)
    assert no == yes + 1
    assert yes >> 248 == 1, "module 1 is binary"
    assert (yes >> 40) & (2**64 - 1) == 0, "the reserved bits are zero"
    assert len(listing.gamma_condition_id) == 64, "0x and 31 bytes"
    assert listing.condition_id == listing.gamma_condition_id.ljust(66, "0")
    assert int(listing.gamma_condition_id, 16) == yes >> 8
