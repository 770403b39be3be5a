"""The report of a sweep: every setting tried, in one table, and what was locked in against each of the keys that were swept.

Decides what is shown of the summaries that `deploy.lab.analysis.summary.summarise` made (`key` and `sweep_id` may stand beside them). Must never call the best of many settings good: with enough of them
one is best by luck, and the page says so.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crossbook.domain.money import MICROS
from deploy.lab.report.drawing.cells import money_cell
from deploy.lab.report.drawing.charts import Bar, bar_chart, scatter_chart
from deploy.lab.report.drawing.layout import Block, Cell, Chart, Page, Section, Table, Text, Tile, write_page
from deploy.lab.report.words import dollars, moment, percent, plural, span

BARS_SHOWN = 40


def write_sweep_report(summaries: Sequence[Mapping[str, Any]], path: Path) -> int:
    """Write the page and return its size in bytes. Raises ReportError when the file cannot be written."""
    return write_page(sweep_page(summaries), path)


def sweep_page(summaries: Sequence[Mapping[str, Any]]) -> Page:
    """The page: best first."""
    ordered = sorted(summaries, key=lambda one: (-int(one["locked_micros"]), str(one.get("key", ""))))
    keys = swept_keys(ordered)
    if not ordered:
        return Page("Sweep", "no run", "No run of the sweep is finished yet.", (), ())
    first, best, worst = ordered[0], ordered[0], ordered[-1]
    middle = ordered[len(ordered) // 2]
    charts: list[Block] = [Chart([_chart(ordered, key) for key in keys])] if keys else []
    rest = "" if len(keys) < 2 else " Each chart shows every run, so a dot moves for the other keys too."
    return Page(
        title=f"Sweep of {first['source']}",
        subtitle=f"{moment(first['ts_first_ns'])} to {moment(first['ts_last_ns'])} UTC "
        f"({span(first['ts_last_ns'] - first['ts_first_ns'])}) · {plural(len(ordered), 'run')} over {', '.join(keys) or 'no key'}",
        verdict=_verdict(ordered, keys),
        tiles=[
            Tile("Best, locked in", dollars(best["locked_micros"], sign=True), _settings_of(best, keys)),
            Tile("Median", dollars(middle["locked_micros"], sign=True), _settings_of(middle, keys)),
            Tile("Worst", dollars(worst["locked_micros"], sign=True), _settings_of(worst, keys)),
            Tile("Runs", f"{len(ordered):,}"),
        ],
        sections=[
            Section(
                "keys",
                "Locked in by setting",
                [Text(f"The range is the same in every run; only the settings differ.{rest}"), *charts],
            ),
            Section("runs", "Every run", [_table(ordered, keys)]),
        ],
        foot="Money is counted in integer micros of a dollar; this page rounds it.",
    )


def swept_keys(summaries: Sequence[Mapping[str, Any]]) -> list[str]:
    """Settings whose value differs between runs, or is changed in only some of them."""
    names = {name for one in summaries for name in one["changed"]}
    return sorted(name for name in names if len({one["changed"].get(name) for one in summaries}) > 1)


def _verdict(ordered: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> str:
    best = ordered[0]
    if not any(one["trades"] for one in ordered):
        return (
            f"None of {plural(len(ordered), 'run')} made a trade; the report of a single run shows where the edge went."
        )
    where = _settings_of(best, keys) or "the settings as they are"
    start = (
        f"{where} locked in the most, {dollars(best['net_micros'], sign=True)} over {plural(best['trades'], 'trade')}"
    )
    winners = sum(one["locked_micros"] > 0 for one in ordered)
    return (
        f"{start}; {winners:,} of {plural(len(ordered), 'run')} made money. The best of {len(ordered):,} tries on one range is best by luck "
        "as well: try it on a range that was not swept."
    )


def _settings_of(one: Mapping[str, Any], keys: Sequence[str]) -> str:
    return ", ".join(f"{key.rpartition('.')[2]} = {one['changed'][key]}" for key in keys if key in one["changed"])


def _chart(ordered: Sequence[Mapping[str, Any]], key: str) -> str:
    title = f"Locked in by {key}"
    numbers = [(_number(one["changed"].get(key)), one) for one in ordered]
    if all(value is not None for value, _ in numbers):
        dots = [
            (
                value or 0.0,
                one["locked_micros"] / MICROS,
                f"{one['changed'][key]}: {dollars(one['locked_micros'], sign=True)}",
            )
            for value, one in numbers
        ]
        return scatter_chart(dots, title=title, y_unit="$", x_label=key, y_label="locked in", zero=False)
    by_value: dict[str, list[int]] = {}
    for one in ordered:
        by_value.setdefault(str(one["changed"].get(key, "unchanged")), []).append(int(one["locked_micros"]))
    bars = [
        Bar(value, sum(nets) / len(nets) / MICROS, dollars(sum(nets) // len(nets), sign=True), plural(len(nets), "run"))
        for value, nets in sorted(by_value.items())
    ]
    return bar_chart(bars[:BARS_SHOWN], title=title, description="Mean over the runs with that value.", signed=True)


def _number(text: object) -> float | None:
    try:
        return float(str(text))
    except ValueError:
        return None


def _table(ordered: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> Table:
    columns = (
        *(f"#{key}" for key in keys), "#locked in", "#at mark", "#fees", "#trades", "#both legs", "#unwound", "#declined", "#edge planned",
        "#edge realised", "#slippage", "#drawdown", "#hit rate",
    )  # fmt: skip
    rows: list[list[str | Cell]] = [
        [
            *(Cell(str(one["changed"].get(key, "–"))) for key in keys),
            money_cell(one["locked_micros"]),
            money_cell(one["marked_micros"]),
            dollars(one["fee_micros"]),
            f"{one['trades']:,}",
            f"{one['hedged']:,}",
            f"{one['unwound']:,}",
            f"{one['declined']:,}",
            money_cell(one["edge_planned_micros"]),
            money_cell(one["edge_realised_micros"]),
            dollars(one["slippage_micros"], sign=True),
            dollars(one["drawdown_micros"]),
            percent(one["hit_rate"]),
        ]
        for one in ordered
    ]
    return Table(columns, rows)
