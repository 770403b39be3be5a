"""What can go wrong in the processors, as one tree.

ProcessorError
├── CodeDigestError   the log was decided by other code than the one that runs
├── CheckpointError   a checkpoint's chunks are no state
├── InputError        a `market` partition does not begin as it must
└── StrategySettingsError   a strategy cannot work under what it was configured with
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class ProcessorError(StageError):
    """Root of the processors' errors."""


class CodeDigestError(ProcessorError):
    """MarketConfigured or StrategyConfigured names other decision code; only that code can repeat its decisions."""

    exit_code = EXIT_SETTINGS

    def __init__(self, *, partition: int, position: int, configured: str, running: str) -> None:
        super().__init__(
            f"market partition {partition}, position {position} was decided by code {configured[:12]}…, this is {running[:12]}…; "
            "check out the code of that digest, or start a new log under another kafka.prefix"
        )
        self.configured = configured
        self.running = running


class CheckpointError(ProcessorError):
    """The chunks of a checkpoint do not make a state; older checkpoints or zero are the places to start from."""


class InputError(ProcessorError):
    """A partition of `market` does not begin with LogOpened at the offset that it names."""


class StrategySettingsError(ProcessorError):
    """A setting of a strategy is missing, unknown, or no value of its kind."""

    exit_code = EXIT_SETTINGS
