"""The strategies that are built in, by name. Whoever folds takes the table as an argument, so that a package can bring its own."""

from typing import Final

from processors.strategies.base import Strategies
from processors.strategies.cross_venue.settings import NAME
from processors.strategies.cross_venue.strategy import CrossVenue

STRATEGIES: Final[Strategies] = {NAME: CrossVenue}
