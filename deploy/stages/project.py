"""The stage `project` put together: the sink that the settings name, given to the projection."""

from contextlib import closing

from crossbook.runtime.settings import Settings
from projections import stage
from projections.clickhouse.sink import ClickHouseSink
from projections.stage import Progress


def run(settings: Settings) -> None:
    """Project into ClickHouse until SIGTERM or SIGINT. Raises StageError."""
    with closing(ClickHouseSink(settings.clickhouse, settings.kafka.prefix)) as sink:
        stage.run(settings, sink)


def rebuild(settings: Settings, progress: Progress) -> int:
    """Drop the ClickHouse database and make it again from the topics; return the records read. Raises StageError."""
    with closing(ClickHouseSink(settings.clickhouse, settings.kafka.prefix)) as sink:
        return stage.rebuild(settings, sink, progress)
