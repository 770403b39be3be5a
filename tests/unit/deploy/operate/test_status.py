"""The screen of `crossbook status`: all of it in 80 columns, what is missing said as missing."""

import os

import pytest

from deploy.errors import StackError
from deploy.operate.status import WIDTH, read_status, render_status
from deploy.stack.stacks import SETTINGS_FILE
from deploy.stack.state import StateFolder

HEAD = {
    "stack": "up",
    "folder": "/var/lib/ann/.crossbook",
    "state": "running",
    "orders": "paper",
    "feeds": "sandbox",
    "prefix": "crossbook.",
    "pid": 4711,
    "ts_started": "2026-11-29T09:48:12+00:00",
    "current": True,
}
BOUND = {
    "portfolio": "main",
    "journal": 123_456,
    "state": "halted",
    "open_trades": 2,
    "binds": [
        {"what": "all", "state": "halted", "source": "an operator's halt", "ts_until_ns": 0},
        {"what": "venue kalshi", "state": "reduce_only", "source": "the breaker", "ts_until_ns": 36_000 * 10**9},
        {"what": "pair " + "long-name-" * 7, "state": "reduce_only", "source": "revoked", "ts_until_ns": 0},
    ],
}
HELD = {
    "positions": [{"instrument": "kalshi:A", "outcome": "no", "quantity_micros": 10_500_000, "value_micros": None}],
    "pnl_micros": {"gross": 1_234_567, "fees": 200_000, "net": 1_034_567, "realised": 0, "unrealised": 1_034_567},
    "trades": {"open": 1, "hedged": 3, "stuck": 0, "declined": 12},
}
MAIN = {"portfolio": "main", "trading": BOUND, "holdings": HELD}
NAMES = ("kafka", "clickhouse", "registry", "sandbox", "project", "execute", "decide", "leadlag", "producers")
PROCESSES = [
    {"name": name, "pid": 100_000 + number, "state": "running", "restarts": 0, "rss_mb": 371, "last_exit": None}
    for number, name in enumerate(NAMES)
]


def test_one_screen_of_80_columns_says_it_all():
    text = render_status([HEAD | {"portfolios": [MAIN], "processes": PROCESSES}])
    lines = text.splitlines()
    assert [line for line in lines if len(line) > WIDTH and "long-name" not in line] == []
    assert len(lines) < 24
    for part in (
        "up: running, pid 4711",
        "paper orders on sandbox, prefix crossbook.",
        "HALTED, 2 trades at work",
        "all: halted by an operator's halt",
        "venue kalshi: reduce_only by the breaker, until 10:00:00 UTC",
        "1 positions, 10.50 contracts",
        "net 1.03",
        "unrealised 1.03",
        "execute 100005 371 MB",
        "(read by default)",
    ):
        assert part in " ".join(text.split()), part


def test_each_portfolio_has_its_own_lines():
    free = {"portfolio": "twin", "journal": 5, "state": "running", "open_trades": 0, "binds": []}
    flat = {"positions": [], "pnl_micros": {"gross": 0, "net": 0}, "trades": {"open": 0}}
    twin = {"portfolio": "twin", "trading": free, "holdings": flat}
    text = render_status([HEAD | {"portfolios": [MAIN, twin], "processes": PROCESSES}])
    main, second = " ".join(text.split()).split("portfolio twin")
    assert "portfolio main trading HALTED" in main and "net 1.03" in main
    assert second.startswith(" trading RUNNING, 0 trades at work, journal number 5 holdings 0 positions")
    assert "HALTED" not in second


def test_settings_that_cannot_be_read_are_said():
    text = render_status([HEAD | {"portfolios": [], "not_available": "settings.toml cannot be read", "processes": []}])
    assert "trading not available: settings.toml cannot be read" in " ".join(text.split())


def test_a_process_that_is_not_running_says_how_it_ended():
    row = PROCESSES[5] | {"state": "backing_off", "pid": None, "restarts": 3, "last_exit": -9}
    text = render_status([HEAD | {"portfolios": [MAIN], "processes": [row]}])
    assert "execute - 371 MB backing_off, last exit -9, 3 restarts" in " ".join(text.split())


def test_what_cannot_be_read_hides_nothing_else():
    away = {"not_available": "ClickHouse does not answer at 127.0.0.1:1"}
    text = render_status([HEAD | {"portfolios": [MAIN | {"holdings": away}], "processes": []}])
    assert "not available: ClickHouse does not answer" in text
    assert "HALTED" in text


@pytest.fixture
def here(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("CROSSBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path / ".crossbook"


def test_no_stack_at_all_is_an_error(here):
    with pytest.raises(StackError, match="no stack runs"):
        read_status()


def test_stacks_that_do_not_run_are_listed(here):
    for folder, prefix in ((here, "crossbook."), (here / "demo", "demo.")):
        folder.mkdir(parents=True)
        (folder / SETTINGS_FILE).write_text(f'[kafka]\nprefix = "{prefix}"\n')
    with StateFolder(here):
        entries = read_status()
    assert [(one["stack"], one["state"], one["prefix"]) for one in entries] == [
        ("up", "starting", "crossbook."),
        ("demo", "kept", "demo."),
    ]
    assert all("not_available" in one and one["portfolios"] == [] for one in entries)
    assert "demo: kept" in render_status(entries)
