"""Listings, frames of the venues' shape, and a sender in memory."""

import json
from typing import Any

import pytest

from tests.builders.places import SAMPLES
from tests.builders.producers.listings import make_listing
from tests.builders.producers.senders import MemorySender


@pytest.fixture
def memory_sender():
    return MemorySender


@pytest.fixture
def listing():
    return make_listing


@pytest.fixture
def samples():
    """Reader of the real frames beside the checkout."""
    if not SAMPLES.is_dir():
        pytest.skip("the real samples are not beside the checkout")

    def read(name: str) -> Any:
        return json.loads((SAMPLES / name).read_text())

    return read
