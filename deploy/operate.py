"""What operators say: halt, resume, approve and revoke pairs. Everything goes through `control`, so the log has it."""

import getpass
import time
from pathlib import Path
from typing import NamedTuple

import yaml
from confluent_kafka import TopicPartition

from crossbook.domain.venues import VENUES
from crossbook.runtime.clock import now_ns
from crossbook.runtime.kafka import RecordProducer, offset_range, open_consumer, poll_batch
from crossbook.runtime.settings import KafkaSettings, Settings, load_settings
from deploy.attach import attached
from deploy.errors import StackError, UsageError
from deploy.stack import current_folder, state_root
from deploy.tail import read_topic
from producers.pairs import load_pairs_file
from schemas.codec import load_codec
from schemas.records import (
    ControlApplied,
    PairApproved,
    PairRevoked,
    Record,
    Scope,
    TradingState,
    TradingStateChanged,
)
from schemas.topics import TOPICS

KILL_FILE = "KILL"
ACKNOWLEDGE_S = 10.0


class Acknowledgement(NamedTuple):
    """The executor's word that a change is in force."""

    control_offset: int
    sequence: int
    waited_s: float


def operator_name() -> str:
    """Who is at the keyboard."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "operator"


def say(kafka: KafkaSettings, record: Record) -> None:
    """Write one record to `control` and wait until the broker has it.

    Raises:
        BrokerAwayError: the broker did not take it; nothing was said.
    """
    producer = RecordProducer(kafka, load_codec(), "operator")
    producer.send("control", record, partition=0)
    producer.flush()


def set_trading_state(state: TradingState, scope_text: str, reason: str) -> str:
    """Say it on `control`, wait for the executor's acknowledgement, and describe both in one line.

    Raises:
        UsageError: the scope is not of the form all, venue:NAME, category:NAME or pair:ID.
        StackError: the executor did not acknowledge in time.
    """
    scope, scope_value = parse_scope(scope_text)
    with attached(clickhouse=False) as settings:
        if scope == "pair" and scope_value not in (known := approved_pairs(settings)):
            raise UsageError(f"no pair {scope_value!r} is approved; those are: {', '.join(known) or 'none'}")
        folder = Path(settings.state_dir)
        if state == "running":
            (folder / KILL_FILE).unlink(missing_ok=True)
        told = change_trading_state(settings, state, scope, scope_value, reason, wait_s=ACKNOWLEDGE_S)
    if told is None:
        raise StackError(
            f"{state} is written to control, but no executor acknowledged it within {ACKNOWLEDGE_S:g} s; "
            "is one running? (crossbook status)"
        )
    return f"{scope_text}: {state}, acknowledged by the executor after {told.waited_s:.2f} s (journal number {told.sequence})"


def kill_by_file() -> str:
    """Write the KILL file that the executor looks for even when Kafka is away."""
    root = state_root(load_settings())
    folder = current_folder(root) or root
    folder.mkdir(parents=True, exist_ok=True)
    (folder / KILL_FILE).write_text(f"{operator_name()}\n")
    return f"wrote {folder / KILL_FILE}: the executor halts within a second; `crossbook resume` removes it"


def parse_scope(text: str) -> tuple[Scope, str]:
    """Split all, venue:NAME, category:NAME or pair:ID.

    Raises:
        UsageError: it is none of them.
    """
    match text.partition(":"):
        case "all", "", "":
            return "all", ""
        case "venue", ":", value if value not in VENUES:
            raise UsageError(f"no venue {value!r}; the venues are: {', '.join(VENUES)}")
        case ("venue" | "category" | "pair") as scope, ":", value if value:
            return scope, value
        case _:
            raise UsageError(f"scope was {text!r}; use all, venue:NAME, category:NAME or pair:ID")


def change_trading_state(
    settings: Settings, state: TradingState, scope: Scope, scope_value: str, reason: str, *, wait_s: float
) -> Acknowledgement | None:
    """Halt, restrict or resume; return the executor's acknowledgement, or None when none came in time."""
    kafka = settings.kafka
    offset = _next_control_offset(kafka)
    say(
        kafka,
        TradingStateChanged(
            ts_ns=now_ns(), operator=operator_name(), state=state, scope=scope, scope_value=scope_value, reason=reason
        ),
    )
    return _await_acknowledgement(kafka, offset, wait_s)


def _next_control_offset(kafka: KafkaSettings) -> int:
    consumer = open_consumer(kafka, "operator")
    try:
        return offset_range(consumer, TOPICS["control"].full_name(kafka.prefix), 0)[1]
    finally:
        consumer.close()


def _await_acknowledgement(kafka: KafkaSettings, control_offset: int, wait_s: float) -> Acknowledgement | None:
    started = time.monotonic()
    consumer = open_consumer(kafka, "operator")
    name = TOPICS["orders"].full_name(kafka.prefix)
    codec = load_codec()
    try:
        # The acknowledgement comes after the word, so only the journal's last records need reading.
        start = max(0, offset_range(consumer, name, 0)[1] - 200)
        consumer.assign([TopicPartition(name, 0, start)])
        while time.monotonic() - started < wait_s:
            for message in poll_batch(consumer, 100, 0.1):
                record = codec.decode(message.value() or b"")
                if isinstance(record, ControlApplied) and record.control_offset >= control_offset:
                    return Acknowledgement(record.control_offset, record.sequence, time.monotonic() - started)
    finally:
        consumer.close()
    return None


def approve_pairs(settings: Settings, file: Path) -> list[str]:
    """Approve every pair of a pairs file; return their names.

    Raises:
        UsageError: the file cannot be read or is not a pairs file.
    """
    try:
        pairs = load_pairs_file(file)
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{file}: {error}") from error
    for pair in pairs:
        say(settings.kafka, pair.approval(now_ns(), operator_name()))
    return [pair.pair_id for pair in pairs]


def revoke_pair(settings: Settings, pair_id: str, reason: str) -> None:
    """Revoke a pair; open trades go on by their plan.

    Raises:
        UsageError: no such pair is approved.
    """
    if pair_id not in approved_pairs(settings):
        raise UsageError(f"no pair {pair_id!r} is approved; `crossbook pairs list` names those that are")
    say(settings.kafka, PairRevoked(ts_ns=now_ns(), operator=operator_name(), pair_id=pair_id, reason=reason))


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
