"""Two sequences compared: never more differences than edits, none without one, whatever the window."""

import hashlib

from hypothesis import given, settings
from hypothesis import strategies as st

from crossbook.log import comparing
from crossbook.log.comparing import Expected, LineDigest, TopicCheck
from crossbook.log.reading import LogLine
from schemas.codec import load_codec
from schemas.records import Watermark

CODEC = load_codec()


def mark(position, index=0):
    return Watermark(ts_ns=0, log_id="l", partition=0, position=position, index=index, intents=0, clamped=0)


RECORDS = [mark(position) for position in range(60)]
VALUES = [CODEC.encode(record) for record in RECORDS]


def checked(lines, limit=10**9, market_end=None):
    check = TopicCheck("signals", 0, iter(lines), CODEC, lambda r: (r.position, r.index))
    for record, value in zip(RECORDS, VALUES, strict=True):
        check.expect(Expected(b"k", value, record, record.position, None))
    check.end(limit, market_end)
    return check


def lines_of(values):
    return [LogLine(offset, 0, b"k", value) for offset, value in enumerate(values)]


EDITS = st.lists(st.tuples(st.sampled_from(["delete", "insert", "change", "double"]), st.integers(0, 59)), max_size=12)


@settings(deadline=None)  # a machine that is busy elsewhere is no fault
@given(edits=EDITS)
def test_there_are_never_more_differences_than_edits(edits):
    values = list(VALUES)
    for number, (what, drawn) in enumerate(edits):
        at = drawn % max(1, len(values))
        foreign = CODEC.encode(mark(at, 100 + number))
        match what:
            case "delete" if values:
                del values[at]
            case "insert":
                values.insert(at, foreign)
            case "change" if values:
                values[at] = foreign
            case "double" if values:
                values.insert(at, values[at])
    check = checked(lines_of(values))
    assert check.mismatches <= len(edits)
    assert (check.mismatches == 0) == (values == VALUES)
    assert (check.first_difference is None) == (values == VALUES)


def test_a_window_that_is_too_small_costs_precision_and_nothing_else(monkeypatch):
    monkeypatch.setattr(comparing, "WINDOW", 4)
    check = checked(lines_of([VALUES[0], *VALUES[20:]]))
    assert 19 <= check.mismatches <= 59
    assert check.first_difference.expected == RECORDS[1]


def test_places_pair_what_differs():
    """A record is held against the one of its own place, not against the one that happens to stand there."""
    values = [*VALUES[:10], b"junk", *VALUES[11:]]
    values[12:14] = [CODEC.encode(mark(13, 0).__class__(**{**_fields(mark(13)), "intents": 9}))]
    check = checked(lines_of(values))
    assert check.mismatches == 3, "junk, a missing one, a changed one"
    assert str(check.first_difference).startswith("signals partition 0, record 10: different")


def _fields(record):
    return {name: getattr(record, name) for name in record.__struct_fields__}


def test_what_was_written_meanwhile_is_not_extra_unless_nothing_caused_it():
    later = lines_of([*VALUES, CODEC.encode(mark(70)), CODEC.encode(mark(80))])
    assert checked(later, limit=60).mismatches == 0
    check = checked(later, limit=60, market_end=75)
    assert check.mismatches == 1
    assert "its cause does not exist" in str(check.first_difference)


def test_the_digest_is_over_keys_and_values_with_their_lengths():
    digest = LineDigest()
    expected = hashlib.sha256()
    for key, value in [(b"a", b"xy"), (None, b""), (b"", b"z"), (b"a", b"q")] * 700:
        digest.add(key, value)
        expected.update(b"-" if key is None else len(key).to_bytes(4, "big") + key)
        expected.update(len(value).to_bytes(4, "big") + value)
    assert digest.hexdigest() == expected.hexdigest()
    assert digest.hexdigest() == expected.hexdigest(), "asking changes nothing"
