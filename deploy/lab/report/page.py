"""Write a backtest's report: as a page, as JSON, and read the JSON again.

Decides the file formats only. The JSON holds everything that the page is made of, uncut, so that `crossbook compare` and other
programs need no page.
"""

from pathlib import Path
from typing import Any

import msgspec

from deploy.lab.analysis.analysis import Analysis, analyse
from deploy.lab.outcome.outcome import Comparison, Model, Outcome
from deploy.lab.report.drawing.layout import write_page
from deploy.lab.report.errors import ReportError
from deploy.lab.report.sections import report_page
from schemas.topics import MAIN

FORMAT = "crossbook-report/1"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """What was run: an Outcome without its records. Times Unix ns of the stream."""

    name: str
    source: str
    portfolio: str = MAIN
    log_id: str
    positions: str
    seed: int
    code_digest: str
    ts_first_ns: int
    ts_last_ns: int
    events: int
    settings: dict[str, Any]
    changed: dict[str, Any]
    models: tuple[Model, ...]
    comparisons: tuple[Comparison, ...]
    warnings: tuple[str, ...]
    elapsed_s: float
    rss_mb: float


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A report as JSON."""

    format: str
    run: Run
    analysis: Analysis


def document_of(outcome: Outcome, analysis: Analysis | None = None) -> Document:
    """The report as one value."""
    fields = {name: getattr(outcome, name) for name in Run.__struct_fields__}
    return Document(format=FORMAT, run=Run(**fields), analysis=analysis or analyse(outcome))


def write_report(outcome: Outcome, path: Path, analysis: Analysis | None = None) -> int:
    """Write the page and return its size in bytes, always below 5 MB.

    Raises:
        ReportError: the file cannot be written, or 5 MB are not enough even with tables of ten rows.
    """
    return write_page(report_page(outcome, analysis or analyse(outcome)), path)


def write_json(outcome: Outcome, path: Path, analysis: Analysis | None = None) -> int:
    """Write the report as JSON and return its size in bytes. Raises ReportError when the file cannot be written."""
    content = msgspec.json.format(msgspec.json.encode(document_of(outcome, analysis)), indent=1)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise ReportError(f"cannot write {path}: {error.strerror}; choose another file") from error
    return len(content)


def read_json(path: Path) -> Document:
    """Read a report's JSON.

    Raises:
        ReportError: it is not there, or no report of this format.
    """
    try:
        document = msgspec.json.decode(path.read_bytes(), type=Document)
    except OSError as error:
        raise ReportError(
            f"cannot read {path}: {error.strerror}; name the JSON that `crossbook backtest` wrote"
        ) from error
    except msgspec.DecodeError as error:
        raise ReportError(f"{path} is no report: {error}; name the JSON that `crossbook backtest` wrote") from error
    if document.format != FORMAT:
        raise ReportError(f"{path} is of the format {document.format!r}, this code reads {FORMAT!r}; write it again")
    return document
