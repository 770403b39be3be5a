"""`crossbook limit`: what cannot be a limit is refused in one line before anything is said."""

import pytest

from crossbook.domain.limits import LIMITS
from deploy.errors import UsageError
from deploy.operate.control import change_limit, whole_number


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("hedge_attempt_max", "3", "no limit is called 'hedge_attempt_max'"),
        ("hedge_attempts_max", "2.5", "whole number from 1 to 10"),
        ("hedge_attempts_max", "1e1", "whole number from 1 to 10"),
        ("hedge_attempts_max", "", "whole number from 1 to 10"),
        ("hedge_attempts_max", "0", "lies between 1 and 10"),
        ("hedge_attempts_max", "1_000_000_000", "lies between 1 and 10"),
        ("cash_micros.kalshi", "9" * 30, "whole number from 0"),
        ("cash_micros.kalshi", "-1", "lies between 0 and"),
        ("cash_micros.kalsi", "1", "no limit is called 'cash_micros.kalsi'; known are .*cash_micros.kalshi"),
        ("cash_micros", "1", "no limit is called 'cash_micros'"),
        ("hedge_attempts_max.kalshi", "1", "no limit is called"),
    ],
)
def test_what_cannot_be_a_limit_is_refused_in_one_line(name, value, words):
    with pytest.raises(UsageError, match=words) as refused:
        change_limit(name, value, "test")
    assert "\n" not in str(refused.value)


def test_every_bound_can_be_said():
    for bounds in LIMITS.values():
        for value in bounds:
            assert whole_number(str(value)) == whole_number(f"{value:_}") == value
