"""Write `docs/settings.md`, `docs/commands.md` and `docs/machine.md`: `python -m deploy.document` (`--check`: exit code 1 when stale).

Settings come from their declarations, commands from the command line itself, states and moves from the executor's tables.
Nothing is said here that is not said there, and each page is a function of the code alone: no clock, file of
settings or environment shows, so that a test can demand that it is current.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from crossbook.runtime.settings import PREFIX, Settings
from deploy.cli import app
from deploy.stack.stacks import COMMANDS, Use
from executors.hedge.tables import INPUTS, ONWARD, STATES, TRADE_TABLE, Answer
from executors.orders.table import ORDER_TABLE, REFUSED, STALE, STATUSES

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: Last word of a setting's name → its unit.
UNITS: Final = {
    "micros": "10⁻⁶ of a dollar or contract",
    "ppm": "parts per million",
    "ms": "ms",
    "s": "s",
    "dollars": "dollars",
    "year": "parts per million a year",
}

Move = tuple[str, str]


def pages() -> dict[str, str]:
    """Name → text of every page."""
    return {"settings.md": settings_page(), "commands.md": commands_page(), "machine.md": machine_page()}


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    head = [_row(columns), "|" + "---|" * len(columns)]
    return "\n".join([*head, *(_row(row) for row in rows)]) + "\n"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"


# Settings


class Setting(NamedTuple):
    """One setting: `section` is empty for those at the top of the file, and has a dot where it lies in another one."""

    section: str
    name: str
    field: FieldInfo

    @property
    def variable(self) -> str:
        """Name in the environment."""
        path = f"{self.section}.{self.name}" if self.section else self.name
        return f"{PREFIX}{path.replace('.', '__')}".upper()

    @property
    def unit(self) -> str:
        """Unit by the last word of the name, or of the section inside a section; empty where the description says it all."""
        name = self.section if "." in self.section else self.name
        return UNITS.get(name.rsplit("_", 1)[-1], "") if "_" in name else ""


def settings() -> list[Setting]:
    """Every setting, in the order of declaration."""
    return [setting for _, setting in _settings(Settings, "")]


def _settings(model: type[BaseModel], section: str) -> Iterator[tuple[type[BaseModel], Setting]]:
    for name, field in model.model_fields.items():
        inner = _section(field)
        if inner is None:
            yield model, Setting(section, name, field)
        else:
            yield from _settings(inner, f"{section}.{name}" if section else name)


def settings_page() -> str:
    """Text of `docs/settings.md`."""
    parts = [_SETTINGS_HEAD]
    models = {setting.section: model for model, setting in _settings(Settings, "")}
    for section, model in models.items():
        title = f"## {section}" if section else "## At the top of the file"
        said = f"\n{' '.join((model.__doc__ or '').split())}\n" if section else ""
        rows = [
            [
                f"`{one.name}`",
                _default(one.field),
                one.unit,
                _allowed(one.field),
                one.field.description or "",
                f"`{one.variable}`",
            ]
            for one in settings()
            if one.section == section
        ]
        parts.append(
            f"{title}\n{said}\n" + table(("setting", "default", "unit", "allowed", "what it is", "environment"), rows)
        )
    return "\n".join(parts)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def _default(field: FieldInfo) -> str:
    value = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"`{json.dumps(value)}`"


def _allowed(field: FieldInfo) -> str:
    kind = field.annotation
    if get_origin(kind) is Literal:
        return ", ".join(f"`{value}`" for value in get_args(kind))
    words: dict[Any, str] = {bool: "true, false", int: "whole number", float: "number", str: "text"}
    if get_origin(kind) is dict:
        return "table"
    word = words[kind] if isinstance(kind, type) and kind in words else "list of texts"
    bounds = [
        f"{sign} {getattr(rule, name):,}"
        for rule in field.metadata
        for name, sign in (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))
        if hasattr(rule, name)
    ]
    return " ".join([word, " and ".join(bounds)]).strip()


_SETTINGS_HEAD: Final = """# Settings

Generated by `python -m deploy.document` from `crossbook/runtime/settings.py`; change that, not this page.

Settings are read from `crossbook.toml` in the working directory, or from the file that `CROSSBOOK_CONFIG` names, and every one of
them can be overridden in the environment. Names below a section are joined by two underscores; lists are given as JSON. An unknown
key or variable, or a value that is not allowed, stops the command with one line and exit code 78.

