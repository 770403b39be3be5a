"""Dead letters are small and encode, whatever they are about."""

import ast

from hypothesis import given
from hypothesis import strategies as st

from crossbook.domain.dead_letters import ERROR_BYTES_MAX, NAME_BYTES_MAX, PAYLOAD_BYTES_MAX, bounded_text, dead_letter
from schemas.codec import load_codec
from tests.builders.places import REPOSITORY as ROOT

CODEC = load_codec()
#: Names, an error and a payload at their bounds, and a few dozen bytes for numbers.
LETTER_BYTES_MAX = PAYLOAD_BYTES_MAX + ERROR_BYTES_MAX + 2 * NAME_BYTES_MAX + 64
ANY_TEXT = st.one_of(
    st.text(st.characters(codec=None), max_size=600),  # lone surrogates included
    st.builds(str.__mul__, st.text(st.characters(codec=None), min_size=1, max_size=3), st.integers(1, 3_000)),
)


@given(stage=ANY_TEXT, source=ANY_TEXT, error=ANY_TEXT, payload=st.binary(max_size=50), times=st.integers(0, 40_000))
def test_any_dead_letter_encodes_within_its_bound(stage, source, error, payload, times):
    letter = dead_letter(
        ts_ns=1, stage=stage, source=source, error=error, payload=payload * times, partition=2, offset=2**62
    )
    encoded = CODEC.encode(letter)
    assert len(encoded) <= LETTER_BYTES_MAX
    assert CODEC.decode(encoded) == letter
    assert (payload * times).startswith(letter.payload)


@given(text=st.text(), bytes_max=st.integers(3, 50))
def test_a_text_is_cut_at_a_character_and_only_where_it_must_be(text, bytes_max):
    cut = bounded_text(text, bytes_max)
    if len(text.encode()) <= bytes_max:
        assert cut == text
    else:
        assert cut.endswith("…") and text.startswith(cut[:-1]) and len(cut.encode()) <= bytes_max


def test_every_stage_builds_its_dead_letters_here():
    elsewhere = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for folder in ("crossbook", "producers", "processors", "executors", "projections", "deploy")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "dead_letters.py" and "DeadLetter(" in (text := path.read_text())
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", getattr(node.func, "attr", "")) == "DeadLetter"
    ]
    assert elsewhere == []
