"""`crossbook archive …` without a broker: check and export; what needs one is in the integration tests."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from crossbook.log.archive.errors import ArchiveDamagedError
from crossbook.log.archive.write import ArchiveWriter
from deploy.commands.archive import archive_app
from deploy.errors import UsageError
from tests.builders.logs.archived import LOG_ID, market_lines

INSTRUMENT = "kalshi:KXBENCH-000"


@pytest.fixture
def folder(tmp_path):
    with ArchiveWriter(tmp_path / "archive", source="prefix 't.'", prefix="t.", partitions=1) as writer:
        writer.extend("market", 0, market_lines(300))
    return tmp_path / "archive"


def run(*words):
    result = CliRunner().invoke(archive_app, [str(word) for word in words])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_check_prints_what_there_is(folder):
    found = json.loads(run("check", folder, "--json"))
    assert (found["log_id"], found["rows"], found["partitions"]) == (LOG_ID, 300, 1)
    assert found["topics"][0] | {"bytes": 0, "files": 0} == {
        "topic": "market", "partition": 0, "first": 0, "end": 300, "rows": 300, "files": 0, "bytes": 0,
    }  # fmt: skip
    assert "300" in run("check", folder)


def test_check_fails_on_a_changed_byte(folder):
    path = next(folder.glob("market/0/*-BookDelta*"))
    path.write_bytes(b"x" + path.read_bytes()[1:])
    with pytest.raises(ArchiveDamagedError, match=path.name):
        run("check", folder)


def test_export_writes_a_file(folder, tmp_path):
    run("export", folder, "hftbacktest", INSTRUMENT, tmp_path / "events.npz")
    assert np.load(tmp_path / "events.npz")["data"].size > 20


def test_an_unknown_topic_is_a_wrong_call(folder):
    with pytest.raises(UsageError, match="no topic 'trades'"):
        run("drop", folder, "trades")


def test_every_command_has_help():
    for command in ("write", "check", "restore", "drop", "export"):
        assert run(command, "--help")