```toml
# crossbook.toml
[decide]
min_edge_micros = 10000        # 1 cent a contract

[catalog]
pairs_file = "pairs.yaml"
```

The same by the environment: `CROSSBOOK_DECIDE__MIN_EDGE_MICROS=10000`.
"""


# Commands


class Command(NamedTuple):
    """One command: its words after `crossbook`, and what typer knows of it."""

    words: tuple[str, ...]
    command: Any

    @property
    def name(self) -> str:
        """The command as it is typed."""
        return " ".join(("crossbook", *self.words))


def commands() -> list[Command]:
    """Every command that does something, in the order of the help; groups are left out."""
    return list(_commands(typer.main.get_command(app), ()))


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[Command]:
    if not hasattr(command, "list_commands"):
        yield Command(words, command)
        return
    for name in command.list_commands(None):
        yield from _commands(command.get_command(None, name), (*words, name))


def commands_page() -> str:
    """Text of `docs/commands.md`."""
    uses = {use: ", ".join(f"`{name}`" for name, one in COMMANDS.items() if one == use) for use in USES}
    parts = [_COMMANDS_HEAD, table(("a command", "which"), [(said, uses[use]) for use, said in USES.items()])]
    for one in commands():
        rows = [_parameter(parameter) for parameter in one.command.params if parameter.name != "help"]
        options = "\n" + table(("argument or option", "default", "what it is"), rows) if rows else ""
        parts.append(f"## {one.name}\n\n{' '.join((one.command.help or '').split())}\n{options}")
    return "\n".join(parts)


def _parameter(parameter: Any) -> list[str]:
    if parameter.param_type_name == "argument":
        name = parameter.name.upper() + ("…" if parameter.nargs != 1 else "")
        shown = f"`{name}`"
    else:
        value = "" if getattr(parameter, "is_flag", False) else f" {parameter.name.rstrip('_').upper()}"
        shown = ", ".join(f"`{option}{value}`" for option in (*parameter.opts, *parameter.secondary_opts))
        shown += " (repeatable)" if getattr(parameter, "multiple", False) else ""
    if parameter.required:
        default = "required"
    elif parameter.default in (None, "") or getattr(parameter, "is_flag", False):
        default = ""
    else:
        default = f"`{parameter.default}`"
    return [shown, default, parameter.help or ""]


#: Use of a stack → how the page says it.
USES: Final[dict[Use, str]] = {
    "reads": "reads a stack",
    "writes": "changes the data of a stack",
    "operates": "tells the stages of a stack something; the stack's own settings count, not the environment's",
    "nothing": "needs no stack, shows all of them, or makes its own",
}
_COMMANDS_HEAD: Final = """# Commands

Generated by `python -m deploy.document` from the command line; change `deploy/cli.py`, not this page. `crossbook COMMAND --help`
says the same.

Commands find stacks in the state folder (`.crossbook` under the working directory, setting `state_dir`): the folder itself is the
stack `up`, a folder in it one of its own name (`demo`, an archive that was restored). `crossbook status` lists them. A stack that does
not run is kept: its Kafka and ClickHouse are started for the length of the command. Where `kafka.bootstrap` is set, that broker is
the stack `address`.

`--stack NAME_OR_FOLDER` says which one is meant. Without it a command that reads takes the one that runs, else the last one, and says on
stderr which, when there are several. A command that changes something takes the one that runs; when several could be meant it changes
nothing, names them and ends with exit code 2.

