"""A sandbox engine on a small eventful world."""

import pytest

from deploy.sandbox.engine import Engine
from deploy.sandbox.world.world import World


@pytest.fixture
def engine() -> Engine:
    return Engine(World(preset="eventful", seed=7, rate_updates_per_s=300), start_delay_s=None, truth_file=None)
