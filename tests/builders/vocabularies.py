"""Words and fee models that a test adds, and takes away again."""

from collections.abc import Iterator
from contextlib import contextmanager

from crossbook.domain.fee_models.port import FeeRules
from crossbook.domain.fee_models.table import FEE_MODELS, add_fee_model
from schemas.vocabulary import VOCABULARIES, extend, words


@contextmanager
def added_words(vocabulary: str, *added: str) -> Iterator[None]:
    """Extend a vocabulary for the length of a block."""
    new = [word for word in added if word not in words(vocabulary)]
    extend(vocabulary, *added)
    try:
        yield
    finally:
        for word in new:
            del VOCABULARIES[vocabulary][word]


@contextmanager
def added_fee_model(model: str, rules: FeeRules) -> Iterator[None]:
    """Know a fee model for the length of a block."""
    add_fee_model(model, rules)
    try:
        yield
    finally:
        del FEE_MODELS[model]
        del VOCABULARIES["fee_model"][model]
