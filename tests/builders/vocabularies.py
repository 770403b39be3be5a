"""Words that a test adds, and takes away again."""

from collections.abc import Iterator
from contextlib import contextmanager

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
