"""What a run wrote, read back: its journal, its lines, what the venue holds, and whether it verifies."""

from crossbook.log.reading import LogLine
from executors.journal import key_of, topic_of
from executors.machines import MACHINES
from executors.recovery.verify import compare_executions
from schemas.codec import load_codec
from schemas.records import VenueHeld

CODEC = load_codec()


def journal_of(written):
    return [r for r in written if topic_of(r) == "orders"]


def lines(records):
    return [
        LogLine(number, 0, None if key_of(r) is None else key_of(r).encode(), CODEC.encode(r))
        for number, r in enumerate(records)
    ]


def verified(written, machines=MACHINES):
    fills = [r for r in written if topic_of(r) == "fills"]
    return compare_executions(lines(journal_of(written)), iter(lines(fills)), CODEC, machines=machines)


def venue_holds(written):
    return [r for r in written if isinstance(r, VenueHeld)]
