"""Resident memory of this process, for the figure that a run says of itself.

Decides nothing. Must not use `ru_maxrss` where the kernel knows better: Linux hands it from parent to child, so that a child of a
process that once held a gigabyte would say a gigabyte of itself.
"""

import resource
import sys
from pathlib import Path

STATUS = Path("/proc/self/status")


def peak_rss_mb() -> float:
    """The most that this process alone has held so far, MB of 2^20 bytes."""
    peak = _status_mb("VmHWM:")
    if peak is None:
        unit = 2**20 if sys.platform == "darwin" else 2**10
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return peak


def rss_mb() -> float:
    """What it holds now; where the system does not say, the most so far."""
    held = _status_mb("VmRSS:")
    return peak_rss_mb() if held is None else held


def _status_mb(name: str) -> float | None:
    if not STATUS.exists():
        return None
    return next(
        (int(line.split()[1]) / 2**10 for line in STATUS.read_text().splitlines() if line.startswith(name)), None
    )
