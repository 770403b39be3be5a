"""Pages: one self-contained HTML file each, below 5 MB, that needs no network and works in both themes.

Decides how sections become a file and what is cut when there is too much. `Page` is generic: the report of a backtest, of a sweep
and of lead-lag are made of the same blocks. Texts are escaped by the template; only a `Chart` is markup, made by `charts.py`.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple, TypeAlias

import jinja2
from markupsafe import Markup

from deploy.lab.report.errors import ReportError
from deploy.lab.report.words import clipped

SIZE_MAX = 5_000_000
#: A table longer than this is a file to be queried, not a page to be read.
ROWS_MAX = 500
TEMPLATES = Path(__file__).with_name("templates")


class Cell(NamedTuple):
    """A cell: what it says, what shows under the pointer, and its tone (pos, neg, quiet)."""

    text: str
    hint: str = ""
    tone: str = ""


class Table(NamedTuple):
    """Rows under names; a name that begins with # heads a column of numbers. `folded` shows it only when asked."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    title: str = ""
    folded: bool = False


class Chart(NamedTuple):
    """Figures side by side, where there is room; markup from `charts.py`."""

    figures: Sequence[str]


class Text(NamedTuple):
    """A paragraph."""

    text: str
    tone: str = ""


class Notes(NamedTuple):
    """A list of remarks."""

    notes: Sequence[str]


class Fact(NamedTuple):
    """A name, what it is, and a remark; `code` sets it as something to be typed."""

    name: str
    value: str
    note: str = ""
    code: bool = False


class Facts(NamedTuple):
    """Names and what they stand for; readable on the narrowest screen, unlike a table of texts."""

    facts: Sequence[Fact]
    title: str = ""


Block: TypeAlias = Table | Chart | Text | Notes | Facts


class Section(NamedTuple):
    """A part of a page; `anchor` is its address within."""

    anchor: str
    title: str
    blocks: Sequence[Block]


class Tile(NamedTuple):
    """One figure of the headline."""

    name: str
    value: str
    note: str = ""
    tone: str = ""


class Page(NamedTuple):
    """A whole page, in reading order."""

    title: str
    subtitle: str
    verdict: str
    tiles: Sequence[Tile]
    sections: Sequence[Section]
    foot: str = ""


class _Column(NamedTuple):
    name: str
    numeric: bool


def render_page(page: Page, *, rows_max: int = ROWS_MAX) -> str:
    """The page as HTML; tables are cut after `rows_max` rows and say so.

    Raises:
        ReportError: it stays above 5 MB even with tables of ten rows.
    """
    for limit in (rows_max, 150, 40, 10):
        if limit > rows_max:
            continue
        text = _environment().get_template("report.html.j2").render(page=page, rows_max=limit)
        if len(text.encode()) < SIZE_MAX:
            return text
    raise ReportError(
        f"the page {clipped(page.title, 60)!r} has more than 5 MB of charts and texts; report a shorter range"
    )


def write_page(page: Page, path: Path) -> int:
    """Write the page and return its size in bytes. Raises ReportError as `render_page`, or when the file cannot be written."""
    text = render_page(page)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}; choose another file") from error
    return len(text.encode())


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["columns"] = lambda names: [_Column(name.lstrip("#"), name.startswith("#")) for name in names]
    environment.filters["cell"] = lambda value: value if isinstance(value, Cell) else Cell(value)
    environment.filters["markup"] = Markup
    environment.filters["kind"] = lambda block: type(block).__name__.lower()
    environment.filters["clip"] = clipped
    return environment
