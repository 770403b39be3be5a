"""The state of decide's fold as readable JSON, in chunks, and back.

Decides nothing. Must never lose a part of the state: a fold that goes on from a checkpoint writes the same bytes as one from zero
(memos are derived again). A checkpoint of another log, format or decision code is not for us and is ignored, never adapted.
"""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from crossbook.log.chunks import cut, joined, of_other_code, whole_checkpoints
from crossbook.market.image import MarketImage, market_image, restore_market
from processors.decide.state import DecideState
from processors.errors import CheckpointError, StrategySettingsError
from processors.strategies.base import Strategies
from processors.strategies.table import STRATEGIES
from schemas.records import Checkpoint

STAGE: Final = "decide"
FORMAT_VERSION: Final = 8


class DecideImage(msgspec.Struct, frozen=True):
    """A DecideState."""

    market: MarketImage
    strategies: dict[str, msgspec.Raw]
    groups: dict[str, str]
    top_written_ns: dict[str, int]
    tops_unwritten: tuple[str, ...]
    references_fresh: dict[str, bool]
    watermark_due_ns: int
    intents: int
    other_code: str


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(DecideImage)


def freeze(state: DecideState) -> bytes:
    """The whole state as UTF-8 JSON; equal states that came by the same events give equal bytes."""
    return _ENCODER.encode(
        DecideImage(
            market=market_image(state.market),
            strategies={name: msgspec.Raw(strategy.image()) for name, strategy in state.strategies.items()},
            groups=state.groups,
            top_written_ns=state.top_written_ns,
            tops_unwritten=tuple(state.tops_unwritten),
            references_fresh=state.references_fresh,
            watermark_due_ns=state.watermark_due_ns,
            intents=state.intents,
            other_code=state.other_code,
        )
    )


def thaw(payload: bytes, code_digest: str, makers: Strategies = STRATEGIES) -> DecideState:
    """The state that `freeze` wrote. Raises CheckpointError when the bytes are no state of this code."""
    state = DecideState(code_digest, makers)
    try:
        image = _DECODER.decode(payload)
        restore_market(state.market, image.market)
        for name, kept in image.strategies.items():
            state.configure(state.market.strategies[name])
            state.strategies[name].restore(bytes(kept))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, LookupError, StrategySettingsError) as error:
        raise CheckpointError(f"a checkpoint could not be read: {error}; it is ignored") from error
    state.groups = dict(image.groups)
    state.top_written_ns = dict(image.top_written_ns)
    state.tops_unwritten = dict.fromkeys(image.tops_unwritten)
    state.references_fresh = dict(image.references_fresh)
    state.watermark_due_ns = image.watermark_due_ns
    state.intents = image.intents
    state.other_code = image.other_code
    return state


def to_records(state: DecideState) -> list[Checkpoint]:
    """The state as records of `checkpoints.decide`, to be written in this order to the state's own partition."""
    market = state.market
    return cut(
        freeze(state),
        stage=STAGE,
        log_id=market.log_id,
        partition=market.partition,
        position=market.position,
        format_version=FORMAT_VERSION,
        code_digest=state.code_digest,
    )


def newest_state(
    records: Iterable[Checkpoint],
    *,
    log_id: str,
    partition: int,
    position_max: int,
    code_digest: str,
    makers: Strategies = STRATEGIES,
    on_ignored: Callable[[int, str], None] = lambda _position, _reason: None,
) -> DecideState | None:
    """The newest whole state at or before a position, or None: then the fold starts from zero.

    Chunks of one checkpoint follow each other, perhaps with a broken-off attempt before them. `on_ignored` is told the position of
    each checkpoint that cannot be used, and why.
    """
    ours: list[Checkpoint] = []
    for record in records:
        reason = _not_ours(record, log_id, partition, code_digest)
        if not reason and record.position <= position_max:
            ours.append(record)
        elif reason and record.chunk == 0:
            on_ignored(record.position, reason)
    for pieces in sorted(whole_checkpoints(ours), key=lambda one: one[0].position, reverse=True):
        try:
            return thaw(joined(pieces), code_digest, makers)
        except CheckpointError as error:
            on_ignored(pieces[0].position, str(error))  # an older one serves as well
    return None


def _not_ours(record: Checkpoint, log_id: str, partition: int, code_digest: str) -> str:
    """Why a checkpoint is not for us; empty when it is."""
    if (record.stage, record.partition) != (STAGE, partition):
        return f"it is of stage {record.stage}, partition {record.partition}"
    if record.log_id != log_id:
        return f"it is of log {record.log_id}, this is {log_id}"
    return of_other_code(record, FORMAT_VERSION, code_digest)
