"""The import closure finds what a module runs through, however it is imported, and nothing else."""

import pytest

from crossbook.runtime.code_digest import digest_of, import_closure, read_source

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
    changed = SOURCES | {touched: SOURCES[touched] + "\n"}
    one, other = (digest_of(import_closure(["deploy.run"], read=sources.get)) for sources in (SOURCES, changed))
    assert (one != other) is (touched in FOUND)


def test_a_root_that_is_not_there_is_a_mistake():
    with pytest.raises(AssertionError, match="no module"):
        import_closure(["deploy.absent"], read=SOURCES.get)
    with pytest.raises(AssertionError, match="absolute"):
        import_closure(["deploy.run"], read={"deploy.run": "from . import x"}.get)


def test_line_ends_do_not_show():
    assert "\r" not in (read_source("schemas") or "") and read_source("crossbook.runtime.absent") is None
