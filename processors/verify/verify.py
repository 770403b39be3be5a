"""Proves that what decide wrote is what its log says it must have written.

`market` is folded again and key, partition and value of every output are compared with the committed records of `signals` and
`intents`; a record too many and a record too few are both differences. Numbers of intents and watermarks are a part of those bytes.
Where other code decided, by the settings that stand in `market`, nothing is compared: those ranges are named as not proven.
`market` itself must go on without a gap from LogOpened; what it holds is named by its digest, because nothing else says what the
venues said. Must never write, and never skip what it cannot decode: unreadable output is a difference, unreadable input is named.

A range that does not begin at zero begins at the newest checkpoint before it, or else at zero in silence. With `from_checkpoint` the
fold goes on from each checkpoint to the next: the state reached must equal the stored one byte for byte, and the fold then goes on
from the *stored* bytes. By induction that is every "from checkpoint k to the end" at the price of one fold: what follows a checkpoint
is a function of its bytes, and the state at the next one is proven to be the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Final, Literal, NamedTuple, TypeAlias

from crossbook.log.comparing import Difference, Expected
from crossbook.log.comparing import TopicCheck as AnyTopicCheck
from crossbook.log.head import log_opened
from crossbook.log.reading import Log, LogLine
from processors.decide.checkpoint import thaw
from processors.decide.code_digest import decision_digest
from processors.decide.partition import PartitionFold
from processors.decide.resume import intents_before, place_of
from processors.decide.state import DecideState, Output
from processors.errors import CheckpointError, CodeDigestError, InputError
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from processors.verify.checkpoints import Stored, read_payload, stored_checkpoints
from processors.verify.inputs import UNREADABLE_MAX, CheckpointMarks, MarketCheck, Unreadable
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import LogOpened

__all__ = [
    "OUTPUT_TOPICS",
    "Difference",
    "Epoch",
    "FromCheckpoint",
    "Positions",
    "TopicCheck",
    "Unreadable",
    "VerifyResult",
    "compare",
    "verify_decide",
]

OUTPUT_TOPICS: Final = ("signals", "intents")
#: Lines taken at once; progress is told this often.
BATCH_LINES: Final = 1_000
#: What a fold raises on input that the code which wrote the log would have died of.
_DEATHS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)

#: Number of a checkpoint, from 1 (the oldest of its partition), or every one.
FromCheckpoint: TypeAlias = int | Literal["all"]


class TopicCheck(AnyTopicCheck):
    """One partition of `signals` or `intents`."""

    def __init__(self, topic: str, partition: int, lines: Iterator[LogLine], codec: Codec) -> None:
        super().__init__(topic, partition, lines, codec, place_of)


class Positions(NamedTuple):
    """What is compared of a partition: causes from `begin` up to and without `end` (None: what decide has written)."""

    begin: int = 0
    end: int | None = None


class Epoch(NamedTuple):
    """Positions of a partition, from `begin` up to and without `end` (None: to its end), that other code decided; `records` it wrote."""

    partition: int
    begin: int
    end: int | None
    code_digest: str
    records: int

    def __str__(self) -> str:
        until = "on" if self.end is None else f"to {self.end - 1:,}"
        return f"market partition {self.partition}, positions {self.begin:,} {until}: {self.records:,} records by code {self.code_digest[:12]}…"


class VerifyResult(NamedTuple):
    """`decisions` outputs compared, `events` folded, `checkpoints` compared; `digests` names what was compared, by topic partition.

    `unreadable` names the first unreadable records of `market`, `unreadable_count` counts all; they are no mismatches. `unproven`: what other
    code decided.
    """

    decisions: int
    events: int
    mismatches: int
    first_differences: tuple[Difference, ...]
    digests: dict[str, str]
    checkpoints: int = 0
    unreadable: tuple[Unreadable, ...] = ()
    unreadable_count: int = 0
    unproven: tuple[Epoch, ...] = ()

    @property
    def first_difference(self) -> Difference | None:
        """The first difference of the first topic partition that has one."""
        return self.first_differences[0] if self.first_differences else None


def compare(
    fold: PartitionFold,
    market: Iterator[LogLine],
    checks: Mapping[str, TopicCheck],
    codec: Codec,
    *,
    begin: int = 0,
    base_offset: int = 0,
    input_check: MarketCheck | None = None,
    marks: CheckpointMarks | None = None,
    told: Callable[[int], None] | None = None,
    market_end: Callable[[], int] | None = None,
    unproven: list[Epoch] | None = None,
) -> int:
    """Fold the lines of `market` and check every output whose cause stands at or behind `begin`; return how many were folded.

    What other code decided is passed over and noted in `unproven`.

    `base_offset` is that of the log's head; without a `begin` it is not needed.

    What stops a fold is a difference of `market`, and ends the comparison.
    """
    inputs = MarketCheck(fold.partition) if input_check is None else input_check
    take, digest = fold.take, inputs.digest.add
    next_offset = fold.next_offset
    first_offset = base_offset + begin if begin else 0
    mark = -1 if marks is None else marks.next_position
    events = 0
    whole = True
    epochs = _Epochs(fold, checks, begin, [] if unproven is None else unproven)
    while whole and (batch := list(islice(market, BATCH_LINES))):
        for offset, _, key, value in batch:
            if next_offset is not None and offset != next_offset:
                missing = offset - next_offset
                base = fold.base_offset or 0
                inputs.fault(
                    f"{missing} records are missing before it", offset=offset, position=offset - base, found="a gap"
                )
            next_offset = offset + 1
            events += 1
            compared = offset >= first_offset
            if compared:
                digest(key, value)
            try:
                outputs = take(offset, value)
                if fold.state.other_code != epochs.code:
                    epochs.turn()
                if outputs and compared:
                    _expect(outputs, fold, checks, codec)
            except SchemaError as error:
                inputs.unread(offset, error)
            except (InputError, *_DEATHS) as error:
                why = f"the fold ends here: {type(error).__name__}: {error}"
                inputs.fault(
                    why, offset=offset, position=offset - (fold.base_offset or 0), found=fold.last_record or "a record"
                )
                whole = False
                break
            if mark >= 0 and marks is not None and mark == fold.state.market.position:
                marks.pass_one()
                mark = marks.next_position
        if told is not None:
            told(len(batch))
    epochs.end()
    last = None if market_end is None else market_end()  # asked last: decide can have written no cause beyond it
    for check in checks.values():
        check.end(max(begin, fold.state.market.position + 1), last)
    return events


class _Epochs:
    """Keeps who decides, and passes over what other code wrote. `code`: digest of the other code, empty while ours decides."""

    def __init__(
        self, fold: PartitionFold, checks: Mapping[str, TopicCheck], begin: int, unproven: list[Epoch]
    ) -> None:
        self._fold, self._checks, self._unproven = fold, checks, unproven
        self.code = fold.state.other_code
        self._first = self._begin = begin

    def turn(self) -> None:
        """Another code than before decides from the position that the fold stands at."""
        position = self._fold.state.market.position
        self._pass(position)
        self.code, self._begin = self._fold.state.other_code, max(position, self._first)

    def end(self) -> None:
        """Nothing more is folded."""
        self._pass(None)

    def _pass(self, end: int | None) -> None:
        if self.code and (end is None or end > self._begin):
            records = sum(check.pass_over(self._begin, end) for check in self._checks.values())
            self._unproven.append(Epoch(self._fold.partition, self._begin, end, self.code, records))


def _expect(outputs: Sequence[Output], fold: PartitionFold, checks: Mapping[str, TopicCheck], codec: Codec) -> None:
    position, cause = fold.state.market.position, fold.last_record
    for topic, key, record in outputs:
        raw = None if key is None else key.encode()
        checks[topic].expect(Expected(raw, codec.encode(record), record, position, cause))


def verify_decide(
    log: Log,
    partitions: Sequence[int] | None = None,
    *,
    ranges: Mapping[int, Positions] | None = None,
    from_checkpoint: FromCheckpoint | None = None,
    strategies: Strategies = STRATEGIES,
    told: Callable[[int], None] | None = None,
) -> VerifyResult:
    """Verify partitions of `market` (all by default) up to the positions that decide has written.

    Args:
        log: topics of a prefix, or an archive of them.
        partitions: numbers; all by default.
        ranges: what to compare of a partition; those not named are compared whole.
        from_checkpoint: go on from each checkpoint to the next ("all"), or begin at one of them, and compare their states.
        strategies: those that may have decided.
        told: called with the number of events folded since the last call.

    Raises:
        CodeDigestError: other code decided all that was to be compared.
        LogError: a topic is gone. BrokerAwayError: it cannot be read.
    """
    numbers = range(log.partitions) if partitions is None else partitions
    wanted = ranges or {}
    done = [
        _verify_partition(log, number, wanted.get(number, Positions()), from_checkpoint, strategies, told)
        for number in numbers
    ]
    return require_own(merge(done), decision_digest(strategies))


def require_own(result: VerifyResult, code_digest: str) -> VerifyResult:
    """The result itself. Raises CodeDigestError when nothing of it was decided by this code: then nothing was proven."""
    if result.unproven and not result.decisions:
        first = result.unproven[0]
        raise CodeDigestError(
            partition=first.partition, position=first.begin, configured=first.code_digest, running=code_digest
        )
    return result


def merge(results: Sequence[VerifyResult]) -> VerifyResult:
    """One verdict over partitions that were verified apart, in their order."""
    return VerifyResult(
        decisions=sum(one.decisions for one in results),
        events=sum(one.events for one in results),
        mismatches=sum(one.mismatches for one in results),
        first_differences=tuple(difference for one in results for difference in one.first_differences),
        digests={name: digest for one in results for name, digest in one.digests.items()},
        checkpoints=sum(one.checkpoints for one in results),
        unreadable=tuple(found for one in results for found in one.unreadable)[:UNREADABLE_MAX],
        unreadable_count=sum(one.unreadable_count for one in results),
        unproven=tuple(epoch for one in results for epoch in one.unproven),
    )


def _verify_partition(
    log: Log,
    number: int,
    wanted: Positions,
    from_checkpoint: FromCheckpoint | None,
    strategies: Strategies,
    told: Callable[[int], None] | None,
) -> VerifyResult:
    codec = load_codec()
    digest = decision_digest(strategies)
    decided = log.decided_end(number)
    head = log_opened(log, codec, number)
    base = 0 if head is None else head.base_offset
    end = decided if wanted.end is None else min(decided, base + wanted.end)
    inputs = MarketCheck(number)
    if head is None and decided > log.extent("market", number)[0]:
        inputs.fault(
            "the partition has no readable LogOpened: nothing in it has a position",
            offset=-1,
            position=-1,
            found="no head",
        )
    stored: list[Stored] = []
    if head is not None and (from_checkpoint is not None or wanted.begin > 0):
        stored = stored_checkpoints(log, codec, number, log_id=head.log_id, code_digest=digest)
    fresh = DecideState(digest, strategies)
    fold, passed = _start(log, codec, number, head, fresh, stored, wanted.begin, from_checkpoint)
    begin = max(wanted.begin, passed + 1) if isinstance(from_checkpoint, int) else wanted.begin
    marks = None
    if from_checkpoint is not None:
        marks = CheckpointMarks(log, codec, fold, inputs, [one for one in stored if passed < one.position < end - base])
    checks = {
        topic: TopicCheck(topic, number, _output_lines(log, codec, topic, number, begin), codec)
        for topic in OUTPUT_TOPICS
    }
    lines = log.read("market", number, start=fold.next_offset, end=end)
    unproven: list[Epoch] = []
    events = compare(
        fold,
        lines,
        checks,
        codec,
        begin=begin,
        base_offset=base,
        input_check=inputs,
        marks=marks,
        told=told,
        market_end=lambda: log.extent("market", number)[1] - base,
        unproven=unproven,
    )
    parts: list[MarketCheck | TopicCheck] = [inputs, *checks.values()]
    return VerifyResult(
        decisions=sum(check.compared for check in checks.values()),
        events=events,
        mismatches=sum(part.mismatches for part in parts),
        first_differences=tuple(part.first_difference for part in parts if part.first_difference is not None),
        digests={f"market/{number}": inputs.digest.hexdigest()}
        | {f"{topic}/{number}": check.digest for topic, check in checks.items()},
        checkpoints=0 if marks is None else marks.compared,
        unreadable=tuple(inputs.unreadable),
        unreadable_count=inputs.unreadable_count,
        unproven=tuple(unproven),
    )


def _start(
    log: Log,
    codec: Codec,
    number: int,
    head: LogOpened | None,
    state: DecideState,
    stored: Sequence[Stored],
    begin: int,
    from_checkpoint: FromCheckpoint | None,
) -> tuple[PartitionFold, int]:
    """The fold to begin with and the position of the checkpoint that it rests on, -1 for none."""
    digest, counted = state.code_digest, partial(intents_before, log, codec, number)
    fresh = PartitionFold(number, codec, state, intents_before=counted), -1
    if head is None:
        return fresh
    candidates = [one for one in stored if one.position < begin] if begin else []
    if isinstance(from_checkpoint, int):
        if not 1 <= from_checkpoint <= len(stored):
            raise CheckpointError(
                f"{log.name} has {len(stored)} checkpoints of this code in partition {number}, there is no number {from_checkpoint}; "
                "give 1 for the oldest, or all"
            )
        candidates = [stored[from_checkpoint - 1]]
    for one in reversed(candidates):
        payload = read_payload(log, codec, number, one, log_id=head.log_id, code_digest=digest)
        try:
            state = thaw(payload, digest, state.makers)
        except CheckpointError:
            continue  # damaged: an older one serves as well
        return PartitionFold(number, codec, state, head.base_offset, intents_before=counted), one.position
    return fresh


def _output_lines(log: Log, codec: Codec, topic: str, number: int, begin: int) -> Iterator[LogLine]:
    """Lines of an output topic from the first one whose cause stands at or behind `begin`.

    Places ascend along a topic, so that the first line is looked for by halves; offsets may have holes (markers take some).
    """
    if begin <= 0:
        return log.read(topic, number)
    low, high = log.extent(topic, number)
    while high - low > BATCH_LINES:
        middle = (low + high) // 2
        line = next(_lines_from(log.read(topic, number, start=middle, end=high), codec, 1), None)
        if line is None:
            high = middle
        elif next(_lines_from([line], codec, begin), None) is None:
            low = line.offset + 1
        else:
            high = middle
    return _lines_from(log.read(topic, number, start=low), codec, begin)


def _lines_from(lines: Iterable[LogLine], codec: Codec, position: int) -> Iterator[LogLine]:
    """The lines from the first output on whose cause stands at or behind a position."""
    given = iter(lines)
    if position > 0:
        for line in given:
            try:
                at = place_of(codec.decode(line.value))[0]
            except SchemaError:
                continue
            if at >= position:
                yield line
                break
    yield from given
