"""A stage as a child process, its settings from the environment alone."""

import os
import signal
import subprocess
import sys
import time

from tests.builders.places import REPOSITORY

STOP_S = 240


class Stage:
    """A stage that runs until it is stopped; `said` is its log from then on.

    `module`: what runs it, with `options` behind its name; `code`: the checkout that it runs from.
    """

    def __init__(self, name, kafka, folder, *, module="deploy.stage", options=(), code=REPOSITORY, **settings):
        values = {
            "KAFKA__BOOTSTRAP": kafka.bootstrap,
            "KAFKA__PREFIX": kafka.prefix,
            "KAFKA__PARTITIONS": kafka.partitions,
            "STATE_DIR": folder,
        }
        env = {key: value for key, value in os.environ.items() if not key.startswith("CROSSBOOK_")}
        env |= {f"CROSSBOOK_{key}": str(value) for key, value in (values | settings).items()}
        self.log = (folder / f"log-{time.monotonic_ns()}").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, name, *options],
            cwd=folder,
            env=env | {"PYTHONPATH": str(code)},
            stderr=self.log,
        )

    def stop(self, number=signal.SIGTERM):
        """Send a signal and wait; return the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(STOP_S)
        self.log.seek(0)
        self.said = self.log.read()
        self.log.close()
        return code


def stopped_at_the_end():
    """A list for stages of a test, as a fixture's generator: what still runs at its end is killed, and every log is shown."""
    started = []
    yield started
    for stage in started:
        if not stage.log.closed:
            stage.stop(signal.SIGKILL)
        print(stage.said)
