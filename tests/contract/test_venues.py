"""Venues are data: product code outside a venue's own packages never asks which venue it is."""

import ast
from collections.abc import Iterator
from pathlib import Path

from schemas.vocabulary import words
from tests.builders.places import REPOSITORY as ROOT

PACKAGES = ("crossbook", "schemas", "producers", "processors", "executors", "projections", "deploy")
#: Venues of markets, and the one that only gives reference prices.
VENUES = (*words("venue"), "binance")
#: Where a venue's own habits may stand.
OWN = (
    *(f"{room}/{venue}/" for room in ("producers", "executors/venues") for venue in VENUES),
    "deploy/sandbox/",  # it plays these venues: the other end of their wire
    "crossbook/venues/",
    "crossbook/runtime/settings.py",
)
#: A text is held against another one by these too.
METHODS = {"startswith", "endswith", "removeprefix"}


def names_a_venue(node: ast.AST) -> bool:
    """A venue's name as text or as a constant, or a display that holds one."""
    match node:
        case ast.Constant(value=str(text)):
            return text.rstrip(":.-_") in VENUES
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name.isupper() and name.lower() in VENUES
        case ast.Tuple(elts=parts) | ast.List(elts=parts) | ast.Set(elts=parts):
            return any(names_a_venue(part) for part in parts)
        case _:
            return False


def asked(tree: ast.AST) -> Iterator[int]:
    """Lines that compare something with a venue's name."""
    for node in ast.walk(tree):
        match node:
            case ast.Compare(left=left, comparators=others):
                if any(names_a_venue(one) for one in (left, *others)):
                    yield node.lineno
            case ast.MatchValue(value=value):
                if names_a_venue(value):
                    yield node.lineno
            case ast.Call(func=ast.Attribute(attr=method), args=arguments) if method in METHODS:
                if any(names_a_venue(one) for one in arguments):
                    yield node.lineno


def product_files() -> list[Path]:
    return sorted(
        file
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if not file.relative_to(ROOT).as_posix().startswith(OWN)
    )


def test_nobody_asks_which_venue_it_is() -> None:
    found = [
        f"{file.relative_to(ROOT).as_posix()}:{line}"
        for file in product_files()
        for line in asked(ast.parse(file.read_text("utf-8")))
    ]
    assert found == [], "make it data: the listing's policy, the venue's row, or a table of the module's own"


def test_the_search_finds_every_way_of_asking() -> None:
    ways = (
        'venue == "kalshi"',
        "POLYMARKET != venue",
        'venue in {"kalshi", other}',
        "names.KALSHI is venue",
        'instrument_id.startswith("polymarket:")',
        "name.removeprefix(KALSHI)",
        "match venue:\n    case 'binance':\n        pass",
    )
    assert [list(asked(ast.parse(way))) != [] for way in ways] == [True] * len(ways)
    assert list(asked(ast.parse('table["kalshi"] = venue == other'))) == []
    assert len(product_files()) > 150
