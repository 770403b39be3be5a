"""What can go wrong in the executor, as one tree.

    ExecutorError
    ├── JournalError     the journal cannot be folded: a gap, an output that its inputs do not give, another portfolio
    ├── LaneError        inputs of a lane contradict each other: a gap in intents, an intent behind the lane
    ├── CheckpointError  bytes that are no image, or a state that has outgrown its image
    └── PlanError        an order outside the bounds of its committed plan was asked for (a programmer's error)

All of them stop the stage before anything is committed, but for a PlanError: it makes the trade a person's, as every error does that
the fold meets while it tells a trade something.
"""

from crossbook.domain.errors import EXIT_SETTINGS, StageError


class ExecutorError(StageError):
    """Root of the executor's errors; a person must look, so no supervisor starts it again."""

    exit_code = EXIT_SETTINGS


class JournalError(ExecutorError):
    """The journal is not what the fold of its inputs gives."""


class LaneError(ExecutorError):
    """The inputs of a lane contradict each other."""


class CheckpointError(ExecutorError):
    """Not an image of the executor; older checkpoints or zero are the places to start from."""


class PlanError(ExecutorError):
    """An order was asked for that no bound of the committed plan covers."""
