"""A strategy of a plug-in: it wants the ask quoted for, so that what is quoted is filled."""

from processors.strategies.table import STRATEGIES
from tests.builders.strategies import Maker

NAME = "eager"
#: Half of the spread that a quote of `Maker` has, micros.
HALF_MICROS = 10_000


class Eager(Maker):
    """As Maker, with a fair value so high that the bid is the ask that stands in the book."""

    def _quote(self, view, name, value):
        return super()._quote(view, name, view.books[name].book.best_ask[0] + HALF_MICROS)


#: What is built in, and the plug-in's.
TABLE = {**STRATEGIES, NAME: Eager}
