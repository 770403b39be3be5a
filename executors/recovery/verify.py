"""Proves that what the executor wrote follows from its inputs.

The journal's inputs are folded again, and key and bytes of every output in `orders` and `fills` are compared with the committed
records, in order; a record too many and one too few are differences. Beside that: numbers without gaps, every journaled intent the
committed one and none left out, every request within its plan, every fill under its request. Must never write, and never
skip what it cannot decode.

One foreign, one missing and one changed output are one difference each. A missing *input* is one too: what followed from it cannot be
told and is passed, what its absence changes afterwards is a difference. Input that cannot be folded ends the comparison.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, count
from typing import Final, NamedTuple

from crossbook.log.comparing import Difference, Expected, LineDigest, Place, TopicCheck
from crossbook.log.errors import LogError
from crossbook.log.reading import Log, LogLine
from executors.errors import ExecutorError
from executors.fold import step
from executors.hedge.plan import order_ids
from executors.journal import FILLS, INPUTS, JOURNAL_OUTPUTS, key_of
from executors.machines import MACHINES
from executors.orders.machine import MachineTable
from executors.orders.work import INTENTS, SEEN, Intent, Seen
from executors.state import ExecutorState
from schemas.codec import Codec, load_codec
from schemas.errors import SchemaError
from schemas.records import (
    Fill,
    OrderRequested,
    PlanBound,
    Record,
    TradePlan,
)
from schemas.topics import MAIN, partition_of

__all__ = ["Difference", "VerifyResult", "compare_executions", "verify_executions"]

#: Where the journal of the main portfolio stands; those of others follow.
MAIN_JOURNAL: Final = partition_of(MAIN)
#: What a fold raises on input that the executor which wrote the journal would have died of.
_DEATHS: Final = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)


class VerifyResult(NamedTuple):
    """`executions` outputs compared, `inputs` folded; `digests` names both topics by their committed content."""

    executions: int
    inputs: int
    mismatches: int
    first_differences: tuple[Difference, ...]
    digests: dict[str, str]

    @property
    def first_difference(self) -> Difference | None:
        """The first difference of `orders`, or else of `fills`."""
        return self.first_differences[0] if self.first_differences else None


class _Check:
    """One pass over journal and fills."""

    def __init__(
        self,
        fills: Iterator[LogLine],
        codec: Codec,
        intents: Callable[[int], Iterator[LogLine]] | None,
        machines: MachineTable,
        partition: int,
    ) -> None:
        self._partition = partition
        self._codec = codec
        self._intents = None if intents is None else _Intents(intents, codec)
        self.requested: set[str] = set()
        self.fills = TopicCheck("fills", partition, self._seen(fills), codec, _number, "input at journal number")
        self.digest = LineDigest()
        self.first: Difference | None = None
        self.first_of_fills: Difference | None = None
        self.executions = self.inputs = self.mismatches = self.unrequested = 0
        self._state = ExecutorState(machines)
        self._expected: deque[Record] = deque()
        self._cause: Record | None = None
        self._intent_numbers: dict[int, int] = {}
        self._planned: dict[str, PlanBound] = {}
        self._orphans = False
        self._ended = False

    def journal(self, lines: Sequence[LogLine]) -> None:
        """Take the whole journal."""
        records = [_decoded(self._codec, line) for line in lines]
        number = 0
        while number < len(lines):
            line = lines[number]
            behind = records[number + 1] if number + 1 < len(lines) else None
            if self._ended:
                self._taken(line)
            elif self._expected:
                if not self._output(number, line, records[number], lines[number + 1 : number + 2]):
                    continue  # what was expected is missing: the same line again, for what comes next
            else:
                self._input(number, line, records[number], behind)
            number += 1
        while self._expected:
            self._differ(len(lines), None, self._expected.popleft(), "missing output")

    # -- outputs

    def _output(self, number: int, line: LogLine, record: Record | str, behind: Sequence[LogLine]) -> bool:
        """Compare a line with the next output owed; whether the line was used up."""
        expected = self._expected[0]
        if self._equal(line, expected):
            self._expected.popleft()
            self._accept(number, line, expected)
            return True
        later = any(self._equal(line, one) for one in self._expected)
        if later or (isinstance(record, INPUTS) and record.sequence == self._state.next_sequence):
            self._differ(number, None, self._expected.popleft(), "missing output")
            return False
        if behind and self._equal(behind[0], expected):
            self._differ(number, line, None, "extra record")
        else:
            self._differ(
                number, line, self._expected.popleft(), "unreadable" if isinstance(record, str) else "different output"
            )
        self._taken(line)
        return True

    def _accept(self, number: int, line: LogLine, record: Record) -> None:
        self._taken(line)
        self.executions += 1
        if isinstance(record, OrderRequested) and (
            _outside(self._planned.get(record.order_id), record) or record.order_id in self.requested
        ):
            self._differ(number, line, None, "a request outside its plan, or a second one")
        self._remember(record)

    def _remember(self, record: Record) -> None:
        if isinstance(record, TradePlan):
            self._planned.update(order_ids(record))
        elif isinstance(record, OrderRequested):
            self.requested.add(record.order_id)

    # -- inputs

    def _input(self, number: int, line: LogLine, record: Record | str, behind: Record | str | None) -> None:
        due = self._state.next_sequence
        self._taken(line)
        if isinstance(record, INPUTS) and record.sequence == due:
            self._orphans = False
            self._fold(number, line, record)
            return
        if self._orphans and isinstance(record, JOURNAL_OUTPUTS) and record.sequence == due:
            self._state.next_sequence += 1
            return
        numbered = getattr(record, "sequence", -1)
        following = getattr(behind, "sequence", -1)
        if isinstance(behind, INPUTS) and following == due:
            self._differ(number, line, None, "unreadable" if isinstance(record, str) else "extra record")
        elif following == due + 1 and not (isinstance(record, JOURNAL_OUTPUTS) and numbered == due + 1):
            self._differ(
                number,
                line,
                None,
                "unreadable" if isinstance(record, str) else f"number {numbered} where {due} comes next",
            )
            self._state.next_sequence = due + 1
            self._orphans = True
        elif numbered > due and (behind is None or following == numbered + 1 or isinstance(record, JOURNAL_OUTPUTS)):
            self._differ(
                number, line, None, f"number {numbered} where {due} comes next: {numbered - due} records are missing"
            )
            self._state.next_sequence = numbered
            if isinstance(record, INPUTS):
                self._fold(number, line, record)
            else:
                self._state.next_sequence += 1
                self._orphans = True
        else:
            self._differ(number, line, None, "unreadable" if isinstance(record, str) else "extra record")

    def _fold(self, number: int, line: LogLine, record: Record) -> None:
        assert isinstance(record, INPUTS), "the caller looked"
        self._cause = record
        self.inputs += 1
        if _raw(key_of(record)) != line.key:
            self._differ(number, line, record, "another key")
        if isinstance(record, SEEN):
            self._intent(number, line, record)
        try:
            outputs = step(self._state, record)
        except (ExecutorError, *_DEATHS) as error:
            self._ended = True
            self._differ(number, line, None, f"the fold ends here: {type(error).__name__}: {error}")
            return
        for output in outputs:
            if isinstance(output, FILLS):
                self.fills.expect(
                    Expected(_raw(key_of(output)), self._codec.encode(output), output, record.sequence, record)
                )
            else:
                self._expected.append(output)

    def _intent(self, number: int, line: LogLine, seen: Seen) -> None:
        """The intents of a partition are journaled in their order, all of them, as they were committed."""
        before = self._intent_numbers.get(seen.partition, 0)
        self._intent_numbers[seen.partition] = seen.intent.number
        if seen.intent.number != before + 1:
            self._differ(
                number,
                line,
                None,
                f"intent {seen.intent.number} of partition {seen.partition} where {before + 1} comes next",
            )
        elif self._intents is not None:
            committed = self._intents.find(seen)
            # One that is missing there is decide's difference, and named by its verification.
            if committed is not None and committed != seen.intent:
                self._differ(number, line, committed, f"intent {seen.intent.intent_id} is another one in `intents`")

    # -- ends

    def end(self) -> None:
        """Nothing more may stand in `fills`, but what a running executor added."""
        limit = self._state.next_sequence if not self._ended else 0
        self.fills.end(limit)
        self.executions += self.fills.compared
        self.mismatches += self.fills.mismatches
        self.first_of_fills = self.first_of_fills or self.fills.first_difference

    def _seen(self, lines: Iterator[LogLine]) -> Iterator[LogLine]:
        """The fills as they stand; each must have its request."""
        for number, line in enumerate(lines):
            record = _decoded(self._codec, line)
            if (
                isinstance(record, Fill)
                and record.order_id not in self.requested
                and record.sequence < self._state.next_sequence
            ):
                self.mismatches += 1
                self.first_of_fills = self.first_of_fills or _difference(
                    "fills", self._partition, number, line, None, record, self._cause, "a fill without its request"
                )
            yield line

    def _equal(self, line: LogLine, record: Record) -> bool:
        return line.value == self._codec.encode(record) and line.key == _raw(key_of(record))

    def _taken(self, line: LogLine) -> None:
        self.digest.add(line.key, line.value)

    def _differ(self, number: int, line: LogLine | None, expected: Record | None, why: str) -> None:
        self.mismatches += 1
        if isinstance(expected, JOURNAL_OUTPUTS):
            self.executions += 1
            self._remember(expected)  # what is wrong with it is said once: its orders and fills are not wrong for it
        if self.first is None:
            found = None if line is None else _decoded(self._codec, line)
            self.first = _difference("orders", self._partition, number, line, expected, found, self._cause, why)


class _Intents:
    """The committed intents, read beside the journal: each partition once, in order."""

    def __init__(self, lines: Callable[[int], Iterator[LogLine]], codec: Codec) -> None:
        self._open = lines
        self._codec = codec
        self._ahead: dict[int, Iterator[Intent]] = {}

    def find(self, seen: Seen) -> Intent | None:
        """The committed intent of the journaled one's number, None when there is none."""
        number = seen.intent.number
        ahead = self._ahead.get(seen.partition)
        if ahead is None:
            ahead = self._readable(seen.partition)
        for intent in ahead:
            if intent.number >= number:
                # What lies behind it is asked for next.
                self._ahead[seen.partition] = ahead if intent.number == number else chain([intent], ahead)
                return intent if intent.number == number else None
        self._ahead[seen.partition] = iter(())
        return None

    def _readable(self, partition: int) -> Iterator[Intent]:
        for line in self._open(partition):
            record = _decoded(self._codec, line)
            if isinstance(record, INTENTS):
                yield record


