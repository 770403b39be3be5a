"""Commands that are imported when they are asked for: `crossbook lag` must not wait for what only a backtest needs.

Decides where each such command lives, and in which order all are listed.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import typer
from typer.core import TyperGroup

#: Name of the command → module and attribute: a typer.Typer with commands of its own, or a function.
LAZY: Final[dict[str, tuple[str, str]]] = {
    "verify": ("deploy.commands.verify", "verify"),
    "replay": ("deploy.commands.replay", "replay"),
    "backtest": ("deploy.commands.backtest", "backtest"),
    "compare": ("deploy.commands.compare", "compare_runs"),
    "leadlag": ("deploy.commands.leadlag", "leadlag"),
    "archive": ("deploy.commands.archive", "archive_app"),
    "import": ("deploy.commands.imports", "import_app"),
}


#: typer carries a click of its own, whose classes are not for others to name.
Command: TypeAlias = Any
Context: TypeAlias = Any


class LazyCommands(TyperGroup):
    """The commands of the app itself, then those of LAZY."""

    def list_commands(self, ctx: Context) -> list[str]:
        """Names in the order in which they are shown."""
        return [*super().list_commands(ctx), *LAZY]

    def get_command(self, ctx: Context, cmd_name: str) -> Command | None:
        """The command of a name, imported now; None when there is none."""
        if cmd_name not in LAZY:
            return super().get_command(ctx, cmd_name)
        return lazy_command(cmd_name)


def lazy_command(name: str) -> Command:
    """The command of a name of LAZY."""
    module, attribute = LAZY[name]
    found: typer.Typer | Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    if isinstance(found, typer.Typer):
        found.rich_markup_mode = None
        command = typer.main.get_command(found)
    else:
        alone = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
        alone.command(name)(found)
        command = typer.main.get_command(alone)
    command.name = name
    return command
