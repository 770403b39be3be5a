"""Records of `control`, `checkpoints.*` and `deadletter`: what operators and stages say of the system itself."""

from schemas.records.base import Record, Relation, Scope, TradingState
from schemas.records.parts import PayoutCell, StrategyAnnounced


class DecideAnnounced(Record, frozen=True, kw_only=True, gc=False):
    """decide states its settings and code digest; the relay makes them StrategyConfigured and MarketConfigured in `market`."""

    ts_ns: int
    operator: str
    code_digest: str
    top_interval_ns: int
    watermark_interval_ns: int
    polled_fresh_ns: int
    feed_stale_ns: int
    jump_ns: int
    strategies: tuple[StrategyAnnounced, ...]


class PairApproved(Record, frozen=True, kw_only=True, gc=False):
    """A pair may be traded."""

    ts_ns: int
    operator: str
    pair_id: str
    relation: Relation
    instrument_a: str
    instrument_b: str
    payouts: tuple[PayoutCell, ...]
    haircut_micros: int
    evidence: str


class PairRevoked(Record, frozen=True, kw_only=True, gc=False):
    """A pair may no longer be traded."""

    ts_ns: int
    operator: str
    pair_id: str
    reason: str


class TradingStateChanged(Record, frozen=True, kw_only=True, gc=False):
    """Halt, reduce-only or resume."""

    ts_ns: int
    operator: str
    state: TradingState
    scope: Scope
    scope_value: str
    reason: str


class LimitsChanged(Record, frozen=True, kw_only=True, gc=False):
    """A risk limit takes a new value."""

    ts_ns: int
    operator: str
    name: str
    value_micros: int
    reason: str


class SettingsChanged(Record, frozen=True, kw_only=True, gc=False):
    """A setting takes a new value."""

    ts_ns: int
    operator: str
    name: str
    value: str
    reason: str


class Checkpoint(Record, frozen=True, kw_only=True, gc=False):
    """Fold state of a stage at a position, in chunks below 1 MB."""

    stage: str
    log_id: str
    partition: int
    position: int
    format_version: int
    code_digest: str
    chunk: int
    chunks: int
    payload: bytes


class DeadLetter(Record, frozen=True, kw_only=True, gc=False):
    """Bytes that could not be used, and why."""

    ts_ns: int
    stage: str
    source: str
    partition: int | None = None
    offset: int | None = None
    error: str
    payload: bytes
