"""`crossbook replay`: a range of `market` goes into another prefix, where the normal stages decide and trade it on paper.

Decides the pace and the order of the work: stages up, records written, everything read, stages down, and what came out compared with
the source. Must never write into a prefix that holds another log, and never let an order reach a venue other than the paper one.
Killed and started again it goes on where the target ends.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from crossbook.log.comparing import Expected
from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from crossbook.runtime.errors import BufferFullError
from crossbook.runtime.kafka import RecordProducer, create_topics
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings, Settings
from deploy.errors import StackError, UsageError
from deploy.lab.replay.source import Entry, ReplaySource
from deploy.lab.verify.verify import Verification, verify_log
from deploy.operate.lag import READ_BY, lag_rows
from deploy.stack.child import ChildSpec
from deploy.stack.stack import held_folder, write_settings
from deploy.stack.stacks import SETTINGS_FILE
from deploy.stack.supervisor import Supervisor
from processors.decide.resume import place_of
from processors.verify.verify import OUTPUT_TOPICS, TopicCheck
from producers.market_writer import read_log_head
from schemas.codec import load_codec
from schemas.errors import SchemaError
from schemas.records import Watermark

FOLDER: Final = "replay"
#: Records at the end of `signals` among which the last watermark is looked for first.
TAIL_RECORDS: Final = 1_000
POLL_RECORDS: Final = 256
#: The longest wait before a Ctrl-C or a stage's death is seen.
WAIT_S: Final = 0.2
#: Without progress for this long a stage that still runs is broken.
STALLED_S: Final = 60.0


class ReplayOptions(NamedTuple):
    """How to replay: `speed` times the record's own time (0: as fast as possible), and what runs and is checked."""

    to_prefix: str
    speed: float = 0.0
    project: bool = True
    verify: bool = True
    compare: bool = True


class OutputComparison(NamedTuple):
    """One output partition of the target against the source's: records compared, and how many differ."""

    topic: str
    partition: int
    compared: int
    mismatches: int
    first_difference: str


class ReplayReport(NamedTuple):
    """What a replay did. `resumed_at` records stood in the target before; `complete` says whether the range was written and read."""

    log_id: str
    whole: bool
    records: int
    resumed_at: int
    complete: bool
    seconds: float
    verification: Verification | None = None
    comparison: tuple[OutputComparison, ...] = ()

    @property
    def mismatches(self) -> int:
        """All that differs."""
        verified = 0 if self.verification is None else self.verification.mismatches
        return verified + sum(one.mismatches for one in self.comparison)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return self._asdict() | {
            "verification": None if self.verification is None else self.verification.as_dict(),
            "comparison": [one._asdict() for one in self.comparison],
            "mismatches": self.mismatches,
        }


def target_settings(settings: Settings, source: ReplaySource, to_prefix: str, folder: Path) -> Settings:
    """The settings of the stages that work on the target.

    Raises:
        UsageError: the settings trade elsewhere than on paper.
    """
    mode: str = settings.mode
    if mode != "paper":
        raise UsageError(f"mode is {mode!r}: what is replayed is traded on paper only; set mode to paper")
    changes: dict[str, Any] = settings.model_dump()
    changes["kafka"] |= {"prefix": to_prefix, "partitions": source.log.partitions}
    changes["state_dir"] = str(folder)
    changes["metrics"] = {}  # the ports belong to the stages of the settings' own prefix
    return Settings(**changes)


def full_prefix(text: str) -> str:
    """A prefix as a person wrote it, with its dot.

    Raises:
        UsageError: it cannot be one.
    """
    prefix = text if text.endswith(".") else f"{text}."
    try:
        return KafkaSettings(prefix=prefix).prefix
    except ValueError as error:
        raise UsageError(f"{text!r} is no prefix: lower case letters, digits, - or _") from error


