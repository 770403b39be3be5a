"""Names code: SHA-256 over the source text of some modules and of everything of ours that they import.

Decides which modules a result runs through, from the import statements themselves, wherever in a module they stand: a list kept by
hand misses some. Must never depend on where the code is installed, on line ends, or on the Python version; therefore text is hashed
and not tokens, which differ between versions. What is imported by a name made at run time is not seen.
"""

import ast
import hashlib
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import Final, TypeAlias

#: The packages of this project; anything else is named by its version, not by its text.
PACKAGES: Final = ("crossbook", "schemas", "producers", "processors", "executors", "projections", "deploy")

#: Module name → its source, None when there is no such module.
ReadSource: TypeAlias = Callable[[str], str | None]


def read_source(module: str) -> str | None:
    """Source of a module or of a package's `__init__`, with plain line ends; None when there is none."""
    package, *path = module.split(".")
    place = files(package).joinpath(*path[:-1]) if path else files(package)
    candidates = (
        [place.joinpath(f"{path[-1]}.py"), place.joinpath(path[-1], "__init__.py")]
        if path
        else [place.joinpath("__init__.py")]
    )
    for file in candidates:
        if file.is_file():
            return file.read_text("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return None


def import_closure(
    roots: Sequence[str], *, within: Sequence[str] = PACKAGES, read: ReadSource = read_source
) -> dict[str, str]:
    """Source by name of the roots and of all that they import, directly or not, as far as it lies within some packages."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module in found or not _lies_within(module, within):
            continue
        text = read(module)
        if text is None:
            assert module not in roots, f"there is no module {module}"
            continue  # a name out of a module, not a module
        found[module] = text
        waiting += _imports(text)
    return dict(sorted(found.items()))


def digest_of(sources: dict[str, str]) -> str:
    """SHA-256, hex, over names and texts in the order of their names."""
    digest = hashlib.sha256()
    for name, text in sorted(sources.items()):
        digest.update(f"{name}\n{len(text)}\n{text}".encode())
    return digest.hexdigest()


@cache
def code_digest(*roots: str, within: tuple[str, ...] = PACKAGES) -> str:
    """Digest of the import closure of some modules."""
    return digest_of(import_closure(roots, within=within))


def _lies_within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def _imports(text: str) -> Iterator[str]:
    """Every module that a source may mean: `from a import b` may mean a.b; importing a.b runs a as well."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports of this project are absolute"
            assert node.module, "only a relative import has no module"
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.partition(".")[0] in PACKAGES:
                parts = name.split(".")
                yield from (".".join(parts[:count]) for count in range(1, len(parts) + 1))
