"""What the proof is made over: seeded worlds and recorded matches, by name, and the terms under which each one is traded.

Decides which terms go with which name; the records of `market` themselves may also come from an earlier dump.
"""

from collections.abc import Sequence

from crossbook.market.configuration import Configuration
from crossbook.runtime.settings import DecideSettings, ExecuteSettings, PaperSettings, Settings
from processors.decide.code_digest import decision_digest
from processors.decide.settings import announcement
from producers.recordings.formats import open_recording
from producers.recordings.frame import ImportReport
from schemas.records import Record
from tests.builders.places import REPOSITORY
from tests.equality.worlds import world_records

SECONDS = 90
RATE = 120
MATCHES = ("mexico_england_pre", "mexico_england", "paraguay_france")
#: Smallest net edge, micros a contract: at the default a match trades nothing, at zero it trades.
EDGES = {"default": 25_000, "zero": 0}
RECORDINGS = REPOSITORY.parent / "shared" / "data" / "xv_worldcup_bbo"

#: What the paper venue does, by seed modulo 4: as it comes; faults; fills that fail on chain; slow and late.
PAPER: Sequence[PaperSettings] = (
    PaperSettings(),
    PaperSettings(vanish_ppm=250_000, partial_ppm=250_000, reject_ppm=100_000, late_ppm=150_000),
    PaperSettings(reverse_ppm=300_000, partial_ppm=200_000),
    PaperSettings(wire_latency_ms=300, late_ppm=300_000, vanish_ppm=300_000),
)
#: Limits, by seed modulo 3: the defaults; so wide that only the market binds; so narrow that most is declined.
EXECUTE: Sequence[ExecuteSettings] = (
    ExecuteSettings(),
    ExecuteSettings(pairs_open_max=50, cost_per_leg_micros=2_500_000_000),
    ExecuteSettings(pairs_open_max=1, cost_per_leg_micros=20_000_000),
)


def world_name(seed: int) -> str:
    """Name of a seed's world."""
    return f"world-{seed:02d}"


def match_names() -> list[str]:
    """Names of the matches that are here, each at both edges."""
    return [f"{match}-{edge}" for match in MATCHES for edge in EDGES if (RECORDINGS / f"{match}.parquet").is_file()]


def records_of(name: str) -> list[Record]:
    """Records of `market` of a source."""
    kind, _, rest = name.rpartition("-")
    return world_records(int(rest), SECONDS, RATE) if kind == "world" else _match(kind, EDGES[rest])


def terms_of(name: str) -> tuple[ExecuteSettings, PaperSettings]:
    """Limits and paper venue of a source; a match is traded as the settings say by default."""
    kind, _, rest = name.rpartition("-")
    seed = int(rest) if kind == "world" else 0
    return EXECUTE[seed % len(EXECUTE)], PAPER[seed % len(PAPER)]


def _match(match: str, edge_micros: int) -> list[Record]:
    """A recorded match as its importer gives it, in one partition."""
    decide = DecideSettings(min_edge_micros=edge_micros)
    settings = Settings(decide=decide)
    fees = REPOSITORY / "docs" / "examples" / "fees_worldcup.yaml"
    recording = open_recording("bbo-pairs", [RECORDINGS / f"{match}.parquet"], fees, 1)
    announced = announcement(decide, decision_digest(), ts_ns=recording.ts_first_ns, operator="test")
    configured = Configuration.of(announced, ts_received_ns=recording.ts_first_ns, control_offset=-1)
    log_id = recording.log_id(settings)
    return [placed.record for placed in recording.log(log_id, configured, ImportReport(log_id=log_id))]
