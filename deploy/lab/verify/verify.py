"""Fold the log again and compare: decide's decisions and the executor's executions, in one verdict.

Partitions are verified side by side in processes where that is asked for; the verdict does not depend on it. Decides nothing about
records; see `processors.verify.verify` and `executors.recovery.verify`.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from rich.table import Table

from crossbook.log.reading import Log
from deploy.lab.verify.pool import Pool, decide_task, execute_task
from executors.recovery.verify import VerifyResult as ExecuteResult
from executors.recovery.verify import verify_executions
from processors.verify.verify import FromCheckpoint, Positions, merge, verify_decide
from processors.verify.verify import VerifyResult as DecideResult


class Verification(NamedTuple):
    """What was compared, how much of it differs, and the first difference of each topic partition in words (empty: none).

    `digests` names every topic partition by its content as far as it was compared, `digest` all of them in one; `unreadable` names
    records of `market` that nobody can decode (decide passes them, they are no mismatches); `inputs` counts the journal's; `unproven`
    names what other code decided.
    """

    events: int
    decisions: int
    executions: int
    mismatches: int
    first_differences: tuple[str, ...]
    digests: dict[str, str]
    digest: str = ""
    inputs: int = 0
    checkpoints: int = 0
    unreadable: tuple[str, ...] = ()
    unreadable_count: int = 0
    unproven: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The verdict, ready for JSON."""
        return self._asdict()


def verify_log(
    log: Log,
    *,
    ranges: Mapping[int, Positions] | None = None,
    from_checkpoint: FromCheckpoint | None = None,
    jobs: int = 1,
    told: Callable[[int], None] | None = None,
) -> Verification:
    """Verify every partition of `signals` and `intents` against `market`, and `orders` and `fills` against the journal.

    The journal is always folded whole: it is small, and only its beginning says what followed.

    Args:
        log: topics of a prefix, or an archive of them; with several jobs it must be picklable (both are).
        ranges: what to compare of a partition of `market`; all of it by default.
        from_checkpoint: see `processors.verify.verify`.
        jobs: processes to work in; 1 is this one.
        told: called with the number of events folded since the last call.

    Raises:
        CodeDigestError: nothing in the log was decided by the code that runs.
        LogError, BrokerAwayError: the log cannot be read.
        WorkerError: one of these, in another process.
    """
    numbers = range(log.partitions)
    if jobs <= 1:
        decided = verify_decide(log, ranges=ranges, from_checkpoint=from_checkpoint, told=told)
        return verdict(decided, verify_executions(log))
    with Pool(min(jobs, len(numbers) + 1), len(numbers)) as pool:
        parts = [
            pool.submit(decide_task, log, number, (ranges or {}).get(number, Positions()), from_checkpoint)
            for number in numbers
        ]
        rest = pool.submit(execute_task, log)
        pool.wait(told)
        return verdict(merge([pool.result(part) for part in parts]), pool.result(rest))


def verdict(decided: DecideResult, executed: ExecuteResult) -> Verification:
    """Both results as one."""
    digests = {**decided.digests, **executed.digests}
    return Verification(
        events=decided.events,
        decisions=decided.decisions,
        executions=executed.executions,
        mismatches=decided.mismatches + executed.mismatches,
        first_differences=tuple(str(one) for one in (*decided.first_differences, *executed.first_differences)),
        digests=digests,
        digest=whole_digest(digests),
        inputs=executed.inputs,
        checkpoints=decided.checkpoints,
        unreadable=tuple(map(str, decided.unreadable)),
        unreadable_count=decided.unreadable_count,
        unproven=tuple(map(str, decided.unproven)),
    )


def whole_digest(digests: Mapping[str, str]) -> str:
    """SHA-256 over the names and digests of all topic partitions, in the order of their names: one line for a whole log."""
    text = "".join(f"{name} {digest}\n" for name, digest in sorted(digests.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def render_verification(result: Verification) -> Table:
    """The verdict as a table, with a digest a partition: two people compare a log in a few lines, or in the last one."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("events folded", f"{result.events:,}")
    table.add_row("decisions compared", f"{result.decisions:,}")
    table.add_row("executions compared", f"{result.executions:,}")
    if result.checkpoints:
        table.add_row("checkpoints compared", f"{result.checkpoints:,}")
    table.add_row("mismatches", f"{result.mismatches:,}")
    if result.unreadable_count:
        table.add_row("unreadable inputs", f"{result.unreadable_count:,}")
    for name, digest in sorted(result.digests.items()):
        table.add_row(f"sha256 {name}", digest)
    table.add_row("sha256 of the log", result.digest)
    for line in result.unproven:
        table.add_row("not proven", line)
    for line in result.unreadable:
        table.add_row("passed", line)
    for difference in result.first_differences:
        table.add_row("first difference", difference)
    return table
