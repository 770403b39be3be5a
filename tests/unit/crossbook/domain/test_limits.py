"""One table of bounds for settings files and operators."""

import pytest
from pydantic import ValidationError

from crossbook.domain.limits import LIMITS, refusal_of_limit
from crossbook.runtime.settings import ExecuteSettings
from executors.terms import ExecuteTerms


def test_every_limit_of_the_executor_is_in_the_table_with_its_default():
    assert set(LIMITS) == set(ExecuteTerms.__struct_fields__)
    assert set(LIMITS) <= set(ExecuteSettings.model_fields)
    for name, bounds in LIMITS.items():
        assert getattr(ExecuteTerms(), name) == getattr(ExecuteSettings(), name) == bounds.default
        assert bounds.lowest <= bounds.default <= bounds.highest


@pytest.mark.parametrize("name", LIMITS)
def test_settings_and_operators_are_refused_alike(name):
    bounds = LIMITS[name]
    for value in (bounds.lowest, bounds.highest, bounds.default):
        assert refusal_of_limit(name, value) == ""
        assert getattr(ExecuteSettings(**{name: value}), name) == value
    for value in (bounds.lowest - 1, bounds.highest + 1, 2**62, -(2**62), 2.5, "much", None):
        refusal = refusal_of_limit(name, value)
        assert name in refusal and "\n" not in refusal
        with pytest.raises(ValidationError):
            ExecuteSettings(**{name: value})


def test_a_misspelt_limit_is_refused_with_those_that_exist():
    refusal = refusal_of_limit("hedge_attempt_max", 3)
    assert "hedge_attempt_max" in refusal and "hedge_attempts_max" in refusal
