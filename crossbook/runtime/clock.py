"""Wall clock of the shells. Folds never read it: their now is the stamp of the event that they fold."""

import time


def now_ns() -> int:
    """Wall clock, Unix ns."""
    return time.time_ns()


def boot_ns() -> int:
    """Clock that neither jumps nor stops in suspend, ns since boot: guards send_before."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