def run_replay(
    source: ReplaySource,
    settings: Settings,
    options: ReplayOptions,
    *,
    say: Callable[[str], None] = lambda _: None,
    told: Callable[[int], None] | None = None,
) -> ReplayReport:
    """Replay a range into another prefix of the settings' broker; a Ctrl-C ends it cleanly, incomplete.

    Raises:
        UsageError: the target is the source or the stack's own prefix, the mode is not paper, or there is nothing to compare with.
        LogError: the target holds another log, or the source has a gap.
        CodeDigestError: other code decided the source.
        StackError: a stage gave up.
    """
    prefix = full_prefix(options.to_prefix)
    if source.log.name == KafkaLog(KafkaSettings(prefix=prefix)).name:
        raise UsageError(f"a log cannot be replayed into itself; give another prefix than {prefix!r}")
    if prefix == settings.kafka.prefix:
        raise UsageError(f"{prefix!r} is the stack's own prefix, where its own stages work; give another one")
    if options.compare and source.whole:
        check_comparable(source.log)
    with held_folder(Path(settings.state_dir).absolute() / FOLDER / prefix.rstrip(".")) as folder:
        target = target_settings(settings, source, prefix, folder.path)
        create_topics(target.kafka)
        already = _held_by(target.kafka, source)
        write_settings(target, folder.path / SETTINGS_FILE)
        folder.logs.mkdir(parents=True, exist_ok=True)
        names = (*(("project",) if options.project else ()), "execute", "decide")
        say(f"starting {', '.join(names)} on {prefix}")
        started = time.monotonic()
        with Supervisor([_stage(name, folder.path) for name in names], folder.logs) as stages:
            say(f"replaying {source.log.name} at " + (f"×{options.speed:g}" if options.speed else "full speed"))
            written, complete = 0, False
            with contextlib.suppress(KeyboardInterrupt):
                written, sent = _write(source, target.kafka, already, options.speed, stages, told)
                if sent:
                    _await_read(target.kafka, names, stages)
                    complete = True
            seconds = time.monotonic() - started
        report = ReplayReport(
            log_id=source.log_id,
            whole=source.whole,
            records=written,
            resumed_at=sum(already.values()),
            complete=complete,
            seconds=round(seconds, 3),
        )
        if not complete:
            return report
        copy = KafkaLog(target.kafka)
        if options.verify:
            say("folding the replayed log again")
            report = report._replace(verification=verify_log(copy))
        if options.compare and source.whole:
            say("comparing what was decided with the source")
            report = report._replace(comparison=compare_outputs(source, copy))
        return report


def send_entries(
    entries: Iterator[Entry],
    producer: RecordProducer,
    *,
    speed: float,
    check: Callable[[], None] = lambda: None,
    told: Callable[[int], None] | None = None,
    pause: Callable[[float], None] = time.sleep,
    monotonic: Callable[[], float] = time.monotonic,
) -> int:
    """Send the records at their pace and return how many; waits where the broker does not keep up. `check` may raise to end it."""
    origin: tuple[int, float] | None = None
    sent = 0
    for entry in entries:
        if speed > 0:
            if origin is None:
                origin = (entry.ts_ns, monotonic())
            due = origin[1] + (entry.ts_ns - origin[0]) / 1e9 / speed
            while (wait_s := due - monotonic()) > 0:
                producer.poll(0.0)
                check()
                pause(min(wait_s, WAIT_S))
        key = None if entry.key is None else entry.key.decode()
        while True:
            try:
                producer.send_bytes("market", entry.value, key=key, partition=entry.partition)
            except BufferFullError:
                producer.poll(0.1)
                check()
            else:
                break
        sent += 1
        if sent % POLL_RECORDS == 0:
            producer.poll(0.0)
            check()
            if told is not None:
                told(POLL_RECORDS)
    if told is not None:
        told(sent % POLL_RECORDS)
    return sent


def check_comparable(log: Log) -> None:
    """Whether something was decided in a log that a replay can be compared with; asked before anything is started.

    Raises:
        UsageError: there is nothing, as in a recording that was imported and never decided.
    """
    for topic in OUTPUT_TOPICS:
        try:
            found = sum(log.extent(topic, number)[1] - log.extent(topic, number)[0] for number in range(log.partitions))
        except LogError:
            found = -1
        # Where nothing was worth an intent there is none, but a decided log has watermarks.
        if found < (topic == "signals"):
            raise UsageError(
                f"{log.name} holds no {topic}: nothing was decided there that the replay could be compared with; "
                "--no-compare replays it without comparing"
            )


