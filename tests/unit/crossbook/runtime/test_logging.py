"""Logs are one JSON object a line on stderr."""

import json
from collections.abc import Iterator

import pytest
import structlog

from crossbook.runtime.logging import LEVELS, configure_log


@pytest.fixture(autouse=True)
def _defaults_afterwards() -> Iterator[None]:
    yield
    structlog.reset_defaults()


def test_an_event_is_one_json_line_that_names_stage_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    configure_log("decide").info("checkpoint.written", position=7, pair_id="größe\n2")
    out, err = capsys.readouterr()
    assert out == "", "stdout is for the command's own answer"
    (line,) = err.splitlines()
    event = json.loads(line)
    assert event.pop("timestamp").endswith("Z")
    assert event == {
        "stage": "decide",
        "event": "checkpoint.written",
        "level": "info",
        "position": 7,
        "pair_id": "größe\n2",
    }


@pytest.mark.parametrize("level", list(LEVELS))
def test_what_is_below_the_level_is_not_written(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("x", level)
    for name in LEVELS:
        getattr(log, name)("happened")
    written = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert written == list(LEVELS)[list(LEVELS).index(level) :]


def test_an_exception_stays_on_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    log = configure_log("x")
    try:
        raise ValueError("on purpose")
    except ValueError:
        log.exception("frame.refused")
    (line,) = capsys.readouterr().err.splitlines()
    assert "ValueError: on purpose" in json.loads(line)["exception"]


def test_an_unknown_level_is_a_programmers_error() -> None:
    with pytest.raises(KeyError):
        configure_log("x", "loud")
