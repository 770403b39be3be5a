"""The sandbox's presets: how a seeded world behaves, as plain numbers.

Decides volatility, lags, dislocation caps and the density of planted edges. It must never hold behaviour.
Units last: ``_ns`` nanoseconds of simulated time, ``_micros`` dollars x 10^6, logit units where a name says so.
"""

from dataclasses import dataclass

from deploy.sandbox.errors import UnknownPresetError

MS = 1_000_000
SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One world's behaviour.

    ``net_cap_micros`` is the law that gives planted edges their meaning: no maker may quote a top whose net edge
    against the other venue's top would exceed it, so outside planted windows none does.
    """

    name: str
    catalogue: str
    sigma_logit: float  # random walk of the latent, per square root of a second
    jump_per_s: float
    jump_logit: float
    bias_micros: int  # lasting disagreement of the venues on one subject, at its largest
    offset_micros: int  # passing disagreement: standard deviation of a mean-reverting offset per venue
    offset_revert_per_s: float
    half_spread_micros: tuple[int, int]
    lag_ns: tuple[int, int]
    net_cap_micros: int
    rival_net_micros: int  # rivals notice a net edge above this
    rival_delay_ns: tuple[int, int]
    trade_share: float  # public trades per activity
    planted_interval_ns: int  # 0 plants none
    planted_first_ns: int = 3 * SECOND
    planted_net_micros: tuple[int, int] = (35_500, 48_000)
    planted_quantity_contracts: tuple[int, int] = (20, 120)
    planted_dwell_ns: tuple[int, int] = (800 * MS, 2_500 * MS)
    planted_spacing_ns: int = 6 * SECOND
    fragile_share: float = 0.25
    fragile_after_ns: tuple[int, int] = (150 * MS, 400 * MS)


EVENTFUL = Preset(
    name="eventful",
    catalogue="eventful",
    sigma_logit=0.012,
    jump_per_s=0.03,
    jump_logit=0.12,
    bias_micros=6_000,
    offset_micros=9_000,
    offset_revert_per_s=0.5,
    half_spread_micros=(4_000, 12_000),
    lag_ns=(100 * MS, 600 * MS),
    net_cap_micros=12_000,
    rival_net_micros=1_000,
    rival_delay_ns=(40 * MS, 200 * MS),
    trade_share=0.03,
    planted_interval_ns=1_500 * MS,
)

# Calibrated to the recorded match by simulation (tests/unit/deploy/sandbox/world/test_world.py holds the bands).
WORLDCUP = Preset(
    name="worldcup",
    catalogue="worldcup",
    sigma_logit=0.006,
    jump_per_s=0.01,
    jump_logit=0.05,
    bias_micros=12_000,
    offset_micros=9_000,
    offset_revert_per_s=0.12,
    half_spread_micros=(3_000, 5_500),
    lag_ns=(300 * MS, 1_500 * MS),
    net_cap_micros=20_000,
    rival_net_micros=14_000,
    rival_delay_ns=(800 * MS, 4_000 * MS),
    trade_share=0.02,
    planted_interval_ns=0,
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in (EVENTFUL, WORLDCUP)}


def preset_named(name: str) -> Preset:
    """The preset of that name; raises ``UnknownPresetError`` naming the known ones."""
    try:
        return PRESETS[name]
    except KeyError:
        raise UnknownPresetError(f"preset {name!r} is unknown: use one of {', '.join(sorted(PRESETS))}") from None
