"""Names code: SHA-256 over the tokens of some modules and of everything of ours that they import.

Decides which modules a result runs through, from the import statements themselves, wherever in a module they stand: a list kept by
hand misses some. Comments, docstrings, blank lines and line breaks inside brackets change nothing that runs, so they change no digest.
Must never depend on where the code is installed, on line ends, or on the Python version: an f-string, which is one token before 3.12
and many since, counts as its source text. What is imported by a name made at run time is not seen.
"""

import ast
import hashlib
import io
import keyword
import tokenize
from collections.abc import Callable, Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final, TypeAlias

#: The packages of this project; anything else is named by its version, not by its text.
PACKAGES: Final = ("crossbook", "schemas", "producers", "processors", "executors", "projections", "deploy")

#: Modules whose digests and imports are kept: some more than the project has.
MODULES_MAX: Final = 1_024
#: What stands for a line's end, and for a deeper or a shallower block; no token of a source is spelled so.
LINE_END: Final = "\n"
INDENTED: Final = "\n>"
DEDENTED: Final = "\n<"
_BLOCKS: Final = {tokenize.INDENT: INDENTED, tokenize.DEDENT: DEDENTED}
_SHOWS_NOTHING: Final = frozenset({tokenize.COMMENT, tokenize.NL, tokenize.ENCODING, tokenize.ENDMARKER})
#: Begin and end of what 3.12 (f-strings) and 3.14 (t-strings) tokenise in parts; empty before.
_PARTS_BEGIN: Final = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_START", "TSTRING_START") if hasattr(tokenize, name)
)
_PARTS_END: Final = frozenset(
    getattr(tokenize, name) for name in ("FSTRING_END", "TSTRING_END") if hasattr(tokenize, name)
)
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")

#: Module name → its source, None when there is no such module.
ReadSource: TypeAlias = Callable[[str], str | None]


def read_source(module: str) -> str | None:
    """Source of a module or of a package's `__init__`, with plain line ends; None when there is none."""
    package, *path = module.split(".")
    place = files(package)
    for folder in path[:-1]:  # one at a time: where a package has no `__init__`, Python 3.11 takes no more
        place = place.joinpath(folder)
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
    packages = frozenset(package.partition(".")[0] for package in within)
    while waiting:
        module = waiting.pop()
        if module in found or not _lies_within(module, within):
            continue
        text = read(module)
        if text is None:
            assert module not in roots, f"there is no module {module}"
            continue  # a name out of a module, not a module
        found[module] = text
        waiting += _imports(text, packages)
    return dict(sorted(found.items()))


def tokens_of(text: str) -> tuple[str, ...]:
    """What of a source can change what runs, in order: its tokens without comments, docstrings and mere layout.

    Left out too: a comma before a closing bracket, where it makes no tuple. Raises SyntaxError or TokenError for what is no Python.
    """
    kept: list[str] = []
    line: list[str] = []
    brackets: list[_Bracket] = []
    says_nothing = True
    for kind, written in _whole_tokens(text):
        if kind == tokenize.NEWLINE:
            if not says_nothing:
                kept += [*line, LINE_END]
            line, says_nothing = [], True
        elif kind in _BLOCKS:
            kept.append(_BLOCKS[kind])
        else:
            says_nothing = says_nothing and kind == tokenize.STRING and _is_plain(written)
            if kind == tokenize.OP:
                _bracketed(written, line, brackets)
            line.append(written)
    return tuple(kept)


def digest_of(sources: dict[str, str]) -> str:
    """SHA-256, hex, over names and tokens in the order of their names."""
    digest = hashlib.sha256()
    for name, text in sorted(sources.items()):
        digest.update(f"{name}\n{_module_digest(text)}\n".encode())
    return digest.hexdigest()


@lru_cache(MODULES_MAX)
def _module_digest(text: str) -> str:
    """Digest of the tokens of one module; the digests of decision, execution and sweeps share modules."""
    return hashlib.sha256("\0".join(tokens_of(text)).encode()).hexdigest()


@cache
def code_digest(*roots: str, within: tuple[str, ...] = PACKAGES) -> str:
    """Digest of the import closure of some modules."""
    return digest_of(import_closure(roots, within=within))


class _Bracket:
    """A bracket that is open: its commas, and whether a single one makes a tuple of what stands before it."""

    __slots__ = ("commas", "tuple_of_one")

    def __init__(self, *, tuple_of_one: bool) -> None:
        self.commas = 0
        self.tuple_of_one = tuple_of_one


def _bracketed(written: str, line: list[str], brackets: list[_Bracket]) -> None:
    """Keep count of brackets and commas; drop a last comma that changes nothing from the line so far."""
    if written in _OPENING:
        brackets.append(_Bracket(tuple_of_one=_makes_tuple(written, line[-1] if line else "")))
    elif written in _CLOSING:
        bracket = brackets.pop()
        if line[-1] == "," and (bracket.commas > 1 or not bracket.tuple_of_one):
            line.pop()
    elif written == "," and brackets:
        brackets[-1].commas += 1


def _makes_tuple(bracket: str, before: str) -> bool:
    """Whether `(a,)` or `x[a,]` means something else than without its comma; in doubt it does."""
    named = before.isidentifier() and not keyword.iskeyword(before) and not keyword.issoftkeyword(before)
    follows_value = named or before in _CLOSING or before[-1:] in {'"', "'"}
    return {"(": not follows_value, "[": follows_value, "{": False}[bracket]


def _is_plain(written: str) -> bool:
    """Whether a string evaluates nothing: neither an f-string nor a t-string."""
    prefix = written.partition(written[-1])[0]
    return not {"f", "t"} & set(prefix.lower())


def _whole_tokens(text: str) -> Iterator[tuple[int, str]]:
    """Kind and text of each token that shows; an f-string is one, as it is written, whatever the Python version makes of it."""
    lines = io.StringIO(text).readlines()
    depth, begin = 0, (0, 0)
    for kind, written, start, end, _ in tokenize.generate_tokens(io.StringIO(text).readline):
        if kind in _PARTS_BEGIN:
            begin = begin if depth else start
            depth += 1
        elif kind in _PARTS_END:
            depth -= 1
            if not depth:
                yield tokenize.STRING, _between(lines, begin, end)
        elif not depth and kind not in _SHOWS_NOTHING:
            yield kind, written


def _between(lines: Sequence[str], begin: tuple[int, int], end: tuple[int, int]) -> str:
    """The source between two places (line from 1, column)."""
    (first, left), (last, right) = begin, end
    if first == last:
        return lines[first - 1][left:right]
    return "".join([lines[first - 1][left:], *lines[first : last - 1], lines[last - 1][:right]])


def _lies_within(module: str, packages: Sequence[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


@lru_cache(MODULES_MAX)
def _imports(text: str, packages: frozenset[str]) -> frozenset[str]:
    """Every module of some packages that a source may mean: `from a import b` may mean a.b; importing a.b runs a as well."""
    found: set[str] = set()
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
            if name.partition(".")[0] in packages:
                parts = name.split(".")
                found |= {".".join(parts[:count]) for count in range(1, len(parts) + 1)}
    return frozenset(found)
