"""Fold the log again and compare: decide's decisions and the executor's executions, in one verdict."""

from typing import Any, NamedTuple

from rich.table import Table

from crossbook.runtime.settings import KafkaSettings
from executors.verify import verify_executions
from processors.verify import verify_decide


class Verification(NamedTuple):
    """What was compared, how much of it differs, and the first difference of each stage in words (empty: none)."""

    events: int
    decisions: int
    executions: int
    mismatches: int
    first_differences: tuple[str, ...]
    digests: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """The verdict, ready for JSON."""
        return self._asdict()


def verify_log(kafka: KafkaSettings) -> Verification:
    """Verify every partition of `signals` and `intents` against `market`, and `orders` and `fills` against the journal.

    Raises:
        CodeDigestError: the log was written by code that is not the one that runs.
        LogError: the log does not begin with LogOpened.
    """
    decided = verify_decide(kafka)
    executed = verify_executions(kafka)
    return Verification(
        events=decided.events,
        decisions=decided.decisions,
        executions=executed.executions,
        mismatches=decided.mismatches + executed.mismatches,
        first_differences=tuple(str(d) for d in (decided.first_difference, executed.first_difference) if d),
        digests={**decided.digests, **executed.digests},
    )


def render_verification(result: Verification) -> Table:
    """The verdict as a table, with a digest a partition: two people compare a log in a few lines."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_row("events folded", f"{result.events:,}")
    table.add_row("decisions compared", f"{result.decisions:,}")
    table.add_row("executions compared", f"{result.executions:,}")
    table.add_row("mismatches", f"{result.mismatches:,}")
    for name, digest in sorted(result.digests.items()):
        table.add_row(f"sha256 {name}", digest)
    for difference in result.first_differences:
        table.add_row("first difference", difference)
    return table
