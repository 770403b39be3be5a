"""Fewer points with the same shape: what a chart of two thousand points may leave out. Pure."""

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")


def thinned(items: Sequence[Item], items_max: int, value_of: Callable[[Item], float]) -> tuple[Item, ...]:
    """At most so many items: the first, the last, and the lowest and highest of each stretch between, so that no spike is lost."""
    if len(items) <= items_max:
        return tuple(items)
    assert items_max >= 4, "what is thinned keeps its ends and one low and high"
    stretches = (items_max - 2) // 2
    inner = range(1, len(items) - 1)
    kept = {0, len(items) - 1}
    for number in range(stretches):
        part = inner[number * len(inner) // stretches : (number + 1) * len(inner) // stretches]
        if part:
            kept.add(min(part, key=lambda i: value_of(items[i])))
            kept.add(max(part, key=lambda i: value_of(items[i])))
    return tuple(items[i] for i in sorted(kept))
