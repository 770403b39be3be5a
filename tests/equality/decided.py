"""What the stages make of a partition's records: signals and intents of decide, journal and fills of the executor in a backtest."""

from collections.abc import Iterator, Sequence

import msgspec

from deploy.lab.backtest.options import BacktestOptions
from deploy.lab.backtest.run import run_backtest
from processors.decide.code_digest import decision_digest
from processors.decide.fold import step
from processors.decide.state import DecideState
from schemas.records import MarketConfigured, Record, StrategyConfigured
from tests.builders.logs.memory import MemoryLog
from tests.equality.sources import terms_of


class HeldLog(MemoryLog):
    """A log that holds records instead of their bytes; only `market` has any."""

    def __init__(self, records: Sequence[Record]) -> None:
        super().__init__({}, name="held records")
        self._held = records

    def extent(self, topic: str, _partition: int) -> tuple[int, int]:
        """Where the topic begins and ends."""
        return (0, len(self._held)) if topic == "market" else (0, 0)

    def decided_end(self, _partition: int) -> int:
        """Nothing was decided."""
        return 0

    def records(self, topic: str, _partition: int, *_bounds: int | None) -> Iterator[tuple[int, Record]]:
        """Records by offset."""
        if topic == "market":
            yield from enumerate(self._held)


def decide_all(name: str, market: Sequence[Record]) -> dict[str, list[Record]]:
    """Records by topic: `market` as it was folded, and what follows from it under the terms of the source."""
    held = [under_this_code(record) for record in market]
    found: dict[str, list[Record]] = {"market": held, "signals": [], "intents": []}
    state = DecideState(decision_digest())
    for position, record in enumerate(held):
        for output in step(state, position, record):
            found[output.topic].append(output.record)
    execute, paper = terms_of(name)
    outcome = run_backtest(HeldLog(held), BacktestOptions(execute=execute, paper=paper))
    if list(outcome.intents) != found["intents"]:
        raise AssertionError(f"{name}: the backtest's intents are not decide's")
    return found | {"journal": list(outcome.journal), "fills": list(outcome.fills)}


def under_this_code(record: Record) -> Record:
    """A configuration names the code that folds it."""
    if isinstance(record, MarketConfigured | StrategyConfigured):
        return msgspec.structs.replace(record, code_digest=decision_digest())
    return record
