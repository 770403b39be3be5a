"""What may be dropped: only what a verified archive of this very log holds, and only behind a checkpoint."""

import json

import msgspec
import pytest

from crossbook.log.archive.errors import ArchiveDamagedError, RetentionError
from crossbook.log.archive.write import write_archive
from deploy.lab.archive.retention import Dropped, describe, droppable
from executors.recovery.checkpoint import FORMAT_VERSION
from executors.recovery.code_digest import execution_digest
from processors.decide.checkpoint import to_records
from processors.decide.code_digest import decision_digest
from processors.decide.state import DecideState
from schemas.records import Checkpoint
from tests.builders.logs.archived import LOG_ID, lines_of, market_lines
from tests.builders.logs.memory import MemoryLog

MARKET, CHECKPOINTS, TAPE = ("market", 0), ("checkpoints.decide", 0), ("tape", 0)


def checkpoint(position, **changes):
    """What decide writes of a market in which nothing happened but time."""
    state = DecideState(decision_digest())
    market = state.market
    market.log_id, market.partition, market.partitions, market.position = LOG_ID, 0, 1, position
    (record,) = to_records(state)
    return msgspec.structs.replace(record, **changes)


def log_of(market, checkpoints=(), tape=()):
    return MemoryLog({MARKET: market, CHECKPOINTS: lines_of(checkpoints), TAPE: list(tape)})


@pytest.fixture
def lines():
    return market_lines(200)


@pytest.fixture
def folder(tmp_path, lines):
    write_archive(log_of(lines[:150], tape=lines[:40]), tmp_path, topics=["market", "tape"])
    return tmp_path


def test_what_is_archived_and_behind_a_checkpoint_may_go(folder, lines):
    log = log_of(lines, [checkpoint(80), checkpoint(149)])
    assert droppable(log, folder, "market") == [Dropped("market", 0, 0, 150)]
    assert droppable(log, folder, "market", before=60) == [Dropped("market", 0, 0, 60)]
    assert describe([Dropped("market", 0, 5, 9)]) == [
        {"topic": "market", "partition": 0, "first": 5, "end": 9, "records": 4}
    ]
    assert droppable(log_of(lines[60:], [checkpoint(149)]), folder, "market") == [Dropped("market", 0, 60, 150)]
    assert droppable(log_of(lines[150:]), folder, "market") == []


def test_other_topics_need_no_checkpoint(folder, lines):
    assert droppable(log_of(lines, tape=lines), folder, "tape") == [Dropped("tape", 0, 0, 40)]


@pytest.mark.parametrize(
    ("checkpoints", "told"),
    [
        ([], "there is none"),
        ([checkpoint(148)], "the newest stands at 148"),
        ([checkpoint(149, log_id="other")], "there is none"),
        ([checkpoint(149, code_digest="0" * 64)], "there is none"),
        ([checkpoint(149, chunks=2)], "there is none"),
        ([checkpoint(149, partition=1)], "there is none"),
        ([checkpoint(149, format_version=99)], "there is none"),
        ([checkpoint(80), checkpoint(149, payload=b"{}")], "the newest stands at 80"),
    ],
)
def test_market_without_a_checkpoint_at_its_end_stays(folder, lines, checkpoints, told):
    with pytest.raises(RetentionError, match=told):
        droppable(log_of(lines, checkpoints), folder, "market")


def test_a_checkpoint_in_chunks_counts_when_it_is_whole(folder, lines):
    payload = checkpoint(149).payload
    parts = (payload[:100], payload[100:])
    whole = [checkpoint(149, chunk=number, chunks=2, payload=part) for number, part in enumerate(parts)]
    assert droppable(log_of(lines, whole), folder, "market")


def reach(offset, position, log_id=LOG_ID):
    """What a checkpoint of execute says of `market`, and more that is of no concern here."""
    lanes = [{"partition": 0, "market": {"base_offset": 0, "position": position, "books": []}, "venue": {}}]
    payload = {"portfolio": "p", "log_id": log_id, "offsets": {"market": {"0": offset}}, "lanes": lanes, "state": {}}
    return Checkpoint(
        stage="execute", log_id=log_id, partition=0, position=77, format_version=FORMAT_VERSION, code_digest=execution_digest(), chunk=0,
        chunks=1, payload=json.dumps(payload).encode(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("checkpoints", "told"),
    [
        ([], "execute needs .* there is none"),
        ([reach(149, 149)], "the newest goes on at 149"),
        ([reach(150, 120)], "the newest goes on at 121"),
        ([reach(150, 149, log_id="other")], "there is none"),
        ([reach(150, 149)], None),
    ],
)
def test_where_an_executor_works_its_checkpoint_counts_too(folder, lines, checkpoints, told):
    log = log_of(lines, [checkpoint(149)])
    log.lines["orders", 0] = lines[:3]
    log.lines["checkpoints.execute", 0] = lines_of(checkpoints)
    if told is None:
        assert droppable(log, folder, "market")
        return
    with pytest.raises(RetentionError, match=told):
        droppable(log, folder, "market")


def test_kept_topics_and_unarchived_ones_stay(folder, lines):
    with pytest.raises(RetentionError, match="kept for ever"):
        droppable(log_of(lines), folder, "orders")
    with pytest.raises(RetentionError, match="holds nothing of signals"):
        droppable(log_of(lines), folder, "signals")


def test_a_damaged_archive_drops_nothing(folder, lines):
    path = next(folder.glob("market/0/*-BookDelta*"))
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(ArchiveDamagedError, match=path.name):
        droppable(log_of(lines, [checkpoint(149)]), folder, "market")


def test_an_archive_of_another_log_drops_nothing(folder):
    with pytest.raises(RetentionError, match="another log"):
        droppable(log_of(market_lines(200, seed=9), [checkpoint(149)]), folder, "market")


def test_a_hole_before_the_archive_drops_nothing(tmp_path, lines):
    write_archive(log_of(lines), tmp_path, topics=["market"], ranges={MARKET: (50, 100)})
    with pytest.raises(RetentionError, match="offsets 0 to 49 are not archived"):
        droppable(log_of(lines, [checkpoint(199)]), tmp_path, "market")
    with pytest.raises(RetentionError, match="holds no LogOpened"):
        droppable(log_of(lines[60:], [checkpoint(199)]), tmp_path, "market")