def compare_executions(
    journal: Iterable[LogLine],
    fills: Iterator[LogLine],
    codec: Codec,
    intents: Callable[[int], Iterator[LogLine]] | None = None,
    machines: MachineTable = MACHINES,
    partition: int = MAIN_JOURNAL,
) -> VerifyResult:
    """Verify a journal and its fills, given as lines of a partition; `intents` gives the committed intents of one of theirs."""
    check = _Check(fills, codec, intents, machines, partition)
    check.journal(list(journal))
    check.end()
    return VerifyResult(
        executions=check.executions,
        inputs=check.inputs,
        mismatches=check.mismatches,
        first_differences=tuple(one for one in (check.first, check.first_of_fills) if one is not None),
        digests={_named("orders", partition): check.digest.hexdigest(), _named("fills", partition): check.fills.digest},
    )


def verify_executions(log: Log, machines: MachineTable = MACHINES) -> VerifyResult:
    """Verify `orders` and `fills` of every portfolio of a log, as committed now, by the machines that wrote them. Stop the executors first, or an end may be mid-air.

    Raises:
        BrokerAwayError, LogError: the topics cannot be read.
    """
    found = _verify_journal(log, MAIN_JOURNAL, machines)
    for partition in count(MAIN_JOURNAL + 1):
        try:
            log.extent("orders", partition)
        except LogError:
            return found
        other = _verify_journal(log, partition, machines)
        found = VerifyResult(
            executions=found.executions + other.executions,
            inputs=found.inputs + other.inputs,
            mismatches=found.mismatches + other.mismatches,
            first_differences=found.first_differences + other.first_differences,
            digests=found.digests | other.digests,
        )
    raise AssertionError("a log has an end of partitions")


