"""Settings of a strategy as text by name, and as a typed struct of its own."""

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from processors.errors import StrategySettingsError

S = TypeVar("S", bound=msgspec.Struct)


def parse_settings(settings: Mapping[str, str], kind: type[S]) -> S:
    """The settings as a struct; a number stands as its digits.

    Raises:
        StrategySettingsError: a setting is missing, no value of its field, or (where the struct forbids it) unknown.
    """
    try:
        return msgspec.convert(dict(settings), kind, strict=False)
    except msgspec.ValidationError as error:
        raise StrategySettingsError(f"{kind.__name__}: {error}") from error
