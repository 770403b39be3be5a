"""Files and settings are held to the same words as records: an unknown one is refused by its name."""

import pytest
from pydantic import BaseModel, ValidationError

from schemas.records.base import PayoutOutcome, Venue


class Model(BaseModel):
    venue: Venue
    payouts: dict[PayoutOutcome, int] = {}


def test_a_model_takes_the_words_of_the_vocabulary():
    assert Model(venue="kalshi", payouts={"void": 1}).payouts == {"void": 1}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"venue": "acme"}, "'acme' is no venue; known are polymarket, kalshi"),
        ({"venue": "kalshi", "payouts": {"maybe": 1}}, "'maybe' is no payout_outcome"),
    ],
)
def test_a_model_refuses_another_word_by_its_name(fields, says):
    with pytest.raises(ValidationError, match=says):
        Model.model_validate(fields)
