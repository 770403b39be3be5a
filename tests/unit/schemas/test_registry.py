"""The pinned registry is read once, whole, or refused."""

import pytest

from schemas import registry
from schemas.errors import RegistryError
from schemas.registry import load_registry, read_avsc, subject


class _Folder:
    """Stands where the package's files are."""

    def __init__(self, text: str) -> None:
        self._text = text

    def joinpath(self, *_names: str) -> "_Folder":
        return self

    def read_text(self, _encoding: str) -> str:
        return self._text


ROW = '{"id": 1, "record": "A", "version": 1, "schema": {}}'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"baseline": 1, "schemas": [{"id": 1}]}', "cannot be read"),
        ('{"schemas": 5}', "cannot be read"),
        (f'{{"baseline": 1, "schemas": [{ROW}, {ROW}]}}', "twice"),
        (f'{{"baseline": 1, "schemas": [{ROW}, {ROW.replace("1,", "2,", 1)}]}}', "twice"),
    ],
)
def test_a_damaged_registry_is_refused(text: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "files", lambda _package: _Folder(text))
    with pytest.raises(RegistryError, match=said):
        load_registry.__wrapped__()


def test_newest_is_the_highest_version(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ", ".join(f'{{"id": {9 - v}, "record": "A", "version": {v}, "schema": {{}}}}' for v in (2, 3, 1))
    monkeypatch.setattr(registry, "files", lambda _package: _Folder(f'{{"baseline": 1, "schemas": [{rows}]}}'))
    found = load_registry.__wrapped__()
    assert found.newest["A"].version == 3
    assert [s.id for s in found.versions("A")] == [8, 7, 6]
    assert found.versions("B") == []


def test_subject_and_contract_names() -> None:
    assert subject("crossbook.market", "BookDelta") == "crossbook.market-crossbook.BookDelta"
    assert read_avsc("BookDelta")["name"] == "BookDelta"
