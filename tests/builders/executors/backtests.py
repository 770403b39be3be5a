"""Terms for backtests."""

from crossbook.runtime.settings import ExecuteSettings

WIDE = ExecuteSettings(
    unwind_attempts_max=9, pairs_open_max=100, category_cost_micros=10**13, cost_per_leg_micros=10**12
)
