"""What operators say: halt, resume, kill, change limits, approve and revoke pairs. Everything but a kill goes through `control`, so the log has it.

Decides which stack's executors hear it (never by guessing: `deploy/stack/stacks.py`) and when it is done: every executor of the prefix has
journaled it. Must never report a halt as done that an executor has not answered.
"""

import getpass
import json
import time
from pathlib import Path
from typing import NamedTuple

import yaml

from crossbook.domain.errors import StageError
from crossbook.domain.limits import refusal_of_limit
from crossbook.domain.names import VENUES
from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import wait_for_broker
from crossbook.runtime.settings import Settings
from deploy.errors import StackError, UsageError
from deploy.operate.acknowledge import Acknowledgement, Unanswered, say, say_and_wait
from deploy.operate.tail import read_topic
from deploy.operate.trading import read_every_trading
from deploy.stack.attach import BROKER_WAIT_S, serving
from deploy.stack.processes import same_process
from deploy.stack.stacks import STATUS_FILE, FoundStack, choose_stack
from deploy.stack.state import StateFolder
from executors.errors import ExecutorError
from executors.stage import KILL_FILE
from processors.strategies.table import STRATEGIES
from producers.universe.pairs import load_pairs_file, other_legs
from schemas.records import LimitsChanged, PairApproved, PairRevoked, Record, Scope, TradingState, TradingStateChanged

#: An executor answers within a commit, some ten ms; one that starts over, or a machine that is busy, takes longer.
ACKNOWLEDGE_S = 30.0
KILL_LOOK_S = 0.5
#: More digits than the largest limit has.
LIMIT_DIGITS_MAX = 18
#: States of a supervised executor that will hear `control`, at once or soon.
HEARING = ("waiting", "starting", "running", "backing_off")


class Executor(NamedTuple):
    """An executor of a stack; no pid while it is started again. It looks for a KILL file in the stack's folder."""

    name: str
    pid: int | None


