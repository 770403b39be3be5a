"""How commands print: tables for people, one JSON value for programs, progress on stderr.

Decides nothing.
"""

import json
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout")]
#: Every command that talks to a stack has this option; `deploy/stack/stacks.py` says what it means.
StackName = Annotated[
    str, typer.Option("--stack", help="the stack that is meant: its name, as status says it, or its folder")
]
#: A pipe has no width of its own; what is cut there is lost to grep.
out = Console(highlight=False, width=None if sys.stdout.isatty() else 200)


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    sys.stdout.write(json.dumps(value, indent=None, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> None:
    """A table; numbers to the right."""
    table = Table(title=title or None, title_justify="left", box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numeric = bool(rows) and all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    out.print(table)
