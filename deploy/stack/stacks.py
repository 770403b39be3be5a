"""Which stacks there are, and which of them a command means: the one way to find a stack.

A stack is a folder with a `crossbook.toml`: the state folder itself (`crossbook up`, called "up"), or a folder in it (`demo`, a
restored archive). Decides, by the table of commands below, which one is meant. A command that reads takes the likeliest one and
says which when there are several; a command that changes something never guesses: with several that could be meant it names them
and wants `--stack`. Must never take a stack for running because a dead process left its files behind.
"""

import contextlib
import os
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal, TypeAlias

import msgspec

from crossbook.runtime.settings import Settings, load_settings
from deploy.errors import StackError, UsageError
from deploy.stack.state import StateFolder

SETTINGS_FILE: Final = "crossbook.toml"
STATUS_FILE: Final = "status.json"
ABOUT_FILE: Final = "about.json"
CURRENT_FILE: Final = "current"
UP: Final = "up"
#: Folders of a stack's parts; a broker locks its own, which makes it no stack.
PARTS: Final = frozenset({"kafka", "clickhouse", "logs", "checkpoints"})
ADDRESS: Final = "address"

#: nothing: the command needs no stack; reads: any stack will do; writes: it changes a stack's data; operates: it tells running
#: stages something, so only the stack's own settings count, whatever the environment says.
Use: TypeAlias = Literal["nothing", "reads", "writes", "operates"]
#: Every command of the command line, and what it does to a stack. An option that changes the use has a line of its own.
COMMANDS: Final[dict[str, Use]] = {
    "demo": "nothing",
    "up": "nothing",
    "down": "operates",
    "status": "nothing",  # it shows all stacks
    "lag": "reads",
    "tail": "reads",
    "sql": "reads",
    "rebuild": "writes",
    "topics": "reads",
    "topics --create": "writes",
    "schemas": "nothing",
    "halt": "operates",
    "resume": "operates",
    "limit": "operates",
    "pairs list": "reads",
    "pairs approve": "operates",
    "pairs revoke": "operates",
    "doctor": "reads",
    "verify": "reads",
    "replay": "writes",
    "backtest": "reads",
    "compare": "reads",
    "leadlag": "reads",
    "archive write": "reads",
    "archive check": "nothing",
    "archive restore": "writes",
    "archive drop": "writes",
    "archive export": "nothing",
    "import bbo-pairs": "writes",
    "import xv-fed-dec2025": "writes",
    "import polymarket-btc5m-l2": "writes",
    "import kalshi-btc15m-l2-spot": "writes",
    "import kalshi-gold15m-l2": "writes",
    "import binance-wire-2024-08": "writes",
}

State: TypeAlias = Literal["running", "starting", "kept", "by address"]


