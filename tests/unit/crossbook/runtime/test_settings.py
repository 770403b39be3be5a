"""Settings: file and environment, and one clear line for each way in which they can be wrong."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from crossbook.domain.errors import EXIT_SETTINGS
from crossbook.runtime.errors import SettingsError
from crossbook.runtime.settings import ClickHouseSettings, Settings, load_settings
from schemas.topics import PORTFOLIOS


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty settings file that CROSSBOOK_CONFIG names."""
    path = tmp_path / "mine.toml"
    path.write_text("", "utf-8")
    monkeypatch.setenv("CROSSBOOK_CONFIG", str(path))
    return path


def leaves(model: type[BaseModel], path: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            found += leaves(kind, f"{path}{name}.")
        else:
            found.append((path + name, field))
    return found


@pytest.mark.parametrize(("name", "field"), leaves(Settings), ids=[name for name, _ in leaves(Settings)])
def test_every_setting_has_a_description_and_a_default(name: str, field: Any) -> None:
    assert field.description
    assert not field.is_required(), name


def test_every_section_says_what_it_is() -> None:
    sections = [f.annotation for f in Settings.model_fields.values() if isinstance(f.annotation, type)]
    assert all(kind.__doc__ for kind in sections if issubclass(kind, BaseModel))


def test_without_a_file_the_defaults_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CROSSBOOK_CONFIG", raising=False)
    settings = load_settings()
    assert settings.mode == "paper"
    assert settings.kafka.prefix == "crossbook."
    assert settings.decide.min_edge_micros == 25_000


def test_the_file_in_the_working_directory_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CROSSBOOK_CONFIG", raising=False)
    (tmp_path / "crossbook.toml").write_text("[kafka]\npartitions = 3\n", "utf-8")
    assert load_settings().kafka.partitions == 3


def test_the_environment_overrides_the_file_setting_by_setting(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text('[kafka]\nprefix = "mine."\npartitions = 2\n', "utf-8")
    monkeypatch.setenv("CROSSBOOK_KAFKA__PARTITIONS", "5")
    settings = load_settings()
    assert (settings.kafka.prefix, settings.kafka.partitions) == ("mine.", 5)


def test_capital_is_set_by_venue_and_the_others_keep_theirs(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config.write_text("[execute.cash_micros]\npolymarket = 2\n", "utf-8")
    monkeypatch.setenv("CROSSBOOK_EXECUTE__CASH_MICROS__KALSHI", "3")
    assert load_settings().execute.cash_micros.model_dump() == {"polymarket": 2, "kalshi": 3}
    config.write_text("", "utf-8")
    assert load_settings().execute.cash_micros.model_dump() == {"polymarket": 5_000_000_000, "kalshi": 3}


def test_portfolios_are_declared_with_their_partitions_before_anyone_names_one(
    config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, partition in (("hedges", 1), ("quotes", 2)):
        monkeypatch.setitem(PORTFOLIOS, name, partition)  # taken back at the end
        del PORTFOLIOS[name]
    text = "[portfolios.quotes]\npartition = 2\nmetrics_port = 9\n[portfolios.hedges]\npartition = 1\nstrategies = ['cross_venue']\n"
    config.write_text(text + "[portfolios.hedges.limits]\npairs_open_max = 3\n'cash_micros.kalshi' = 7\n", "utf-8")
    monkeypatch.setenv("CROSSBOOK_EXECUTE__PORTFOLIO", "hedges")
    settings = load_settings()
    assert PORTFOLIOS == {"main": 0, "hedges": 1, "quotes": 2}
    own = settings.portfolios[settings.execute.portfolio]
    assert (own.strategies, own.limits) == (("cross_venue",), {"pairs_open_max": 3, "cash_micros.kalshi": 7})
    assert settings.of_portfolio("quotes").metrics_port("execute_port") == 9
    assert settings.of_portfolio("main").execute.portfolio == "main"
    with pytest.raises(SettingsError, match="no portfolio 'other'"):
        settings.of_portfolio("other")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[portfolios.twin]\npartition = 5", r"portfolio twin has partition 1, not 5"),
        ("[portfolios.Twin]\npartition = 1", r"portfolio 'Twin': a name is"),
        (
            "[portfolios.twin]\npartition = 1\n[portfolios.twin.limits]\npairs_open = 1",
            r"no limit is called 'pairs_open'",
        ),
        ("[execute.cash_micros]\nacme = 1", r"setting execute\.cash_micros.*'acme' is no venue"),
        ("colour = 1", "setting colour"),
        ("[decide]\nmin_edge = 1", r"setting decide\.min_edge"),
        ("[decide]\nmin_edge_micros = 'much'", r"decide\.min_edge_micros.*'much'"),
        ("[decide]\nmin_edge_micros = 2.5", r"decide\.min_edge_micros.*2\.5"),
        ("[kafka]\npartitions = 0", r"kafka\.partitions.*greater than or equal to 1"),
        ("mode = 'live'", "setting mode"),
        ("[kafka", "no valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line_that_names_key_and_place(
    config: Path, text: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PORTFOLIOS, "twin", 1)
    config.write_text(text, "utf-8")
    with pytest.raises(SettingsError, match=said) as caught:
        load_settings()
    assert "\n" not in str(caught.value)
    assert config.name in str(caught.value)
    assert caught.value.exit_code == EXIT_SETTINGS


@pytest.mark.parametrize("prefix", ["", "crossbook", "Cross.", "a b.", ".", "a..", "ä.", "x" * 50 + ".", "-a.", "a.\n"])
def test_a_prefix_that_is_no_name_is_refused(config: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSBOOK_KAFKA__PREFIX", prefix)
    with pytest.raises(SettingsError, match=r"kafka\.prefix"):
        load_settings()


@pytest.mark.parametrize("prefix", ["crossbook.", "a.", "demo-2026_11.", "0."])
def test_a_good_prefix_names_topics_and_a_database(config: Path, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSBOOK_KAFKA__PREFIX", prefix)
    assert load_settings().kafka.prefix == prefix
    assert ClickHouseSettings.database(prefix).replace("_", "").isalnum()


@pytest.mark.parametrize("name", ["CROSSBOOK_DECIDE_MIN_EDGE_MICROS", "CROSSBOOK_COLOUR", "CROSSBOOK_KAFKAS__PREFIX"])
def test_an_unknown_variable_is_refused(config: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "0")
    with pytest.raises(SettingsError, match=f"{name} is no setting"):
        load_settings()


def test_an_unknown_variable_below_a_section_is_refused(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSBOOK_DECIDE__MIN_EDGE", "0")
    with pytest.raises(SettingsError, match=r"decide\.min_edge"):
        load_settings()


def test_a_file_that_is_named_must_be_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CROSSBOOK_CONFIG", str(tmp_path / "absent.toml"))
    with pytest.raises(SettingsError, match=r"absent\.toml, which is no file"):
        load_settings()


def test_settings_do_not_change_and_hide_the_password(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CROSSBOOK_CLICKHOUSE__PASSWORD", "s3cret")
    settings = load_settings()
    assert settings.clickhouse.password == "s3cret"
    assert "s3cret" not in repr(settings)
    with pytest.raises(ValueError, match="frozen"):
        settings.kafka.partitions = 9  # type: ignore[misc]  # the mistake under test
