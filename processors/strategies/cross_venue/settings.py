"""The settings that the cross-venue strategy works under. Defaults, bounds and texts are those of the settings' section `decide`."""

from typing import Final

import msgspec

#: Name of the strategy in the table, in settings and in records.
NAME: Final = "cross_venue"


class CrossVenueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Thresholds and windows; times are ns of stream time, amounts micros."""

    min_edge_micros: int
    edge_change_micros: int
    cooldown_ns: int
    intent_valid_ns: int
    close_window_ns: int
    game_start_window_ns: int
    cost_max_micros: int
