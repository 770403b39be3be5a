"""Facts about processes of this machine: when one started, what memory it holds, who listens on a port.

Decides nothing and signals nobody. The only module that reads `psutil`.
"""

import contextlib

import psutil

# psutil rounds start times to clock ticks (10 ms); two processes with one pid start much further apart.
SAME_START_S = 0.5


def process_start_s(pid: int) -> float | None:
    """When the process started (seconds since the epoch), None when there is no such process."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return None


def same_process(pid: int, started_s: float) -> bool:
    """Whether `pid` is still the process that started at `started_s`, and not a later one with its number."""
    actual_s = process_start_s(pid)
    return actual_s is not None and abs(actual_s - started_s) <= SAME_START_S


def rss_bytes(pid: int) -> int:
    """Resident memory of a process, 0 when it is gone."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def listener(port: int) -> str:
    """`pid N (name)` of the process that listens on `port`, "" when that cannot be seen."""
    with contextlib.suppress(psutil.Error, OSError):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"pid {connection.pid} ({psutil.Process(connection.pid).name()})"
    return ""
