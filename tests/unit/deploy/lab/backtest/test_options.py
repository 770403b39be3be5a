"""Settings by name: unknown ones are refused with the nearest known, sweeps are products."""

import pytest

from deploy.lab.backtest.errors import ChangeError
from deploy.lab.backtest.options import BacktestOptions, Range, known_settings, parse_changes, parse_sweep
from deploy.lab.log_range import parse_bound


def test_values_are_typed_as_their_settings_are():
    assert parse_changes(["decide.min_edge_micros=-5", "backtest.order_latency=lognormal:4/30", "paper.seed = 9"]) == {
        "decide.min_edge_micros": -5,
        "backtest.order_latency": "lognormal:4/30",
        "paper.seed": 9,
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("decide.min_edge=1", "did you mean decide.min_edge_micros"),
        ("min_edge_micros=1", "did you mean decide.min_edge_micros"),
        ("kafka.prefix=x.", "no setting is called"),
        ("execute.portfolio=x", "no setting is called"),
        ("decide.cooldown_ms=soon", "valid integer"),
        ("decide.cooldown_ms=-1", "greater than or equal"),
        ("decide.cooldown_ms", "has no value"),
    ],
)
def test_what_is_refused(text, said):
    with pytest.raises(ChangeError, match=said):
        parse_changes([text])


def test_a_sweep_is_every_combination():
    runs = parse_sweep(["decide.min_edge_micros=0,10000", "paper.wire_latency_ms=20,40,80"])
    assert len(runs) == 6
    assert runs[1] == {"decide.min_edge_micros": 0, "paper.wire_latency_ms": 40}
    assert parse_sweep(["backtest.feed_latency=constant:kalshi=1,polymarket=2;none"]) == [
        {"backtest.feed_latency": "constant:kalshi=1,polymarket=2"},
        {"backtest.feed_latency": "none"},
    ]
    assert parse_sweep([]) == []
    assert len(parse_sweep(["paper.seed=1,1,2"])) == 2


@pytest.mark.parametrize(
    "texts", [["paper.seed"], ["paper.seed="], ["paper.sed=1"], ["paper.seed=1", "paper.seed=2"],
              [f"paper.seed={','.join(map(str, range(200)))}", f"paper.late_ms={','.join(map(str, range(200)))}"]],
)  # fmt: skip
def test_no_sweep(texts):
    with pytest.raises(ChangeError):
        parse_sweep(texts)


def test_changes_by_section():
    options = BacktestOptions(changes={"decide.cooldown_ms": 1, "paper.seed": 2})
    assert options.changed("decide") == {"cooldown_ms": 1} and options.changed("execute") == {}
    assert all(name.count(".") == 1 + name.startswith("execute.cash_micros.") for name in known_settings())


def test_capital_is_changed_by_venue():
    assert parse_changes(["execute.cash_micros.kalshi=7"]) == {"execute.cash_micros.kalshi": 7}
    for text in ("execute.cash_micros.kalsi=7", "execute.cash_micros=7", "execute.cash_micros.kalshi=much"):
        with pytest.raises(ChangeError, match=r"cash_micros"):
            parse_changes([text])


def test_ranges():
    whole = Range()
    assert whole.begins(0, 0, 0) and not whole.ends(0, 10**9, 10**18)
    named = Range(begin=parse_bound("1@50"), end=parse_bound("0@20,1@60"))
    assert named.begins(0, 0, 0) and not named.begins(1, 49, 0) and named.begins(1, 50, 0)
    assert (named.end_position(0), named.end_position(1), named.end_position(2)) == (20, 60, None)
    timed = Range(begin=parse_bound("1780000000"), end=parse_bound("1780000001"))
    assert not timed.begins(0, 5, 1_779_999_999 * 10**9) and timed.begins(0, 5, 1_780_000_000 * 10**9)
    assert timed.ends(0, 5, 1_780_000_001 * 10**9) and timed.end_position(0) is None
