"""A recording through the real stages: any speed, any batch, any hash seed gives equal bytes; what is no recording is refused."""

import datetime as dt
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tomli_w
import yaml

from crossbook.runtime.kafka import create_topics
from crossbook.runtime.kafka_log import KafkaLog
from crossbook.runtime.settings import KafkaSettings
from deploy.stack.kafka.child import KafkaServer
from executors.journal import comparable
from executors.recovery.verify import verify_executions
from processors.verify.verify import verify_decide
from schemas.records import Fill, Record, TradeIntent
from tests.integration.whole_stack import (
    REPOSITORY,
    Log,
    answer,
    crossbook,
    environment,
    processes_of,
    refused,
    wait_until,
)

FEES = REPOSITORY / "docs" / "examples" / "fees_worldcup.yaml"
START_MS = 1_780_000_000_000
SECONDS = 80
PAIRS = (("KXSOUP-A", "111"), ("KXSOUP-B", "222"))
#: Runs a stage with another batch than its own: argv is the batch, then the stage's arguments.
STAGE = """
import sys
import executors.stage, processors.decide.stage
from deploy.stage import main
batch = int(sys.argv.pop(1))
processors.decide.stage.BATCH_RECORDS = batch
executors.stage.run.__kwdefaults__["batch_records"] = batch
sys.exit(main(sys.argv[1:]))
"""


class Variant(NamedTuple):
    """One way to run the same recording."""

    speed: float
    batch: int
    hash_seed: int


VARIANTS = {
    "real.": Variant(speed=50, batch=500, hash_seed=0),
    "fast.": Variant(speed=2000, batch=7, hash_seed=1),
    "rush.": Variant(speed=0, batch=1, hash_seed=4242),
}


def write_recording(path: Path, drop: str | None = None) -> Path:
    """Two contracts, polled once a second on both venues, that now and then cost less than they pay."""
    rng = random.Random(11)
    rows: list[dict[str, Any]] = []
    for second in range(SECONDS):
        for ticker, token in PAIRS:
            for venue, shift in (("kalshi", 100), ("polymarket", 350)):
                # One time in eight the venues are 9 cents apart: 2.5 cents and more after both fees.
                apart = 900 if venue == "kalshi" and second // 4 % 8 == 3 else 0
                middle = 4_500 + apart + 100 * rng.randrange(-1, 2)
                rows.append(
                    {
                        "cycle_ms": START_MS + second * 1_000,
                        "fetch_ms": START_MS + second * 1_000 + shift + rng.randrange(40),
                        "venue": venue,
                        "kalshi_ticker": ticker,
                        "polymarket_token": token,
                        "bid_1e4": middle - 100,
                        "ask_1e4": middle + 100,
                        "bid_size_1e2": rng.randrange(2_000, 30_000),
                        "ask_size_1e2": rng.randrange(2_000, 30_000),
                        "venue_ms": START_MS + second * 1_000,
                    }
                )
    rows.sort(key=lambda row: row["fetch_ms"])
    pq.write_table(pa.Table.from_pylist([{k: v for k, v in row.items() if k != drop} for row in rows]), path)
    return path


