"""One table of bounds for settings files and operators."""

import pytest
from pydantic import ValidationError

from crossbook.domain.limits import CASH, CASH_MICROS, LIMITS, bounds_of, limit_names, refusal_of_limit
from crossbook.runtime.settings import ExecuteSettings
from executors.terms import ExecuteTerms, Terms, capital_micros, cash_by_venue, with_limit
from tests.builders.vocabularies import added_words


def setting(name, value):
    """What the section makes of a limit, under the name that operators use."""
    limit, _, venue = name.partition(".")
    made = getattr(ExecuteSettings.model_validate({limit: {venue: value} if venue else value}), limit)
    return getattr(made, venue) if venue else made


def test_every_limit_of_the_executor_is_in_the_table_with_its_default():
    assert {*LIMITS, CASH} == set(ExecuteTerms.__struct_fields__)
    assert {*LIMITS, CASH} <= set(ExecuteSettings.model_fields)
    for name, bounds in LIMITS.items():
        assert getattr(ExecuteTerms(), name) == getattr(ExecuteSettings(), name) == bounds.default
        assert bounds.lowest <= bounds.default <= bounds.highest
    assert cash_by_venue(ExecuteTerms()) == ExecuteSettings().cash_micros.model_dump() == CASH_MICROS


@pytest.mark.parametrize("name", limit_names())
def test_settings_and_operators_are_refused_alike(name):
    bounds = bounds_of(name)
    for value in (bounds.lowest, bounds.highest, bounds.default):
        assert refusal_of_limit(name, value) == ""
        assert setting(name, value) == value
    for value in (bounds.lowest - 1, bounds.highest + 1, 2**62, -(2**62), 2.5, "much", None):
        refusal = refusal_of_limit(name, value)
        assert name in refusal and "\n" not in refusal
        with pytest.raises(ValidationError):
            setting(name, value)


def test_a_misspelt_limit_is_refused_with_those_that_exist():
    refusal = refusal_of_limit("hedge_attempt_max", 3)
    assert "hedge_attempt_max" in refusal and "hedge_attempts_max" in refusal


def test_capital_at_a_venue_that_nobody_knows_is_refused_by_its_name():
    with pytest.raises(ValidationError, match="'acme' is no venue"):
        setting("cash_micros.acme", 1)
    assert "cash_micros.acme" in refusal_of_limit("cash_micros.acme", 1)


def test_a_venue_of_a_plug_in_gets_capital_as_the_others_do():
    with added_words("venue", "acme"):
        assert setting("cash_micros.acme", 7) == 7
        with pytest.raises(ValidationError):
            setting("cash_micros.acme", -1)
        assert refusal_of_limit("cash_micros.acme", 7) == ""
        terms = with_limit(Terms(), "cash_micros.acme", 7)
        assert cash_by_venue(terms.execute) == CASH_MICROS | {"acme": 7}
        assert capital_micros(terms.execute) == capital_micros(Terms().execute) + 7
