"""`crossbook status`: every stack of the state folder in one screen.

Says for each what feeds it, whether it runs, what the executor of each portfolio may do (from its journal, by the executor's own fold),
what is held and what it is worth (from ClickHouse), and its processes. Decides nothing. What cannot be read is said to be not available and why; one
part that is away never hides another.
"""

import json
import textwrap
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from crossbook.domain.errors import StageError
from crossbook.domain.money import format_rounded
from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import wait_for_broker
from crossbook.runtime.settings import Settings, load_settings
from deploy.errors import DeployError, StackError
from deploy.operate.trading import read_trading
from deploy.stack.attach import reader_client, sql_errors
from deploy.stack.stacks import STATUS_FILE, FoundStack, current_folder, find_stacks, own_settings, state_root
from executors.errors import ExecutorError
from projections.clickhouse import queries

#: A broker that hangs is told after this.
BROKER_S = 3.0
WIDTH = 80
LABEL = 11
NO_PNL = queries.PnlTotals(0, 0, 0, 0, 0, 0)
NO_TRADES = queries.TradeStates(0, 0, 0, 0)


def read_status() -> list[dict[str, Any]]:
    """One entry a stack, ready for JSON.

    Raises:
        StackError: there is none.
    """
    root = state_root(load_settings())
    found = find_stacks(root)
    if not found:
        raise StackError(f"no stack runs in {root}, and none is kept; start one with `crossbook up`")
    return [_entry(one, current_folder(root)) for one in found]


def _entry(found: FoundStack, current: Path | None) -> dict[str, Any]:
    head = {
        "stack": found.name,
        "folder": str(found.folder),
        "state": found.state,
        "orders": "paper",
        "feeds": found.feeds,
        "prefix": found.prefix,
        "pid": found.pid,
        "ts_started": datetime.fromtimestamp(found.since_s, UTC).isoformat(timespec="seconds"),
        "current": found.folder.resolve() == current,
    }
    if found.state != "running":
        why = "it does not run" if found.state == "kept" else "it is starting, or a command reads it"
        return head | _not_available(why)
    try:
        settings = own_settings(found.folder)
    except DeployError as error:
        return head | _not_available(str(error))
    return head | {"portfolios": _portfolios(settings), "processes": _processes(found)}


def _not_available(why: str) -> dict[str, Any]:
    return {"portfolios": [], "not_available": why, "processes": []}


def _portfolios(settings: Settings) -> list[dict[str, Any]]:
    """One entry a portfolio of the stack: what its executor may do, and what it holds."""
    names = settings.portfolio_names
    held = _or_why(lambda: _holdings(settings, names))
    return [
        {
            "portfolio": name,
            "trading": _or_why(partial(_trading, settings.of_portfolio(name))),
            "holdings": held if "not_available" in held else held[name],
        }
        for name in names
    ]


def _or_why(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        with sql_errors():
            return read()
    except (StageError, DeployError, ExecutorError) as error:
        return {"not_available": " ".join(str(error).split())}


def _trading(settings: Settings) -> dict[str, Any]:
    wait_for_broker(settings.kafka, BROKER_S)
    return read_trading(settings, now_ns()).as_dict()


def _holdings(settings: Settings, portfolios: Sequence[str]) -> dict[str, Any]:
    """What each portfolio holds and what it is worth, by its name."""
    client, database = reader_client(settings)
    held = [one for one in queries.positions(client, database) if not one.settled]
    trades, pnl = queries.trade_states(client, database), queries.pnl_by_portfolio(client, database)
    return {
        name: {
            "positions": [
                {
                    "portfolio": one.portfolio,
                    "instrument": one.instrument_id,
                    "outcome": one.outcome,
                    "quantity_micros": one.quantity_micros,
                    "value_micros": one.value_micros,
                }
                for one in held
                if one.portfolio == name
            ],
            "pnl_micros": pnl.get(name, NO_PNL)._asdict(),
            "trades": trades.get(name, NO_TRADES)._asdict(),
        }
        for name in portfolios
    }


def _processes(found: FoundStack) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = json.loads((found.folder / STATUS_FILE).read_text())
    except (OSError, ValueError):
        return []
    return rows


def render_status(entries: list[dict[str, Any]]) -> str:
    """The entries for people, at most 80 columns wide where names allow it."""
    return "\n\n".join("\n".join(_lines(entry)) for entry in entries)


def _lines(entry: dict[str, Any]) -> list[str]:
    running = f"running, pid {entry['pid']}" if entry["state"] == "running" else entry["state"]
    started = entry["ts_started"].replace("T", " ").removesuffix("+00:00")
    mark = " (read by default)" if entry["current"] else ""
    lines = [
        f"{entry['stack']}: {running}, started {started} UTC{mark}",
        *_field("mode", [f"{entry['orders']} orders on {entry['feeds']}, prefix {entry['prefix']}"]),
        *_field("folder", [entry["folder"]]),
    ]
    if entry["state"] != "running":
        return lines
    if "not_available" in entry:
        lines += _field("trading", [f"not available: {entry['not_available']}"])
    for one in entry["portfolios"]:
        if len(entry["portfolios"]) > 1:
            lines += _field("portfolio", [one["portfolio"]])
        lines += _field("trading", _trading_lines(one["trading"]))
        lines += _field("holdings", _holding_lines(one["holdings"]))
    return lines + _field("processes", _process_lines(entry["processes"]))


def _field(label: str, texts: list[str]) -> list[str]:
    lines = [line for text in texts for line in textwrap.wrap(text, WIDTH - LABEL - 2, break_long_words=False)]
    return [f"  {label if index == 0 else '':<{LABEL}}{line}" for index, line in enumerate(lines)]


def _trading_lines(trading: dict[str, Any]) -> list[str]:
    if "not_available" in trading:
        return [f"not available: {trading['not_available']}"]
    said = [f"{trading['state'].upper()}, {trading['open_trades']} trades at work, journal number {trading['journal']}"]
    for bind in trading["binds"]:
        until = bind["ts_until_ns"]
        end = f", until {datetime.fromtimestamp(until // 10**9, UTC):%H:%M:%S} UTC" if until else ""
        said.append(f"{bind['what']}: {bind['state']} by {bind['source']}{end}")
    return said


def _holding_lines(holdings: dict[str, Any]) -> list[str]:
    if "not_available" in holdings:
        return [f"not available: {holdings['not_available']}"]
    pnl, trades, held = holdings["pnl_micros"], holdings["trades"], holdings["positions"]
    contracts = sum(abs(one["quantity_micros"]) for one in held)
    figures = ", ".join(f"{name} {format_rounded(pnl[name] or 0, 2)}" for name in pnl)
    return [
        f"{len(held)} positions, {format_rounded(contracts, 2)} contracts; trades: "
        + ", ".join(f"{count} {name}" for name, count in trades.items()),
        f"PnL $: {figures}",
    ]


def _process_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Name, pid and memory of each; what is not simply running says so."""
    cells = []
    for row in rows:
        odd = "" if row["state"] == "running" else f" {row['state']}, last exit {row['last_exit']},"
        again = f" {row['restarts']} restarts" if row["restarts"] else ""
        cells.append(f"{row['name']} {row['pid'] or '-'} {row['rss_mb']} MB{odd}{again}")
    return [", ".join(cells) or "not available"]