def write_fees(path: Path, leave_out: str = "") -> Path:
    """Schedules of the recording's markets, with their evidence."""
    day = dt.datetime.fromtimestamp(START_MS / 1_000, dt.UTC).date() - dt.timedelta(days=1)
    said = {"effective": day, "evidence": "the test says so", "source": "the test", "tick": "0.01"}
    markets = [
        entry
        for ticker, token in PAIRS
        for entry in (
            {"venue": "kalshi", "id": ticker, "model": "kalshi_quadratic", "taker_rate": "0.07", **said},
            {"venue": "polymarket", "id": token, "model": "polymarket_curve", "taker_rate": "0.03", **said},
        )
        if entry["id"] != leave_out
    ]
    content = {"version": 1, "pairing": {"evidence": "the test says so"}, "markets": markets}
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The recording and its fee file."""
    folder = tmp_path_factory.mktemp("recording")
    return write_recording(folder / "soup.parquet"), write_fees(folder / "fees.yaml")


@pytest.fixture(scope="module")
def logs(kafka: KafkaServer, files: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Log]:
    """The logs that the variants wrote, side by side on one broker."""
    folder = tmp_path_factory.mktemp("stages")
    running: list[subprocess.Popen[bytes]] = []
    found: dict[str, Log] = {}
    try:
        for prefix, variant in VARIANTS.items():
            settings = KafkaSettings(bootstrap=kafka.bootstrap, prefix=prefix)
            create_topics(settings)
            found[prefix] = Log(settings)
            running += start_stages(folder, settings, variant, files)
        for process in [process for process in running if "import" in process.args]:
            assert process.wait(90) == 0, "the import ends by itself"
        for log in found.values():
            end = log.end("market")
            for group in ("decide", "execute"):
                wait_until(f"{group} at the end", lambda log=log, group=group, end=end: log.committed(group) == end)
    finally:
        for process in running:
            process.terminate()
        codes = [process.wait(240) for process in running]
    assert set(codes) == {0}, [path.read_text()[-500:] for path in folder.glob("*.log")]
    return found


def start_stages(
    folder: Path, kafka: KafkaSettings, variant: Variant, files: tuple[Path, Path]
) -> list["subprocess.Popen[bytes]"]:
    """decide, execute and import of one variant."""
    recording = {"files": [str(files[0])], "fees_file": str(files[1]), "speed": variant.speed}
    settings = folder / f"{kafka.prefix}toml"
    state = folder / kafka.prefix
    state.mkdir()
    paper = {"partial_ppm": 150_000, "vanish_ppm": 100_000, "reject_ppm": 50_000}
    values = {"kafka": kafka.model_dump(), "recording": recording, "paper": paper, "state_dir": str(state)}
    settings.write_bytes(tomli_w.dumps(values).encode())
    env = environment() | {"PYTHONHASHSEED": str(variant.hash_seed)}
    started = []
    for stage in ("decide", "execute", "import"):
        argv = [sys.executable, "-c", STAGE, str(variant.batch), stage, "--settings", str(settings)]
        with (folder / f"{kafka.prefix}{stage}.log").open("wb") as log:
            started.append(subprocess.Popen(argv, cwd=folder, env=env, stdout=log, stderr=log))
    return started


def bytes_of(log: Log, topic: str) -> list[tuple[bytes | None, bytes]]:
    return [(line.key, line.value) for line in log.lines(topic)]


def comparables(log: Log, topic: str) -> list[Record]:
    return [record for record in map(comparable, log.records(topic)) if record is not None]


def test_speeds_batches_and_hash_seeds_give_equal_bytes(logs: dict[str, Log]) -> None:
    first, *others = logs.values()
    for topic in ("market", "signals", "intents"):
        wanted = bytes_of(first, topic)
        assert wanted
        for other in others:
            assert bytes_of(other, topic) == wanted, (topic, other.kafka.prefix)


def test_they_give_equal_trades(logs: dict[str, Log]) -> None:
    first, *others = logs.values()
    assert sum(isinstance(record, Fill) for record in first.records("fills")) >= 4
    assert sum(isinstance(record, TradeIntent) for record in first.records("intents")) >= 4
    for topic in ("orders", "fills"):
        wanted = comparables(first, topic)
        for other in others:
            assert comparables(other, topic) == wanted, (topic, other.kafka.prefix)


def test_each_of_them_is_verified(logs: dict[str, Log]) -> None:
    digests = []
    for log in logs.values():
        readable = KafkaLog(log.kafka)
        decided, executed = verify_decide(readable), verify_executions(readable)
        assert (decided.mismatches, executed.mismatches) == (0, 0)
        digests.append(decided.digests)
    assert digests[0] == digests[1] == digests[2]


@pytest.mark.parametrize(
    ("why", "says"),
    [
        ("columns", "missing: bid_1e4"),
        ("no table", "is no Parquet file"),
        ("market without fees", "no schedule for polymarket 222"),
        ("no fee file", "is no YAML"),
    ],
)
def test_what_is_no_recording_is_refused_before_anything_starts(
    files: tuple[Path, Path], tmp_path: Path, why: str, says: str
) -> None:
    recording, fees = files
    if why == "columns":
        recording = write_recording(tmp_path / "bad.parquet", drop="bid_1e4")
    elif why == "no table":
        recording = tmp_path / "bad.parquet"
        recording.write_bytes(b"nothing of the kind")
    elif why == "market without fees":
        fees = write_fees(tmp_path / "few.yaml", leave_out="222")
    else:
        fees = tmp_path / "bad.yaml"
        fees.write_text("{")
    refused(tmp_path, "demo", "--recording", str(recording), "--fees", str(fees), code=78, says=says)
    assert not (tmp_path / ".crossbook").exists()


def test_the_real_table_is_reproduced_by_the_demo(recordings: Path, tmp_path: Path) -> None:
    """The first row of the table in the README, and a run that trades nothing says so."""
    (recording,) = recordings.rglob("mexico_england_pre.parquet")
    call = ("demo", "--recording", str(recording), "--fees", str(FEES), "--json")
    done = crossbook(tmp_path, *call, timeout_s=600)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    names = ("evaluations", "gross_positive", "net_positive", "edges", "edges_at_threshold", "best_net_micros")
    assert [said[name] for name in names] == [988, 429, 214, 9, 0, 10_031]
    assert said["verified"]["mismatches"] == 0
    assert said["verified"]["decisions"] > 0
    assert (said["intents"], said["fills"]) == (0, 0)
    assert processes_of(tmp_path) == []
    (row,) = answer(tmp_path, "sql", "SELECT sum(evaluations) AS n FROM edge_counts")
    assert int(row["n"]) == 988
