"""Two dumps against each other, record by record and field by field, the first one mapped forward."""

from collections import Counter
from itertools import zip_longest
from pathlib import Path
from typing import Any

from tests.equality.files import TOPICS, read_manifest, read_topic
from tests.equality.mapping import Known, forward_all, masked

#: So many differences of a source are named; the rest is counted.
NAMED_MAX = 5


class Comparison:
    """What was found: records compared by topic and name, and differences as lines."""

    def __init__(self) -> None:
        self.compared: Counter[tuple[str, str]] = Counter()
        self.differences: list[str] = []
        self.different = 0

    def dumps(self, before: Path, after: Path) -> None:
        """Compare every source of both."""
        theirs, ours = read_manifest(before), read_manifest(after)
        for name in sorted(theirs.keys() ^ ours.keys()):
            self._differ(f"{name}: only in {before if name in theirs else after}", 0)
        for name in sorted(theirs.keys() & ours.keys()):
            self.source(before, after, name)

    def source(self, before: Path, after: Path, name: str) -> None:
        """Compare one source's topics."""
        found = 0
        known = Known.of(read_topic(before, name, "market"))
        for topic in TOPICS:
            pairs = zip_longest(forward_all(read_topic(before, name, topic), known), read_topic(after, name, topic))
            for number, (theirs, ours) in enumerate(pairs):
                if theirs is None or ours is None:
                    what = ours or theirs
                    side = "only before" if ours is None else "only after"
                    self._differ(f"{name} {topic} record {number}: {what[0]} {side}, and what follows", found)
                    found += 1
                    break
                found += self._records(f"{name} {topic} record {number}", topic, theirs, ours, found)

    def _records(
        self, place: str, topic: str, theirs: tuple[str, dict[str, Any]], ours: tuple[str, dict[str, Any]], found: int
    ) -> int:
        wanted, fields = theirs
        self.compared[topic, ours[0]] += 1
        if wanted != ours[0]:
            self._differ(f"{place}: {wanted} before, {ours[0]} after", found)
            return 1
        expected, got = masked(wanted, fields), masked(wanted, ours[1])
        if expected == got:
            return 0
        for field in sorted(expected.keys() | got.keys()):
            was, now = expected.get(field, "absent"), got.get(field, "absent")
            if was != now:
                self._differ(f"{place}: {wanted}.{field} was {was!r:.200}, is {now!r:.200}", found)
        return 1

    def _differ(self, line: str, found: int) -> None:
        self.different += 1
        if found < NAMED_MAX:
            self.differences.append(line)

    def lines(self) -> list[str]:
        """The counts and the first differences, for people."""
        rows = [f"  {topic:8} {name:22} {count:>9,}" for (topic, name), count in sorted(self.compared.items())]
        total = f"  {sum(self.compared.values()):,} records compared, {self.different:,} differences"
        return ["compared:", *rows, total, *self.differences]
