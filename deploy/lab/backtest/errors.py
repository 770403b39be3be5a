"""What can go wrong in a backtest, as one tree below the errors of the composition root.

DeployError
└── BacktestError
    ├── ChangeError      a --set, a --sweep or a model that is none (exit code 2)
    └── LookAheadError   something stamped after "now" reached a decision: the log is not what was known at the time
"""

from deploy.errors import DeployError


class BacktestError(DeployError):
    """Base of the backtest's errors."""


class ChangeError(BacktestError):
    """A setting, a sweep or a model was named that does not exist, or was given a value that cannot work."""

    exit_code = 2


class LookAheadError(BacktestError):
    """A record carries what nobody could know yet at its place in the log."""
