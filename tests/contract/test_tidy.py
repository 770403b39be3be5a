"""Style as a test: sizes, docstrings, names, and what may stand in no file; the rules that no linter has."""

import ast
import re
import tomllib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from crossbook.runtime.code_digest import import_closure
from executors.recovery.code_digest import execution_modules
from processors.decide.code_digest import decision_modules
from tests.builders.places import REPOSITORY as ROOT

PACKAGES = ("crossbook", "schemas", "producers", "processors", "executors", "projections", "deploy")
MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FLAT_MODULES_MAX = 12
#: A path of the machine that something was written on helps nobody elsewhere.
MACHINE_PATH = re.compile(r"(?<![\w.$}])/(?:root|work|home|Users|tmp)/")
INDEX_HOST = re.compile(r"pypi\.|pythonhosted\.|maven\.(?:org|apache)|repo1\.|npmjs\.|crates\.io")
UNFINISHED = re.compile(r"\b(?:T[O]DO|F[I]XME|X[X]X)\b")
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}
TEXT_SUFFIXES = {".md", ".toml", ".yml", ".yaml", ".sql", ".avsc", ".lock", ".in", ".json", ".py"}
#: A path inside a container is no path of this machine.
CONTAINER_FILES = {"deploy/docker/Dockerfile", "docker-compose.yml"}

PYTHON = sorted(file for folder in (*PACKAGES, "tests") for file in (ROOT / folder).rglob("*.py"))
TEXTS = sorted(
    {
        *PYTHON,
        *(
            f
            for folder in (*PACKAGES, "docs", "tests")
            for f in (ROOT / folder).rglob("*")
            if f.suffix in TEXT_SUFFIXES
        ),
        *(f for f in ROOT.iterdir() if f.is_file() and (f.suffix in TEXT_SUFFIXES or f.name == "Makefile")),
        ROOT / "deploy" / "docker" / "Dockerfile",
    }
)


