"""Every format has an opener, and a wrong name says which there are."""

import pytest

from deploy.commands.imports import import_app
from producers.errors import RecordingError
from producers.recordings.formats import FORMATS, open_recording


def test_every_format_has_a_command() -> None:
    assert {command.name for command in import_app.registered_commands} == set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_nothing_given_is_refused(name: str) -> None:
    with pytest.raises(RecordingError):
        open_recording(name, [], None, 1)
    with pytest.raises(RecordingError):
        open_recording(name.replace("-", "_"), [], None, 1)


def test_an_unknown_format_names_the_known() -> None:
    with pytest.raises(RecordingError, match=r"'csv'.*bbo-pairs.*kalshi-gold15m-l2"):
        open_recording("csv", [], None, 1)
