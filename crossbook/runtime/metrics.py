"""Prometheus metrics of a stage, kept where the work passes: the Kafka loops count, so every stage is measured alike.

One registry a process, made at first use. Metrics measure and never decide; a fold cannot reach them.
"""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from crossbook.runtime.errors import SettingsError

LOOPBACK = "127.0.0.1"
#: From the 2 ms of an idle transaction to the 10 s at which the broker gives one up.
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class StageMetrics:
    """Counters of this process; see each `doc`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.consumed = Counter(
            "crossbook_records_consumed", "records read from Kafka", ["topic"], registry=self.registry
        )
        self.produced = Counter(
            "crossbook_records_produced", "records handed to Kafka", ["topic"], registry=self.registry
        )
        self.refused = Counter(
            "crossbook_records_refused", "records that the full producer buffer did not take", registry=self.registry
        )
        self.waiting = Gauge(
            "crossbook_records_waiting", "records not yet confirmed by the broker", registry=self.registry
        )
        self.transactions = Histogram(
            "crossbook_transaction_seconds",
            "time of a transaction from begin to commit",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.aborted = Counter(
            "crossbook_transactions_aborted", "transactions that were aborted", registry=self.registry
        )


@cache
def stage_metrics() -> StageMetrics:
    """The metrics of this process."""
    return StageMetrics()


def serve_metrics(port: int) -> None:
    """Serve the metrics on loopback, in the background, for Prometheus to scrape.

    Raises:
        SettingsError: the port is taken.
    """
    try:
        start_http_server(port, addr=LOOPBACK, registry=stage_metrics().registry)
    except OSError as error:
        raise SettingsError(
            f"metrics port {port} on {LOOPBACK} cannot be used ({error.strerror}); choose another or 0"
        ) from error
