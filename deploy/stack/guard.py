"""Run a program that dies with the process that started it: `python guard.py PARENT_PID -- ARGV…`.

Decides nothing: on Linux it asks the kernel to kill this process when its parent goes (`PR_SET_PDEATHSIG`), turns the
terminal's interrupt off, and becomes ARGV by `exec`. Elsewhere it stays in front of ARGV and watches its parent.
It must never import anything of the project: it runs with `-I -S`, before every child, and has to be cheap.

A wrapper and not a `preexec_fn`: code between fork and exec can deadlock in a process that has threads.
"""

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
EXIT_NOT_STARTED = 127  # what a shell says of a program that it cannot start
PARENT_CHECK_S = 0.25  # how long a child may outlive its parent where the kernel does not help


def _die_with_parent(parent_pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"guard: the kernel refused PR_SET_PDEATHSIG (errno {ctypes.get_errno()})")
    if os.getppid() != parent_pid:  # it died before the line above: nobody will ever tell us
        sys.exit(EXIT_NOT_STARTED)


def _become(argv: list[str]) -> None:
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted
    except OSError as error:
        print(f"cannot start {argv[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(EXIT_NOT_STARTED)


def _watch(parent_pid: int, argv: list[str]) -> int:
    child = os.fork()
    if child == 0:
        _become(argv)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the group gets it: the child decides, this one reports
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if os.getppid() != parent_pid:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        time.sleep(PARENT_CHECK_S)


def main(arguments: list[str]) -> int:
    """Guard ARGV for the parent whose pid is the first argument."""
    watch = arguments[0] == "--watch"
    parent_pid, separator, *argv = arguments[1:] if watch else arguments
    assert (separator, bool(argv)) == ("--", True), "usage: guard.py [--watch] PARENT_PID -- ARGV…"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # survives exec: Ctrl-C is the supervisor's business
    if watch or not sys.platform.startswith("linux"):
        return _watch(int(parent_pid), argv)
    _die_with_parent(int(parent_pid))
    _become(argv)
    return EXIT_NOT_STARTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
