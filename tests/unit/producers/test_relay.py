"""An announcement in force is not said again."""

import msgspec

from producers.relay import configured, in_force_already
from tests.builders.producers.announced import ANNOUNCED, FIELDS


def test_every_setting_is_copied() -> None:
    record = configured(ANNOUNCED, 12, 34)
    assert (record.control_offset, record.ts_received_ns, record.code_digest) == (12, 34, "ab")
    assert {name: getattr(record, name) for name in FIELDS} == FIELDS


def test_only_a_difference_is_news() -> None:
    known = configured(ANNOUNCED, 1, 1)
    assert not in_force_already(None, known)
    assert in_force_already(known, configured(ANNOUNCED, 9, 9))
    for name in FIELDS:
        assert not in_force_already(known, configured(msgspec.structs.replace(ANNOUNCED, **{name: 2}), 1, 1))
    assert not in_force_already(known, configured(msgspec.structs.replace(ANNOUNCED, code_digest="cd"), 1, 1))