def _verify_journal(log: Log, partition: int, machines: MachineTable) -> VerifyResult:
    # The fills' end is taken after the journal's, so that it can hold too much while the executor runs, never too little.
    journal = list(log.read("orders", partition))
    partitions = log.partitions
    return compare_executions(
        journal,
        log.read("fills", partition),
        load_codec(),
        lambda number: log.read("intents", number) if 0 <= number < partitions else iter(()),
        machines,
        partition=partition,
    )


def _named(topic: str, partition: int) -> str:
    return topic if partition == MAIN_JOURNAL else f"{topic}/{partition}"


def _difference(
    topic: str,
    partition: int,
    number: int,
    line: LogLine | None,
    expected: Record | None,
    found: Record | str | None,
    cause: Record | None,
    why: str,
) -> Difference:
    return Difference(
        topic=topic,
        partition=partition,
        number=number,
        expected=expected,
        found=found,
        key_expected=None if expected is None or isinstance(expected, INTENTS) else _raw(key_of(expected)),
        key_found=None if line is None else line.key,
        offset_found=-1 if line is None else line.offset,
        cause_position=getattr(cause, "sequence", -1),
        cause=cause,
        note=why,
        cause_name="input at journal number",
    )


def _number(record: Record) -> Place:
    """A fill's place: one report gives one record of `fills`."""
    return getattr(record, "sequence", -1), 0


def _decoded(codec: Codec, line: LogLine) -> Record | str:
    try:
        return codec.decode(line.value)
    except SchemaError as error:
        return f"unreadable: {error}"


def _raw(key: str | None) -> bytes | None:
    return None if key is None else key.encode()


def _outside(bound: PlanBound | None, request: OrderRequested) -> bool:
    """Whether a request is none that its plan covers, or goes further than the plan lets it."""
    if bound is None:
        return True
    worse = request.price_limit_micros - bound.price_worst_micros
    return (
        (worse > 0 if bound.side == "buy" else worse < 0)
        or request.quantity_micros > bound.quantity_max_micros
        or request.ts_ns > bound.ts_deadline_ns
        or (request.instrument_id, request.outcome, request.side) != (bound.instrument_id, bound.outcome, bound.side)
    )
