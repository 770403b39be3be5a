"""A stage with the plug-in's rows in its tables, as a process: `python -m tests.builders.plugin.stage NAME [--portfolio NAME]`.

What a package beside the product would install in place of `deploy.stage`: it makes its words known, then gives each stage its table.
"""

import argparse
import sys

from crossbook.domain.errors import StageError
from crossbook.runtime.logging import configure_log
from crossbook.runtime.settings import load_settings
from executors import stage as execute
from processors.decide import stage as decide
from producers import stage as producers
from producers.venues import BUILT_IN
from tests.builders.executors.quoting import BOTH as MACHINES
from tests.builders.plugin.acme import ADAPTER, plugged_in
from tests.builders.plugin.gateway import GATEWAYS
from tests.builders.plugin.strategy import TABLE

STAGES = {
    "producers": lambda settings: producers.run(settings, adapters=(*BUILT_IN, ADAPTER)),
    "decide": lambda settings: decide.run(settings, TABLE),
    "execute": lambda settings: execute.run(settings, gateways=GATEWAYS, machines=MACHINES),
}


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=STAGES)
    parser.add_argument("--portfolio", default="main")
    options = parser.parse_args(argv)
    with plugged_in():
        try:
            settings = load_settings().of_portfolio(options.portfolio)
            configure_log(options.name, settings.log_level)
            STAGES[options.name](settings)
        except StageError as error:
            sys.stderr.write(f"{options.name}: {error}\n")
            return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