class About(msgspec.Struct, frozen=True):
    """What a stack says of itself in `about.json`, kept after its end: what feeds it, and when it was started."""

    feeds: str = "unknown"
    started_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundStack:
    """A stack that a command could mean.

    `feeds`: sandbox, venues, recording, none, or unknown; `since_s`: when it was started, Unix seconds; `pid` of its supervisor.
    starting: somebody holds its folder, and it cannot be talked to yet. by address: servers that the settings name, not ours.
    """

    name: str
    folder: Path
    state: State
    prefix: str
    feeds: str
    since_s: float
    pid: int | None = None

    @property
    def lives(self) -> bool:
        """Whether something may be going on in it."""
        return self.state != "kept"

    def describe(self) -> str:
        """One clause for people: where, how fed, which prefix, since when, running or not."""
        if self.state == "by address":
            return f"{self.name} (the broker that kafka.bootstrap names, prefix {self.prefix})"
        since = datetime.fromtimestamp(self.since_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        state = {"running": f"running, pid {self.pid},", "starting": f"in use by pid {self.pid},"}.get(
            self.state, "kept,"
        )
        return f"{self.name} ({self.folder}, paper on {self.feeds}, prefix {self.prefix}, {state} started {since})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The stack that is meant, and the others that there are."""

    stack: FoundStack
    others: tuple[FoundStack, ...] = ()

    @property
    def note(self) -> str:
        """What a command that chose says; empty when there was no choice."""
        if not self.others:
            return ""
        names = ", ".join(one.name for one in self.others)
        return f"reading {self.stack.describe()}; --stack names another: {names}"


def state_root(settings: Settings) -> Path:
    """The state folder that the settings name."""
    return Path(settings.state_dir).absolute()


def current_folder(root: Path) -> Path | None:
    """Folder of the stack that was started last and did not find another one running, None when there is none."""
    with contextlib.suppress(OSError):
        folder = (root / (root / CURRENT_FILE).read_text().strip()).resolve()
        if (folder / SETTINGS_FILE).is_file():
            return folder
    return None


def point_current(root: Path, folder: Path) -> None:
    """Make a stack the one that is read by default. A demo or a restored archive never takes that from a stack that runs."""
    current = current_folder(root)
    other = current is not None and current != folder.resolve()
    if folder != root and current is not None and other and StateFolder(current).stack() is not None:
        return
    root.mkdir(parents=True, exist_ok=True)
    partial = root / f"{CURRENT_FILE}.tmp"
    partial.write_text(os.path.relpath(folder, root) + "\n")
    partial.replace(root / CURRENT_FILE)


def own_settings(folder: Path) -> Settings:
    """The settings that a stack's stages run with, whatever the environment says.

    Raises:
        StackError: they cannot be read.
    """
    try:
        return Settings(**tomllib.loads((folder / SETTINGS_FILE).read_text()))
    except (OSError, ValueError) as error:
        raise StackError(f"{folder / SETTINGS_FILE} cannot be read: {str(error).splitlines()[0]}") from error


def find_stacks(root: Path) -> list[FoundStack]:
    """The stacks of a state folder: its own first, then those in folders of their own, by name."""
    children = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    return [found for path in (root, *children) if (found := look_at(path, UP if path == root else path.name))]


def look_at(folder: Path, name: str) -> FoundStack | None:
    """The stack of a folder, None when it holds none."""
    state_folder = StateFolder(folder)
    stack, holder = state_folder.stack(), state_folder.holder_pid()
    file = folder / SETTINGS_FILE
    if not file.is_file() and (holder is None or folder.name in PARTS):
        return None
    about = _about(folder)
    changed_s = file.stat().st_mtime if file.is_file() else folder.stat().st_mtime
    return FoundStack(
        name=name,
        folder=folder,
        state="running" if stack is not None else "kept" if holder is None else "starting",
        prefix=_prefix(file),
        feeds=about.feeds,
        since_s=stack.started_s if stack is not None else about.started_s or changed_s,
        pid=stack.pid if stack is not None else holder,
    )


def choose(found: Sequence[FoundStack], use: Use, wanted: str = "", current: Path | None = None) -> Choice:
    """The stack that a command means.

    Raises:
        UsageError: none has the wanted name; or something would be changed, and several could be meant.
        StackError: there is none.
    """
    assert use != "nothing", "a command that needs no stack chooses none"
    if wanted:
        return Choice(stack=_named(found, wanted))
    if not found:
        raise StackError("no stack was found; start one with `crossbook up`")
    alive = [one for one in found if one.lives]
    if use == "reads":
        stack = _likeliest([one for one in alive if one.state != "starting"] or list(found), current)
        return Choice(stack=stack, others=tuple(one for one in found if one is not stack))
    meant = alive or list(found)
    if len(meant) > 1:
        raise UsageError(f"{len(meant)} stacks could be meant; name one with --stack: {describe_all(meant)}")
    return Choice(stack=meant[0])


def describe_all(found: Iterable[FoundStack]) -> str:
    """Stacks in one line."""
    return "; ".join(one.describe() for one in found)


def choose_stack(command: str, wanted: str = "") -> Choice:
    """The stack that a command of the table means here: by the settings, the state folder and `--stack`.

    Without any stack it is the broker that the settings name, by default the one on this machine.

    Raises:
        UsageError, StackError: see `choose`.
    """
    base = load_settings()
    root = state_root(base)
    found = find_stacks(root)
    use = COMMANDS[command]
    address = FoundStack(
        name=ADDRESS,
        folder=root,
        state="by address",
        prefix=base.kafka.prefix,
        feeds="unknown",
        since_s=0.0,
    )
    named = "bootstrap" in base.kafka.model_fields_set
    if named or (not found and not wanted):
        found.append(address)
    if named and use == "reads" and not wanted:
        return Choice(stack=address, others=tuple(one for one in found if one.state == "running"))
    elsewhere = Path(wanted).resolve()
    if wanted and (elsewhere / StateFolder(elsewhere).kafka.name).is_dir() and not _matching(found, wanted):
        found += filter(None, [look_at(elsewhere, elsewhere.name)])
    return choose(found, use, wanted, current_folder(root))


def _matching(found: Sequence[FoundStack], wanted: str) -> list[FoundStack]:
    folder = Path(wanted).resolve()
    return [
        one for one in found if one.name == wanted or (one.state != "by address" and one.folder.resolve() == folder)
    ]


def _named(found: Sequence[FoundStack], wanted: str) -> FoundStack:
    if matching := _matching(found, wanted):
        return matching[0]
    there = f"there are: {describe_all(found)}" if found else "there is none here"
    raise UsageError(f"no stack {wanted!r}; {there}")


def _likeliest(found: Sequence[FoundStack], current: Path | None) -> FoundStack:
    for one in found:
        if current is not None and one.folder.resolve() == current:
            return one
    return max(found, key=lambda one: one.since_s)


def _about(folder: Path) -> About:
    try:
        return msgspec.json.decode((folder / ABOUT_FILE).read_bytes(), type=About)
    except (OSError, msgspec.DecodeError):
        return About()


def _prefix(file: Path) -> str:
    try:
        return str(tomllib.loads(file.read_text())["kafka"]["prefix"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown"