def name(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


class Module(NamedTuple):
    """What is asked of a module: it is read, parsed and walked once for all the tests."""

    text: str
    docstring: str | None
    functions: list[tuple[str, int, int]]  # name, first line, lines
    coroutines: bool
    imported: set[str]
    of_tests: set[str]


@cache
def module(file: Path) -> Module:
    text = file.read_text("utf-8")
    parsed = ast.parse(text)
    nodes = list(ast.walk(parsed))
    functions = [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return Module(
        text=text,
        docstring=ast.get_docstring(parsed),
        functions=[(one.name, one.lineno, (one.end_lineno or 0) - one.lineno + 1) for one in functions],
        coroutines=any(isinstance(one, ast.AsyncFunctionDef) for one in functions),
        imported=imported(nodes),
        of_tests=imports_of_tests(nodes),
    )


def pure_modules() -> tuple[list[str], set[str]]:
    """Modules and forbidden imports of the contract in pyproject.toml."""
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = next(c for c in content["tool"]["importlinter"]["contracts"] if c["name"].startswith("pure folders"))
    return contract["source_modules"], set(contract["forbidden_modules"])


def pure_files() -> list[Path]:
    found: list[Path] = []
    for named in pure_modules()[0]:
        path = ROOT.joinpath(*named.split("."))
        found += sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    return found


def imported(nodes: Iterable[ast.AST]) -> set[str]:
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


def test_there_is_something_to_look_at():
    assert len(PYTHON) > 150
    assert all(any(name(file).startswith(f"{folder}/") for file in PYTHON) for folder in PACKAGES)


def test_modules_are_short():
    long = {name(file): len(module(file).text.splitlines()) for file in PYTHON}
    assert {file: lines for file, lines in long.items() if lines > MODULE_LINES_MAX} == {}


def test_functions_are_short():
    long = {
        f"{name(file)}:{line} {function}": lines
        for file in PYTHON
        for function, line, lines in module(file).functions
        if lines > FUNCTION_LINES_MAX
    }
    assert long == {}


def test_every_module_says_what_it_is():
    silent = [name(file) for file in PYTHON if module(file).text.strip() and not module(file).docstring]
    assert silent == []


def test_modules_are_named_for_what_they_do():
    assert [name(file) for file in PYTHON if file.stem in VAGUE_NAMES] == []


@pytest.mark.parametrize(
    ("what", "pattern", "allowed"),
    [
        ("a path of one machine", MACHINE_PATH, CONTAINER_FILES),
        ("a host of a package index", INDEX_HOST, set()),
        ("something unfinished", UNFINISHED, set()),
    ],
    ids=["machine_path", "index_host", "unfinished"],
)
def test_no_file_holds(what, pattern, allowed):
    found = [
        f"{name(file)}:{number} {line.strip()[:100]}"
        for file in TEXTS
        if name(file) not in allowed
        for number, line in enumerate(file.read_text("utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]
    assert found == [], what


def test_the_patterns_find_what_they_look_for():
    # Written backwards, because this file is looked at too.
    path, host, note = "x/toor/"[::-1], "gro.ipyp"[::-1], "x :ODOT"[::-1]
    assert MACHINE_PATH.search(f'open("{path}")')
    assert not MACHINE_PATH.search("x/krow/stset"[::-1])
    assert INDEX_HOST.search(host)
    assert UNFINISHED.search(note)


def test_pure_modules_exist_and_import_nothing_impure():
    forbidden = pure_modules()[1]
    impure = {
        name(file): found
        for file in pure_files()
        if (found := {m.split(".")[0] for m in module(file).imported} & forbidden)
    }
    assert impure == {}


def test_coverage_is_measured_of_what_the_contract_of_purity_names():
    content = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert content["tool"]["coverage"]["run"]["source_pkgs"] == pure_modules()[0]


def test_pure_modules_have_no_coroutines():
    assert [name(file) for file in pure_files() if module(file).coroutines] == []


def test_whatever_decides_or_executes_is_pure():
    # The contract holds for whatever its modules import as well, so a root of a room stands for all that it runs.
    named = [name(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".") for file in pure_files()]
    assert {*decision_modules(), *execution_modules()} - set(import_closure(named)) == set()


def test_a_folder_holds_a_dozen_modules_at_most():
    flat: dict[str, int] = {}
    for file in PYTHON:
        if file.name != "__init__.py" and not name(file).startswith("tests/"):
            flat[name(file.parent)] = flat.get(name(file.parent), 0) + 1
    assert {folder: count for folder, count in flat.items() if count > FLAT_MODULES_MAX} == {}
    assert {file.stem for file in (ROOT / "deploy").glob("*.py")} == {"__init__", "cli", "document", "errors", "stage"}


def imports_of_tests(nodes: Iterable[ast.AST]) -> set[str]:
    """What a module takes from test modules or from conftest: their full names, whether imported from or as modules."""
    taken: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            taken |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            taken |= {source, *(f"{source}.{alias.name}" for alias in node.names)}
    return {one for one in taken if re.search(r"(?:^|\.)(?:test_\w+|conftest)$", one)}


def test_no_test_module_is_imported():
    """What two test modules need stands in tests/builders."""
    assert {name(file): taken for file in PYTHON if (taken := module(file).of_tests)} == {}


@pytest.mark.parametrize(
    ("source", "taken"),
    [
        ("from tests.unit.test_a import b", {"tests.unit.test_a"}),
        ("from tests.unit import test_a as a", {"tests.unit.test_a"}),
        ("import tests.unit.test_a", {"tests.unit.test_a"}),
        ("from .conftest import b", {".conftest"}),
        ("def f():\n    from tests.conftest import b", {"tests.conftest"}),
        ("from tests.builders.places import SAMPLES", set()),
        ("from deploy.sandbox.world import latest", set()),
    ],
)
def test_every_way_of_importing_a_test_module_is_found(source, taken):
    assert imports_of_tests(ast.walk(ast.parse(source))) == taken


def test_nothing_is_hidden_from_the_type_checker():
    hidden = [name(f) for f in PYTHON if f.name != Path(__file__).name and "TYPE_CHECKING" in module(f).text]
    assert hidden == []
