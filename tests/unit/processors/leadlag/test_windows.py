"""Windows of signals: which series are compared, when a window closes, and when advice is given."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.leadlag.windows import GROUP_PAIRS_MAX, Mids, Seen, Sieve, Windows, WindowTerms
from tests.builders.leadlag_worlds import MS, T0, S, planted_signals, reference_top, top, watermark
from tests.contract.record_strategies import sample

A, B = "kalshi:TEAM", "polymarket:0xteam"
TERMS = WindowTerms(
    window_ns=60 * S, stride_ns=20 * S, bar_ns=S, hy_lag_max_ns=2 * S, hy_step_ns=100 * MS, references={}
)


def fold(signals, terms=TERMS, windows=None):
    windows = windows or Windows(terms)
    return [found for key, record in signals for found in windows.take(key or "", record)]


def test_a_planted_lead_becomes_advice_after_three_windows():
    found = fold(planted_signals(3, a=A, b=B, group="group", lead_ms=500, seconds=160))
    first = found[0]
    assert (first.group, first.instrument_a, first.instrument_b) == ("group", A, B)
    assert {one.hy_leader for one in found[2:]} == {A}
    assert [one.leader for one in found[-3:]] == [A] * 3
    assert found[-1].votes == 4
    assert {one.window_leader for one in found} == {None}, "bars of a second cannot see half of one"
    counts = [one.votes for one in found]
    assert all((one.leader is not None) == (count >= 3) for one, count in zip(found, counts, strict=True))


def test_a_window_is_closed_by_the_first_watermark_at_its_end():
    found = fold(planted_signals(3, a=A, b=B, group="group", lead_ms=0, seconds=100))
    assert [one.ts_window_end_ns % TERMS.stride_ns for one in found] == [0] * len(found)
    assert all(one.ts_ns == one.ts_window_end_ns for one in found), "a watermark a second"
    assert all(one.ts_window_end_ns - one.ts_window_start_ns == TERMS.window_ns for one in found)
    assert len({one.lead_lag_id for one in found}) == len(found)
    assert all(one.leader is None for one in found)


@pytest.mark.parametrize("cut", [1, 400, 1_111])
def test_what_is_read_in_pieces_says_the_same(cut):
    signals = planted_signals(5, a=A, b=B, group="group", lead_ms=500, seconds=100)
    windows = Windows(TERMS)
    assert fold(signals[:cut], windows=windows) + fold(signals[cut:], windows=windows) == fold(signals)


def test_a_restart_that_remembers_the_history_says_the_same():
    signals = planted_signals(5, a=A, b=B, group="group", lead_ms=500, seconds=300)
    whole = fold(signals)
    start_ns = T0 + 240 * S - TERMS.history_ns
    late = fold([one for one in signals if one[1].ts_ns >= start_ns])
    ends = [one.ts_window_end_ns for one in late]
    assert [one.leader for one in late[-3:]] == [one.leader for one in whole if one.ts_window_end_ns in ends][-3:]
    assert late[-1].leader == A


def test_a_long_silence_is_passed_in_one_step():
    signals = planted_signals(5, a=A, b=B, group="group", lead_ms=0, seconds=100)
    windows = Windows(TERMS)
    fold(signals, windows=windows)
    later = watermark(T0 + 10**7 * S, 10**6)
    assert windows.closes(later)
    assert windows.take("", later)[:-4] == []
    assert not windows.closes(watermark(later.ts_ns + S, 10**6 + 1))


def test_references_are_compared_with_the_instruments_that_the_settings_name():
    spot = "binance:BTCUSDT"
    signals = [
        (spot, reference_top(record)) if key and record.instrument_id == spot else (key, record)
        for key, record in planted_signals(3, a=spot, b=A, group="group", lead_ms=500, seconds=160)
    ]
    assert fold(signals) == []
    found = fold(signals, TERMS._replace(references={spot: "kalshi:TE"}))
    assert {(one.group, one.instrument_a, one.instrument_b) for one in found} == {("group", spot, A)}
    assert found[-1].leader == spot


def test_in_a_large_group_only_quoted_pairs_are_compared():
    seen = Seen({})
    kalshi, polymarket = ([f"{venue}:{n}" for n in range(3)] for venue in ("kalshi", "polymarket"))
    for position, name in enumerate([*kalshi, *polymarket]):
        seen.take("group", top(T0 + position, position, name, 500_000))
    assert len(kalshi) * len(polymarket) > GROUP_PAIRS_MAX
    assert seen.pairs() == []
    for legs in ((polymarket[1], kalshi[1]), ("kalshi:unseen", polymarket[0])):
        seen.take("group", msgspec.structs.replace(sample("EdgeUpdate"), instrument_a=legs[0], instrument_b=legs[1]))
    assert [(pair.a, pair.b) for pair in seen.pairs()] == [(kalshi[1], polymarket[1])]


@settings(max_examples=10)
@given(seed=st.integers(0, 9), kinds=st.lists(st.sampled_from("ttttqqqsw"), max_size=60), begin=st.integers(0, 30))
def test_what_the_sieve_holds_back_changes_nothing(seed, kinds, begin):
    signals = planted_signals(seed, a=A, b=B, group="group", lead_ms=500, seconds=25)
    terms = TERMS._replace(window_ns=12 * S, stride_ns=6 * S, hy_lag_max_ns=S, hy_step_ns=500 * MS)
    for number, kind in enumerate(kinds):
        at = number * len(signals) // 60
        _, beside = signals[at]
        position = beside.position
        extra = {
            "t": top(beside.ts_ns, position, (A, B, "kalshi:THIRD")[(seed + number) % 3], 500_000),
            "q": msgspec.structs.replace(sample("EdgeUpdate"), instrument_a=A, instrument_b="kalshi:THIRD"),
            "s": sample("EdgeStatistics"),
            "w": watermark(beside.ts_ns, position),
        }[kind]
        signals.insert(at, ("group" if kind in "tq" else None, extra))
    sieve = Sieve()
    kept = [one for one in signals[begin:] if sieve.needs(type(one[1]).__name__)]
    assert fold(kept, terms) == fold(signals[begin:], terms)


def test_of_the_quotes_only_the_first_after_a_top_is_needed():
    sieve = Sieve()
    kinds = [
        "EdgeUpdate",
        "EdgeUpdate",
        "TopOfBook",
        "TopOfBook",
        "EdgeUpdate",
        "EdgeUpdate",
        "Watermark",
        "EdgeStatistics",
    ]
    assert [sieve.needs(kind) for kind in kinds] == [True, False, True, True, True, False, True, False]
    assert [sieve.needs(kind) for kind in ("", "Fill", "ReferenceTop", "Watermark", "EdgeUpdate")] == [True] * 5


def test_a_gap_is_closed_at_the_level_it_began_at():
    mids = Mids()
    tops = [(0, 500, True), (1, 510, True), (2, 400, False), (5, 700, True), (6, 705, True)]
    for second, mid, fresh in tops:
        mids.take(top(T0 + second * S, second, A, mid * 1_000, fresh=fresh))
    assert list(mids.ticks().values) == [500_000, 510_000, 510_000, 515_000]
    mids.take(top(T0 + 6 * S, 7, A, 710_000))
    assert list(mids.ticks().values)[-1] == 520_000, "of two at one time the later counts"
    mids.forget_before(T0 + 5 * S + 1)
    assert list(mids.ticks().times) == [T0 + 5 * S, T0 + 6 * S]
