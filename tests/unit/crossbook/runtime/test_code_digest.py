"""The import closure finds what a module runs through, however it is imported, and nothing else."""

import os
import subprocess

import pytest

from crossbook.runtime.code_digest import digest_of, import_closure, read_source, tokens_of
from tests.builders.places import REPOSITORY
from tests.builders.pythons import interpreter

SOURCES = {
    "deploy": "",
    "deploy.run": "from deploy import marks\nimport deploy.feed as feed, json\n",
    "deploy.marks": "from deploy.books.tops import Top\n",
    "deploy.feed": "def late():\n    import deploy.lazy\n",
    "deploy.lazy": "",
    "deploy.books": "X = 1\n",
    "deploy.books.tops": "class Top: ...\n",
    "deploy.page": "import deploy.run\n",
}
FOUND = ["deploy", "deploy.books", "deploy.books.tops", "deploy.feed", "deploy.lazy", "deploy.marks", "deploy.run"]


def test_modules_packages_and_late_imports_are_found():
    assert list(import_closure(["deploy.run"], read=SOURCES.get)) == FOUND
    assert list(import_closure(["deploy.run"], within=["deploy.books", "deploy.run"], read=SOURCES.get)) == [
        "deploy.run"
    ]


@pytest.mark.parametrize("touched", sorted(SOURCES))
def test_touching_a_module_of_the_closure_changes_the_digest_and_no_other_does(touched):
    changed = SOURCES | {touched: SOURCES[touched] + "TOUCHED = 1\n"}
    one, other = (digest_of(import_closure(["deploy.run"], read=sources.get)) for sources in (SOURCES, changed))
    assert (one != other) is (touched in FOUND)


def test_a_root_that_is_not_there_is_a_mistake():
    with pytest.raises(AssertionError, match="no module"):
        import_closure(["deploy.absent"], read=SOURCES.get)
    with pytest.raises(AssertionError, match="absolute"):
        import_closure(["deploy.run"], read={"deploy.run": "from . import x"}.get)


def test_a_module_deep_in_packages_without_an_init_is_read():
    assert "class Maker" in (read_source("tests.builders.strategies") or "")
    assert "class Eager" in (read_source("tests.builders.plugin.strategy") or "")
    assert read_source("tests.builders.plugin.absent") is None


def test_line_ends_do_not_show():
    assert "\r" not in (read_source("schemas") or "") and read_source("crossbook.runtime.absent") is None


SOURCE = '''"""A module."""

from a import b


class Fee:
    """A fee."""

    RATE = 7

    def of(self, price, names=("x",)):
        """In micros."""
        # rounded up
        if price > 0 and names[0] != "none":
            return -(-price * self.RATE // 100), f"fee {price!r:>{self.RATE}}"
        return (0,)
'''


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ('"""A module."""', '"""Another\ntext."""'),
        ('"""A module."""\n', ""),
        ('"""A fee."""', "'A fee.' 'In cents.'"),
        ('        """In micros."""\n', ""),
        ("# rounded up", "# rounded down"),
        ("        # rounded up\n", "\n\n"),
        ("(self, price, names", "(\n        self,\n        price,  # micros\n        names"),
        ('names=("x",)):', 'names=("x",),):'),
        ("(-price * self", "(\n                -price\n                * self"),
        ("names[0]", "names[\n0\n]"),
        ("return (0,)", "return \\\n            (0,)"),
        ("RATE = 7\n", "RATE   =   7  \n"),
        ("\n", "\r\n"),
    ],
)
def test_words_and_layout_do_not_show(written, instead):
    other = SOURCE.replace(written, instead)
    assert other != SOURCE and tokens_of(other.replace("\r\n", "\n")) == tokens_of(SOURCE)


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("RATE = 7", "RATE = 8"),
        ("price > 0", "price >= 0"),
        ("and names", "or names"),
        ("RATE = 7", "RATES = 7"),
        ('"none"', '"no"'),
        ('f"fee {', 'f"fees {'),
        ("!r:>", "!s:>"),
        ('("x",)', '("x")'),
        ("return (0,)", "return (0)"),
        ("names[0]", "names[0,]"),
        ("        return (0,)", "            return (0,)"),
        ('"""In micros."""', 'f"""In {price}."""'),
        ("from a", "from c"),
    ],
)
def test_whatever_runs_shows(written, instead):
    other = SOURCE.replace(written, instead)
    assert other != SOURCE and tokens_of(other) != tokens_of(SOURCE)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("f(a,)", "f(a)", True),
        ("[a,]", "[a]", True),
        ("{a: b,}", "{a: b}", True),
        ("(a, b,)", "(a, b)", True),
        ("x[a, b,]", "x[a, b]", True),
        ("f(x)(a,)", "f(x)(a)", True),
        ("(a,)", "(a)", False),
        ("x[a,]", "x[a]", False),
        ("return (a,)", "return (a)", False),
        ("g((a,))", "g((a))", False),
        ("f(a, (b,))", "f(a, (b))", False),
    ],
)
def test_a_last_comma_shows_only_where_it_makes_a_tuple(one, other, same):
    assert (tokens_of(f"{one}\n") == tokens_of(f"{other}\n")) is same


OTHER_PYTHONS = ("3.12", "3.13", "3.14")
_DIGEST = "from crossbook.runtime.code_digest import *; print(digest_of(import_closure({roots!r})))"


@pytest.mark.parametrize("version", OTHER_PYTHONS)
def test_other_pythons_name_the_code_alike(version):
    found = interpreter(version)
    if found is None:
        pytest.skip(f"no Python {version} of uv, on the path or of pyenv")
    roots = ("deploy.cli", "deploy.lab.backtest.sweep")
    told = subprocess.run(
        [found, "-c", _DIGEST.format(roots=roots)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout.strip() == digest_of(import_closure(roots))
