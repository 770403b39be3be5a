"""Says what decide announces at its start: the settings that a fold is to work under, and the code that folds.

Decides nothing; units change here from settings (ms, s) to records (ns). Settings take effect only when the log carries them.
"""

from typing import Final

import msgspec

from crossbook.runtime.settings import DecideSettings
from schemas.records import DecideAnnounced, DecideConfigured

MS_NS: Final = 1_000_000
S_NS: Final = 1_000_000_000


def announcement(settings: DecideSettings, code_digest: str, *, ts_ns: int, operator: str) -> DecideAnnounced:
    """The record that decide writes to `control`."""
    return DecideAnnounced(
        ts_ns=ts_ns,
        operator=operator,
        code_digest=code_digest,
        min_edge_micros=settings.min_edge_micros,
        edge_change_micros=settings.edge_change_micros,
        top_interval_ns=settings.top_interval_ms * MS_NS,
        watermark_interval_ns=settings.watermark_interval_ms * MS_NS,
        polled_fresh_ns=settings.polled_fresh_ms * MS_NS,
        feed_stale_ns=settings.feed_stale_ms * MS_NS,
        cooldown_ns=settings.cooldown_ms * MS_NS,
        intent_valid_ns=settings.intent_valid_ms * MS_NS,
        close_window_ns=settings.close_window_s * S_NS,
        game_start_window_ns=settings.game_start_window_s * S_NS,
        jump_ns=settings.jump_ms * MS_NS,
        cost_max_micros=settings.cost_max_micros,
    )


def as_configured(announced: DecideAnnounced, *, ts_received_ns: int, control_offset: int) -> DecideConfigured:
    """The announcement as it stands in `market` once it was relayed."""
    fields = msgspec.structs.asdict(announced)
    del fields["ts_ns"], fields["operator"]
    return DecideConfigured(ts_received_ns=ts_received_ns, control_offset=control_offset, **fields)
