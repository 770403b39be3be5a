"""Which machine takes which kind of intent.

The engine, its lanes and a fold of a journal are given a table; this one, unless they are told otherwise. A journal is folded with the
machines that wrote it.
"""

from typing import Final

from executors.hedge.hedging import HEDGING
from executors.orders.machine import MachineTable
from schemas.records import TradeIntent

MACHINES: Final[MachineTable] = {TradeIntent: HEDGING}
