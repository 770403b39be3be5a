"""Cells that every page writes alike: amounts with sign, colour and the exact figure, and the names of packages. Pure.

Decides how an amount looks in a table, never what it is.
"""

from deploy.lab.report.drawing.layout import Cell
from deploy.lab.report.words import dollars

PACKAGES = {
    "yes_a_no_b": "YES a + NO b",
    "no_a_yes_b": "NO a + YES b",
    "yes_a_yes_b": "YES a + YES b",
    "no_a_no_b": "NO a + NO b",
}


def tone(micros: int) -> str:
    """Colour of an amount."""
    return "pos" if micros > 0 else "neg" if micros < 0 else ""


def money_cell(micros: int | None) -> Cell:
    """An amount with its sign, coloured, exact under the pointer."""
    return Cell("–") if micros is None else Cell(dollars(micros, sign=True), f"{micros:,} micros", tone(micros))