def operator_name() -> str:
    """Who is at the keyboard."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def executors_of(found: FoundStack) -> list[Executor]:
    """Executors that a local stack supervises now; a stack by address supervises none that we could see."""
    stack = StateFolder(found.folder).stack()
    if found.state == "by address" or stack is None:
        return []
    pids = {one.name: one.pid for one in stack.children if same_process(one.pid, one.started_s)}
    try:
        rows = json.loads((found.folder / STATUS_FILE).read_text())
    except (OSError, ValueError):
        rows = []
    named = [row["name"] for row in rows if row["name"].split(".")[0] == "execute" and row["state"] in HEARING]
    return [Executor(name, pids.get(name)) for name in named]


def set_trading_state(state: TradingState, scope_text: str, reason: str, stack: str = "") -> str:
    """Say it on `control`, wait until every executor has journaled it, and describe both in one line.

    Raises:
        UsageError: the scope is none of those that `parse_scope` knows, or names what is not known; or several stacks could be meant.
        StackError: an executor did not answer in time, or none runs; the word stands on `control` all the same.
    """
    scope, scope_value = parse_scope(scope_text)
    command = "resume" if state == "running" else "halt"
    found = choose_stack(command, stack).stack
    with serving(found, command, clickhouse=False) as settings:
        if scope == "pair" and scope_value not in (known := approved_pairs(settings)):
            raise UsageError(f"no pair {scope_value!r} is approved; those are: {', '.join(known) or 'none'}")
        portfolios = settings.portfolio_names
        if scope == "portfolio" and scope_value not in portfolios:
            raise UsageError(
                f"no portfolio {scope_value!r} is in the settings of that stack; there is: {', '.join(portfolios)}"
            )
        if state == "running" and scope == "all":
            (found.folder / KILL_FILE).unlink(missing_ok=True)
        word = _word(state, scope, scope_value, reason)
        return f"{scope_text}: {state}, {_acknowledged(found, settings, word)}"


def change_trading_state(
    settings: Settings, state: TradingState, scope: Scope, scope_value: str, reason: str, *, wait_s: float
) -> bool:
    """Say a trading state to the executors of a stack of our own; whether all of them answered in time."""
    told = say_and_wait(settings, _word(state, scope, scope_value, reason), wait_s=wait_s)
    return isinstance(told, Acknowledgement)


def change_limit(name: str, value_text: str, reason: str, stack: str = "") -> str:
    """Say a limit on `control`, wait until every executor has journaled it, and describe both in one line.

    Raises:
        UsageError: no limit has that name, or it cannot take that value; or several stacks could be meant.
        StackError: an executor did not answer in time, or none runs; the word stands on `control` all the same.
    """
    value = whole_number(value_text)
    refusal = refusal_of_limit(name, value_text if value is None else value)
    if value is None or refusal:
        raise UsageError(refusal)
    found = choose_stack("limit", stack).stack
    with serving(found, "limit", clickhouse=False) as settings:
        word = LimitsChanged(ts_ns=now_ns(), operator=operator_name(), name=name, value_micros=value, reason=reason)
        return f"{name}: {value} for trades that open from here on, {_acknowledged(found, settings, word)}"


def whole_number(text: str) -> int | None:
    """The whole number that a text is, underscores between its digits allowed; None when it is none."""
    plain = text.strip().replace("_", "")
    digits = plain.removeprefix("-")
    return int(plain) if digits.isascii() and digits.isdigit() and len(digits) <= LIMIT_DIGITS_MAX else None


def _word(state: TradingState, scope: Scope, scope_value: str, reason: str) -> TradingStateChanged:
    return TradingStateChanged(
        ts_ns=now_ns(), operator=operator_name(), state=state, scope=scope, scope_value=scope_value, reason=reason
    )


def _acknowledged(found: FoundStack, settings: Settings, word: Record) -> str:
    """Say a word and describe the executors' answer.

    Raises:
        StackError: no executor runs, or one did not answer.
    """
    unseen = found.state == "by address"
    if not unseen and not executors_of(found):
        say(settings.kafka, word)
        raise StackError(
            f"no executor runs in the stack {found.describe()}; the word stands on control and counts when one starts"
        )
    told = say_and_wait(settings, word, wait_s=ACKNOWLEDGE_S)
    if isinstance(told, Unanswered):
        raise StackError(f"{_silent(found, settings, told)}; the word stands on control (offset {told.control_offset})")
    numbers = ", ".join(str(number) for number in told.sequences.values())
    return (
        f"acknowledged by the executor after {told.waited_s:.2f} s (journal number {numbers}), stack {found.name}, "
        f"prefix {settings.kafka.prefix}"
    )


def _silent(found: FoundStack, settings: Settings, told: Unanswered) -> str:
    pids = [f"pid {one.pid}" if one.pid else "which is being started again" for one in executors_of(found)]
    who = ", ".join([*pids, *(f"journal {settings.kafka.prefix}orders/{number}" for number in told.silent)])
    return f"the executor of the stack {found.name} ({who}) has not answered within {told.waited_s:.0f} s"


def kill_by_file(stack: str = "") -> str:
    """Write the KILL file that the executors of a stack look for even when Kafka is away, and wait until the journal has it.

    Raises:
        UsageError: several stacks could be meant.
        StackError: the file is written, but no executor runs, or none has journaled it in time, or Kafka cannot be asked.
    """
    found = choose_stack("halt", stack).stack
    found.folder.mkdir(parents=True, exist_ok=True)
    (found.folder / KILL_FILE).write_text(f"{operator_name()}\n")
    wrote = f"wrote {found.folder / KILL_FILE}"
    executors = executors_of(found)
    if found.state != "by address" and not executors:
        raise StackError(f"{wrote}; no executor runs in the stack {found.describe()}: one that starts halts at once")
    started = time.monotonic()
    try:
        while time.monotonic() - started < ACKNOWLEDGE_S:
            with serving(found, "halt", clickhouse=False) as settings:
                wait_for_broker(settings.kafka, BROKER_WAIT_S)
                tradings = read_every_trading(settings, now_ns())
            if all(one.killed for one in tradings):
                waited_s = time.monotonic() - started
                numbers = ", ".join(str(one.journal) for one in tradings)
                return (
                    f"{wrote}: halted, acknowledged by the executor after {waited_s:.2f} s (the journal is at number "
                    f"{numbers}), stack {found.name}; `crossbook resume` lifts it and removes the file"
                )
            time.sleep(KILL_LOOK_S)
    except (StageError, ExecutorError) as error:
        pids = ", ".join(f"pid {one.pid}" for one in executors) or "unknown"
        raise StackError(
            f"{wrote}, but whether the executor ({pids}) has seen it cannot be read from the journal ({error}); without Kafka "
            "it sends nothing, and it looks at the file before it sends anything again"
        ) from error
    raise StackError(
        f"{wrote}, but the executor of the stack {found.describe()} has not journaled it within {ACKNOWLEDGE_S:g} s; is "
        "that its state folder?"
    )


def one_scope(scope: str, *, portfolio: str = "", strategy: str = "") -> str:
    """The scope that the options of a command mean together. Raises UsageError when they name more than one."""
    named = [f"portfolio:{portfolio}"] * bool(portfolio) + [f"strategy:{strategy}"] * bool(strategy)
    if scope != "all":
        named.append(scope)
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} are {len(named)} scopes; say them one by one")
    return named[0] if named else "all"


def parse_scope(text: str) -> tuple[Scope, str]:
    """Split all, venue:NAME, category:NAME, pair:ID, strategy:NAME or portfolio:NAME.

    Raises:
        UsageError: it is none of them.
    """
    match text.partition(":"):
        case "all", "", "":
            return "all", ""
        case "venue", ":", value if value not in VENUES:
            raise UsageError(f"no venue {value!r}; the venues are: {', '.join(VENUES)}")
        case "strategy", ":", value if value not in STRATEGIES:
            raise UsageError(f"no strategy {value!r}; the strategies are: {', '.join(STRATEGIES)}")
        case ("venue" | "category" | "pair" | "strategy" | "portfolio") as scope, ":", value if value:
            return scope, value
        case _:
            raise UsageError(
                f"scope was {text!r}; use all, venue:NAME, category:NAME, pair:ID, strategy:NAME or portfolio:NAME"
            )


def approve_pairs(settings: Settings, file: Path) -> list[str]:
    """Approve every pair of a pairs file; return their names.

    Raises:
        UsageError: the file cannot be read, is not a pairs file, or names other legs under the name of an approved pair; then none of
            its pairs is approved.
    """
    try:
        pairs = load_pairs_file(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file}: {error}") from error
    known = approved_pairs(settings)
    wanted = [pair.approval(now_ns(), operator_name()) for pair in pairs]
    for one in wanted:
        before = known.get(one.pair_id)
        if before is not None and other_legs(before, one):
            raise UsageError(
                f"{file}: pair {one.pair_id} is approved with {before.instrument_a} and {before.instrument_b}, and legs never change "
                "under a name; choose another name"
            )
    for one in wanted:
        say(settings.kafka, one)
    return [pair.pair_id for pair in pairs]


def revoke_pair(pair_id: str, reason: str, stack: str = "") -> str:
    """Revoke a pair, and wait until every executor has journaled it; open trades go on by their plan.

    Raises:
        UsageError: no such pair is approved, or several stacks could be meant.
        StackError: an executor did not answer in time, or none runs; the word stands on `control` all the same.
    """
    found = choose_stack("pairs revoke", stack).stack
    with serving(found, "pairs revoke", clickhouse=False) as settings:
        if pair_id not in approved_pairs(settings):
            raise UsageError(f"no pair {pair_id!r} is approved; `crossbook pairs list` names those that are")
        word = PairRevoked(ts_ns=now_ns(), operator=operator_name(), pair_id=pair_id, reason=reason)
        return f"revoked: {pair_id}, {_acknowledged(found, settings, word)}"


def approved_pairs(settings: Settings) -> dict[str, PairApproved]:
    """Pairs in force: those of the settings' pairs file, and what was approved and revoked on `control` since."""
    file = settings.catalog.pairs_file
    filed = [pair.approval(0, Path(file).name) for pair in load_pairs_file(Path(file))] if file else []
    pairs = {pair.pair_id: pair for pair in filed}
    for line in read_topic(settings.kafka, "control", last=None, follow=False):
        if isinstance(line.record, PairApproved):
            pairs[line.record.pair_id] = line.record
        elif isinstance(line.record, PairRevoked):
            pairs.pop(line.record.pair_id, None)
    return pairs
