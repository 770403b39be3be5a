"""`crossbook compare`: the command and what it prints.

Decides nothing: `deploy/lab/compare/runs.py` compares.
"""

from typing import Annotated

import typer

from deploy.commands.printing import Json, StackName, out, print_json, print_table
from deploy.lab.compare.runs import LIVE, NAMED_MAX, as_dict, compare, difference_rows, load_run, verdict_rows
from schemas.topics import MAIN


def compare_runs(
    live: Annotated[
        str, typer.Argument(help=f"{LIVE!r} (the stack that runs or was kept), an archive, or a report's JSON")
    ],
    backtest: Annotated[str, typer.Argument(help="folder that `crossbook backtest` wrote, or a report's JSON")],
    portfolio: Annotated[str, typer.Option(help="whose journal of a stack or an archive is read")] = MAIN,
    json_: Json = False,
    stack: StackName = "",
) -> None:
    """Compare a live run with its backtest: trades matched, PnL, latency. The exit code is 1 when they traded differently."""
    found = compare(load_run(live, stack, portfolio), load_run(backtest, stack, portfolio))
    if json_:
        print_json(as_dict(found))
    else:
        print_table(("", "live", "backtest", "difference"), verdict_rows(found))
        if not found.same_log:
            out.print("These are runs of different logs: intents cannot match by id.")
        if not found.same_code:
            out.print("The code of decide was not the same.")
        if not found.same_portfolio:
            out.print("These are runs of different portfolios.")
        if found.trades:
            columns = ("pair", "differs in", "live", "backtest", "PnL micros", "intent")
            out.print(f"\n{len(found.trades):,} trades differ; the first {min(len(found.trades), NAMED_MAX)}:")
            print_table(columns, difference_rows(found))
    raise typer.Exit(0 if found.alike else 1)
