"""Every error that stops a stage has an exit code; only settings have the one that is not retried."""

import pytest

from crossbook.domain.errors import EXIT_SETTINGS, StageError
from crossbook.log.errors import LogError
from crossbook.runtime import errors
from crossbook.runtime.errors import SettingsError

TREE = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]


@pytest.mark.parametrize("kind", TREE)
def test_one_tree(kind: type[StageError]) -> None:
    assert issubclass(kind, StageError)
    assert kind.__name__ in (errors.__doc__ or "")
    assert (kind.exit_code == EXIT_SETTINGS) is (kind in {SettingsError, LogError})
    assert kind.exit_code != 0
