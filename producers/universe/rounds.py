"""Whose turn it is: a long list asked in rounds, so many at a time, without ever asking more than a venue's rate allows.

Decides nothing but the order. It must never leave one out for ever: the round goes on where it stopped, also while the list changes.
"""

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")


class Rounds:
    """Takes slices of a list that is given anew each time, sorted by its caller's order."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, whole: Sequence[T], most: int) -> list[T]:
        """The next ones, at most so many and none twice."""
        if not whole:
            return []
        start = self._next % len(whole)
        count = min(most, len(whole))
        self._next = start + count
        return [whole[(start + number) % len(whole)] for number in range(count)]
