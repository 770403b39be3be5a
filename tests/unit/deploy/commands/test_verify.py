"""The command verify: what it takes, and that it is silent where nobody looks."""

import pytest

from deploy.commands.verify import checkpoint_of, events_progress, open_log
from deploy.errors import UsageError


@pytest.mark.parametrize(("text", "means"), [("", None), ("all", "all"), ("1", 1), ("12", 12)])
def test_a_checkpoint_is_a_number_or_all(text, means):
    assert checkpoint_of(text) == means


@pytest.mark.parametrize("text", ["0", "-1", "first", "1.5"])
def test_anything_else_is_refused(text):
    with pytest.raises(UsageError, match="neither a number from 1 on nor all"):
        checkpoint_of(text)


def test_an_archive_has_no_prefix(tmp_path):
    with pytest.raises(UsageError, match="give one of both"), open_log(tmp_path, "cup."):
        pass


def test_without_a_terminal_there_is_no_bar(capsys):
    with events_progress("folding", 10) as told:
        assert told is None
    assert capsys.readouterr().err == ""