Exit codes: 0 done; 1 an operating error, a mismatch, or a lag over its limit; 2 a wrong call; 78 settings that cannot work;
130 interrupted.
"""


# Machine


def order_moves() -> list[Move]:
    """(status, next status) of every report that changes an order."""
    return [
        (status, following)
        for status in STATUSES
        for following in dict.fromkeys(ORDER_TABLE[status].values())
        if following not in {STALE, REFUSED, status}
    ]


def trade_moves() -> list[Move]:
    """(state, next state) of every move that the table names."""
    by_input = {(state, after) for state in STATES for kind in INPUTS for after in TRADE_TABLE[state][kind].following}
    onward = {(state, after) for state in STATES for after in ONWARD[state]}
    return [(state, after) for state in STATES for after in STATES if (state, after) in by_input | onward]


def machine_page() -> str:
    """Text of `docs/machine.md`."""
    orders = [[f"`{status}`", *(_order_cell(ORDER_TABLE[status][one]) for one in STATUSES)] for status in STATUSES]
    trades = [[f"`{kind}`", *(_trade_cell(TRADE_TABLE[state][kind]) for state in STATES)] for kind in INPUTS]
    trades.append(["at once", *(", ".join(f"`{one}`" for one in ONWARD[state]) for state in STATES)])
    return "\n".join(
        (
            _MACHINE_HEAD,
            _diagram("requested", order_moves()),
            table(("order is ↓, report says →", *(f"`{one}`" for one in STATUSES)), orders),
            _TRADE_HEAD,
            _diagram("proposed", trade_moves()),
            table(("input ↓, trade is →", *(f"`{one}`" for one in STATES)), trades),
            _HALTS,
        )
    )


def _diagram(first: str, moves: Iterable[Move]) -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}", *(f"    {a} --> {b}" for a, b in moves), "```"]
    return "\n".join(lines) + "\n"


def _order_cell(following: str) -> str:
    return following if following in {STALE, REFUSED} else f"`{following}`"


def _trade_cell(answer: Answer) -> str:
    after = ", ".join(f"`{one}`" for one in answer.following)
    return f"{answer.handler} → {after}" if after else answer.handler


_MACHINE_HEAD: Final = """# Orders and trades

Generated by `python -m deploy.document` from `executors/orders/table.py` and `executors/hedge/tables.py`; change those, not this page.

## An order

A report moves an order as the table says. `stale` is older than what is known and changes no status, `refused` cannot be meant; an
execution is booked in either case. `unknown` is what silence makes of an order; it is never an end.
"""
_TRADE_HEAD: Final = """## A trade

A trade is told something (rows) and answers by a handler of the machine; after the arrow stand the states that it may go to, from
each of which it may go on in the same step to one of the last row. What the trade holds decides which, and whether it moves at all.
`wait` keeps the input and does nothing, `refused` cannot be meant. The machine makes no move that is not here: it would be stuck
instead. `declined`, `flat`, `closed` and `stuck` are ends, but a fill that comes late or is reversed opens a trade again, except one
that is stuck: there a person has been called, and what it holds is shown again by each late fill.

Every other state is attended: an order that the venue may still fill has its time-out, or the horizon after which an unknown one
counts as dead; a trade without such an order has a timer of its own, or waits for a resume (`unattended` in `executors/orders/work.py`).
An input that the machine cannot work out makes the trade `stuck` from any state, with the error as its reason, once what the input
said of fills is booked.

An instrument whose group moved away (`TopSeen` says `listed: false`) gets no order from the old partition: the other leg is sold, and a
trade of which both went away is `stuck` with the reason `instrument_moved`.
"""
_HALTS: Final = """## What forbids an order

`running` lets everything out, `reduce_only` lets no trade open, `halted` lets nothing out, hedges included. Each source below keeps its own
word (`executors/portfolio/halts.py`), the strictest that applies wins, and no word of one source touches another's.

| source | state | ends by |
|---|---|---|
| operators, for all, a venue or a category | `reduce_only` or `halted`, the strictest said | a resume of all, or of that scope |
| operators, for a pair, a strategy or a portfolio | the same | a resume of that pair, strategy or portfolio |
| the KILL file | `halted` | a resume of all |
| a revoked pair | `reduce_only` | an approval of that pair, which lifts nothing else |
| a stuck trade, for the venue of what it cannot get rid of | `reduce_only` | a resume of that venue |
| an input that could not be folded | `reduce_only` | a resume of all |
| a venue's breaker, our own lag | no new trade | by themselves |
"""


def main(argv: list[str] | None = None) -> int:
    """Write the pages, or check them; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.document")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is not current")
    check: bool = parser.parse_args(argv).check
    stale = [name for name, text in pages().items() if not _current(DOCS / name, text)]
    if check:
        for name in stale:
            sys.stderr.write(f"docs/{name} is not current; write it with: python -m deploy.document\n")
        return int(bool(stale))
    DOCS.mkdir(exist_ok=True)
    for name in stale:
        (DOCS / name).write_text(pages()[name], "utf-8")
    return 0


def _current(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text("utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
