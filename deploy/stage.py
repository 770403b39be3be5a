"""One stage as a process: `python -m deploy.stage NAME [--settings FILE]`.

The composition root of the stages: it reads the settings, sets up the log, runs the stage and turns its errors into one clear
line and an exit code (78 for settings that cannot work, which a supervisor does not retry). A stage's own modules are imported
only for the stage that runs. With `--settings` the file alone decides, whatever the environment says.
"""

import argparse
import importlib
import os
import sys
from collections.abc import Callable

from crossbook.domain.errors import StageError
from crossbook.runtime.logging import configure_log
from crossbook.runtime.metrics import serve_metrics
from crossbook.runtime.settings import CONFIG_VARIABLE, Settings, load_settings
from deploy.errors import one_line

#: Stage name → module whose `run(settings)` is the stage.
STAGES = {
    "registry": "deploy.registry.server",
    "producers": "producers.stage",
    "import": "producers.recordings.stage",
    "decide": "processors.decide.stage",
    "execute": "executors.stage",
    "project": "deploy.stages.project",
    "leadlag": "processors.leadlag.stage",
}
#: Stage name → setting of its Prometheus port.
METRICS = {
    "producers": "producers_port",
    "import": "producers_port",
    "decide": "decide_port",
    "execute": "execute_port",
    "project": "project_port",
    "leadlag": "leadlag_port",
}
#: Stages that must not slow the path of money down.
NICE = {"project": 10, "registry": 10, "leadlag": 10}


def main(argv: list[str] | None = None) -> int:
    """Run the named stage until it is told to stop; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m deploy.stage")
    parser.add_argument("name", choices=STAGES)
    parser.add_argument("--settings", help="settings file; the environment's CROSSBOOK_* are then ignored")
    parser.add_argument(
        "--portfolio", default="", help="portfolio of the stage execute, in place of that of the settings"
    )
    options = parser.parse_args(argv)
    name: str = options.name
    if options.settings:
        for variable in [variable for variable in os.environ if variable.startswith("CROSSBOOK_")]:
            del os.environ[variable]
        os.environ[CONFIG_VARIABLE] = options.settings
    try:
        settings = load_settings()
        if options.portfolio:
            settings = settings.of_portfolio(options.portfolio)
        log = configure_log(name, settings.log_level)
        os.nice(NICE.get(name, 0))
        if port := settings.metrics_port(METRICS.get(name, "")):
            serve_metrics(port)
        run: Callable[[Settings], None] = importlib.import_module(STAGES[name]).run
        run(settings)
    except StageError as error:
        sys.stderr.write(f"{name}: {one_line(error)}\n")
        return error.exit_code
    log.info("stage.stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
