"""Exceptions of the projection.

StageError (crossbook.runtime.errors)
└── ProjectionError
    ├── SinkAwayError     the store cannot be reached or is busy: try again, nothing is lost
    ├── SinkRefusedError  the store refused a statement; trying again will not help
    └── TablesGoneError   the tables were dropped under the stage: it starts again and rebuilds
"""

from crossbook.domain.errors import StageError


class ProjectionError(StageError):
    """Base of what can go wrong between the log and the tables."""


class SinkAwayError(ProjectionError):
    """The store cannot be reached or is busy."""


class SinkRefusedError(ProjectionError):
    """The store refused a statement."""


class TablesGoneError(ProjectionError):
    """The tables, or one of them, are not there any more."""
