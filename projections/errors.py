"""Exceptions of the projection.

StageError (crossbook.runtime.errors)
└── ProjectionError
    ├── ClickHouseAwayError      ClickHouse cannot be reached or is busy: try again, nothing is lost
    ├── ClickHouseRefusedError   ClickHouse refused a statement; trying again will not help
    └── TablesGoneError          the database was dropped under the stage: it starts again and rebuilds
"""

from crossbook.domain.errors import StageError


class ProjectionError(StageError):
    """Base of what can go wrong between the log and ClickHouse."""


class ClickHouseAwayError(ProjectionError):
    """ClickHouse cannot be reached or is busy."""


class ClickHouseRefusedError(ProjectionError):
    """ClickHouse refused a statement."""


class TablesGoneError(ProjectionError):
    """The database, or a table of it, is not there any more."""