def compare_outputs(source: ReplaySource, target: Log) -> tuple[OutputComparison, ...]:
    """The target's decisions against the source's, byte for byte, as far as both have decided the range."""
    codec = load_codec()
    found: list[OutputComparison] = []
    for number, wanted in source.ranges.items():
        limit = min(source.log.decided_end(number) - source.base_offset(number), target.decided_end(number))
        limit = limit if wanted.end is None else min(limit, wanted.end)
        for topic in OUTPUT_TOPICS:
            check = TopicCheck(topic, number, target.read(topic, number), codec)
            for line in source.log.read(topic, number):
                try:
                    record = codec.decode(line.value)
                except SchemaError:
                    continue  # the target's record at its place is one too many then
                position = place_of(record)[0]
                if position >= limit:
                    break
                check.expect(Expected(line.key, line.value, record, position, None))
            check.end(limit)
            first = "" if check.first_difference is None else str(check.first_difference)
            found.append(OutputComparison(topic, number, check.compared, check.mismatches, first))
    return tuple(found)


def _held_by(kafka: KafkaSettings, source: ReplaySource) -> Mapping[int, int]:
    """How many records of the replay each partition of the target holds."""
    head = read_log_head(kafka, load_codec(), source.log_id)
    if head.log_id != source.log_id:
        raise LogError(
            f"prefix {kafka.prefix!r} holds another log ({head.log_id}) than this replay ({source.log_id}); "
            "replay into a prefix of its own"
        )
    return head.ends


def _write(
    source: ReplaySource,
    kafka: KafkaSettings,
    already: Mapping[int, int],
    speed: float,
    stages: Supervisor,
    told: Callable[[int], None] | None,
) -> tuple[int, bool]:
    producer = RecordProducer(kafka, load_codec(), "replay", linger_ms=5)
    try:
        sent = send_entries(
            source.entries(already, timed=speed > 0),
            producer,
            speed=speed,
            check=lambda: _check(stages),
            told=told,
        )
    except KeyboardInterrupt:
        producer.flush()
        return producer.delivered, False
    producer.flush()
    return sent, True


def _await_read(kafka: KafkaSettings, groups: tuple[str, ...], stages: Supervisor) -> None:
    """Wait until every stage has read everything.

    Raises:
        StackError: one gave up, or made no progress.
    """
    wanted = {group: READ_BY[group] for group in groups}
    proven: Mapping[int, int] | None = None
    best, since = sys.maxsize, time.monotonic()
    while True:
        behind = [row for row in lag_rows(kafka, wanted, sample_s=0.0) if row.lag_messages]
        if behind and {(row.group, row.topic) for row in behind} == {("execute", "market")}:
            # decide is at the end, so that its last watermarks say how far the executor can get.
            proven = _proven(kafka) if proven is None else proven
            behind = [row for row in behind if (row.committed or 0) < proven[row.partition]]
        total = sum(row.lag_messages for row in behind)
        if not total:
            return
        if total < best:
            best, since = total, time.monotonic()
        if time.monotonic() - since > STALLED_S:
            worst = max(behind, key=lambda row: row.lag_messages)
            raise StackError(
                f"{worst.group} stands {worst.lag_messages} records behind on {worst.topic} and does not move; see its log"
            )
        _check(stages)
        time.sleep(WAIT_S)


def _proven(kafka: KafkaSettings) -> dict[int, int]:
    """Offset of `market` in the target below which the last watermark proves everything, by partition."""
    log, codec = KafkaLog(kafka), load_codec()
    found: dict[int, int] = {}
    for number in range(log.partitions):
        low, high = log.extent("signals", number)
        tail = TAIL_RECORDS
        found[number] = 0
        while low < high and not found[number]:
            start = max(low, high - tail)
            for line in log.read("signals", number, start=start, end=high):
                record = codec.decode(line.value)
                if isinstance(record, Watermark):
                    found[number] = record.position + 1
            if start == low:
                break
            tail *= 4
    return found


def _check(stages: Supervisor) -> None:
    if failed := stages.failed():
        raise StackError("; ".join(f"{one.name}: {one.last_line}" for one in failed))


def _stage(name: str, folder: Path) -> ChildSpec:
    argv = [sys.executable, "-m", "deploy.stage", name, "--settings", str(folder / SETTINGS_FILE)]
    return ChildSpec(name=name, argv=argv)
