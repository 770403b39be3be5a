"""Stamps tell their unit by their size."""

from pathlib import Path

import numpy as np
import pytest

from producers.errors import RecordingError
from producers.recordings.clocks import PER_SECOND, UnitCheck, possible, span_text

NOW_S = 1_780_000_000


@pytest.mark.parametrize("unit", PER_SECOND)
@pytest.mark.parametrize("wanted", PER_SECOND)
def test_a_moment_of_our_days_fits_one_unit(unit, wanted):
    stamp = NOW_S * PER_SECOND[unit]
    assert possible(stamp, wanted) is (unit == wanted)
    check = UnitCheck(Path("a.parquet"), "recv", wanted)
    check.see(np.array([stamp, stamp, -1], dtype=np.int64))
    if unit == wanted:
        check.judge()
    else:
        with pytest.raises(
            RecordingError, match=rf"a\.parquet: recv should be Unix {wanted}, but {stamp} looks like {unit}"
        ):
            check.judge()


def test_what_is_no_moment_is_refused_unless_nobody_asks_for_one():
    check = UnitCheck(Path("a"), "recv", "ms")
    for stamp in (1, 2, 3, None, NOW_S * 1_000):
        check.see_one(stamp)
    check.judge(strict=False)
    with pytest.raises(RecordingError, match="3 of 4 rows hold no moment"):
        check.judge()
    UnitCheck(Path("a"), "recv", "ms").judge()


def test_a_few_stamps_in_another_unit_are_no_reason():
    check = UnitCheck(Path("a"), "recv", "ms")
    check.see(np.array([NOW_S * 1_000] * 9 + [NOW_S] * 8, dtype=np.int64))
    check.judge()


def test_spans_are_for_people():
    assert (span_text(-90_000_000), span_text(600_000)) == ("25.0 hours", "10 minutes")
