"""A sink in memory: what a store keeps of rows that are written twice, behind the `Sink` protocol of `projections.port`."""

from projections.activity import TABLE as ACTIVITY_TABLE
from projections.errors import TablesGoneError

#: Rows with the same first columns are one: facts by their coordinates, counts by block, instrument and second.
KEY_COLUMNS = {ACTIVITY_TABLE: 6}
FACT_KEY_COLUMNS = 4


class MemorySink:
    """Rows by table and key; of two counts the one that has seen more stays."""

    def __init__(self):
        self._tables = None
        self._positions = {}

    def prepare(self):
        """Make it, if it is not there. One definition, so nothing is ever dropped."""
        if self._tables is None:
            self._tables, self._positions = {}, {}
        return False

    def positions(self, log_id):
        """Next offsets of a log."""
        self._there()
        return dict(self._positions.get(log_id, {}))

    def write(self, log_id, tables, positions):
        """Take rows, then positions."""
        self._there()
        for table, columns, rows in tables:
            kept = self._tables.setdefault(table, {})
            width = KEY_COLUMNS.get(table, FACT_KEY_COLUMNS)
            for row in rows:
                key = row[:width]
                if table == ACTIVITY_TABLE and key in kept:
                    seen = columns.index("records")
                    row = max(kept[key], row, key=lambda one: one[seen])  # noqa: PLW2901 - the one that stays
                kept[key] = row
        known = self._positions.setdefault(log_id, {})
        for topic, partition, offset in positions:
            known[topic, partition] = max(offset, known.get((topic, partition), 0))

    def drop(self):
        """Forget everything."""
        self._tables = None

    def close(self):
        """Nothing is open."""

    def rows(self, table):
        """What counts of a table."""
        self._there()
        return sorted(self._tables.get(table, {}).values())

    def tables(self):
        """Names of the tables that have rows."""
        self._there()
        return sorted(self._tables)

    def _there(self):
        if self._tables is None:
            raise TablesGoneError("the tables in memory were dropped")
