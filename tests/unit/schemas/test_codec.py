"""The codec refuses what a schema does not hold, and reads what an older version wrote."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest

from schemas.codec import Codec, load_codec
from schemas.errors import CorruptRecordError, RegistryError, UnknownWordError
from schemas.records import InstrumentListed, PairRevoked, TradingStateChanged
from schemas.registry import PinnedSchema, Registry, load_registry, read_avsc
from schemas.vocabulary import extend, words
from tests.builders.vocabularies import added_words
from tests.contract.record_strategies import sample

REVOKED = PairRevoked(ts_ns=1, operator="o", pair_id="p", reason="r")


@pytest.mark.parametrize("value", [1.5, 1.0, True, "1", None, b"1"])
def test_an_integer_field_takes_integers_only(value: Any) -> None:
    with pytest.raises(msgspec.ValidationError, match="Expected `int`"):
        load_codec().encode(msgspec.structs.replace(REVOKED, ts_ns=value))


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_an_integer_beyond_64_bits_is_refused(value: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        load_codec().encode(msgspec.structs.replace(REVOKED, ts_ns=value))


def test_an_unknown_word_is_refused_by_name() -> None:
    record = TradingStateChanged(
        ts_ns=1,
        operator="o",
        state="on fire",
        scope="all",
        scope_value="",
        reason="r",
    )
    said = r"TradingStateChanged\.state: no trading_state is called 'on fire'; known are running, reduce_only, halted"
    with pytest.raises(UnknownWordError, match=said) as caught:
        load_codec().encode(record)
    assert isinstance(caught.value, ValueError)
    good = load_codec().encode(msgspec.structs.replace(record, state="running"))
    with pytest.raises(CorruptRecordError, match="no trading_state is called 'runninG'"):
        load_codec().decode(good.replace(b"running", b"runninG"))


def test_an_unknown_word_deep_inside_is_refused_and_an_added_one_is_known() -> None:
    listed = sample("InstrumentListed")
    assert isinstance(listed, InstrumentListed)
    schedule = msgspec.structs.replace(listed.fee_schedule, model="acme_flat")
    for record in (
        msgspec.structs.replace(listed, fee_schedule=schedule),
        msgspec.structs.replace(listed, fee_changes=(listed.fee_schedule, schedule)),
    ):
        with pytest.raises(UnknownWordError, match=r"FeeSchedule\.model: no fee_model is called 'acme_flat'"):
            load_codec().encode(record)
        with added_words("fee_model", "acme_flat"):
            assert load_codec().decode(load_codec().encode(record)) == record


@pytest.mark.parametrize("word", ["", "Acme", "two words", "7up"])
def test_a_word_is_a_lower_case_identifier(word: str) -> None:
    with pytest.raises(ValueError, match="lower-case identifier"):
        extend("venue", "acme", word)
    assert "acme" not in words("venue")


@pytest.mark.parametrize("value", [5, None, b"x", "\ud800"])
def test_a_text_field_takes_text_only(value: Any) -> None:
    with pytest.raises(ValueError):
        load_codec().encode(msgspec.structs.replace(REVOKED, operator=value))


def older(record: str, *, dropped: str) -> PinnedSchema:
    schema = deepcopy(read_avsc(record))
    schema["fields"] = [f for f in schema["fields"] if f["name"] != dropped]
    return PinnedSchema(900, record, 0, schema)


def test_bytes_of_an_older_version_are_resolved_to_the_newest() -> None:
    old = older("DeadLetter", dropped="offset")
    now = load_registry()
    codec = Codec(Registry({**now.by_id, 900: old}, now.newest))
    newest = now.newest["DeadLetter"].id
    full = load_codec().decode(bytes.fromhex(f"00{newest:08x}0202610262000206026302ff"))
    body = bytes.fromhex("020261026200026302ff")
    assert codec.decode(b"\x00" + (900).to_bytes(4, "big") + body) == msgspec.structs.replace(full, offset=None)
    assert codec.encode(full) == load_codec().encode(full), "the newest version is written"


def test_a_pinned_schema_without_a_class_is_refused() -> None:
    now = load_registry()
    stray = PinnedSchema(901, "Stray", 1, {"type": "record", "name": "Stray", "fields": []})
    with pytest.raises(RegistryError, match="Stray"):
        Codec(Registry({**now.by_id, 901: stray}, {**now.newest, "Stray": stray}))


def test_a_length_that_is_negative_or_huge_is_corrupt() -> None:
    head = load_codec().encode(REVOKED)[:6]
    for length in ("01", "03", "feffffffffffffffff01", "ffffffffffffffffff01", "ffffffffffffffffffffff01"):
        with pytest.raises(CorruptRecordError):
            load_codec().decode(head + bytes.fromhex(length) + b"abc")
