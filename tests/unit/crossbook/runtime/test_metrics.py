"""Metrics count where the work passes, and are served on loopback only."""

import socket
import urllib.request

import pytest

from crossbook.runtime.errors import SettingsError
from crossbook.runtime.metrics import LOOPBACK, serve_metrics, stage_metrics


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def test_a_scrape_shows_what_was_counted() -> None:
    port = free_port()
    stage_metrics().produced.labels("metrics-test").inc(3)
    serve_metrics(port)
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    assert 'crossbook_records_produced_total{topic="metrics-test"} 3.0' in text
    assert "crossbook_transaction_seconds_bucket" in text


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        with pytest.raises(SettingsError, match=r"metrics port \d+ on 127\.0\.0\.1 cannot be used"):
            serve_metrics(taken.getsockname()[1])
