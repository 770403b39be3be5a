"""Open vocabularies: the words that a text field of a record may hold, declared once.

A set that a later venue, strategy or machine extends is text in Avro, with its vocabulary named beside it, because a new symbol
of an Avro enum would be refused by every reader that does not know it yet. The codec checks each word in both directions, so an
unknown one fails closed by its name. Sets that are final (side, outcome, direction) are enums and stand in `records/base.py`.

`extend` adds words for this process: a plug-in calls it before its first record is written or read, in every process that
reads such records.
"""

from collections.abc import KeysView
from typing import Any, Final, NamedTuple

from pydantic_core import CoreSchema, core_schema

#: {vocabulary: its words, in the order in which they are shown}.
VOCABULARIES: Final[dict[str, dict[str, None]]] = {
    name: dict.fromkeys(listed)
    for name, listed in (
        ("venue", ("polymarket", "kalshi")),
        ("delivery", ("streaming", "polled")),
        ("feed_state", ("live", "resync", "down", "ended")),
        ("instrument_status", ("active", "paused", "closed")),
        ("crossed_book", ("broken", "suspended")),
        ("fee_model", ("kalshi_quadratic", "polymarket_curve", "free")),
        ("rounding", ("half_up", "floor", "ceil")),
        ("order_type", ("marketable", "resting")),
        ("relation", ("identity", "complement")),
        ("payout_outcome", ("yes", "no", "void", "tie", "cancelled", "postponed")),
        ("package", ("yes_a_no_b", "no_a_yes_b", "yes_a_yes_b", "no_a_no_b")),
        ("edge_state", ("opened", "changed", "closed", "suspended")),
        ("time_in_force", ("fill_or_kill", "immediate_or_cancel")),
        ("role", ("leader", "hedge", "unwind")),
        (
            "order_status",
            (
                "requested",
                "accepted",
                "delayed",
                "partially_filled",
                "filled",
                "canceled",
                "rejected",
                "expired",
                "unknown",
            ),
        ),
        (
            "trade_state",
            ("proposed", "declined", "leading", "hedging", "unwinding", "hedged", "flat", "stuck", "closed"),
        ),
        ("timer_kind", ("order_timeout", "retry", "adverse", "finality")),
        ("liquidity", ("taker", "maker")),
        ("finality", ("provisional", "final")),
        ("trading_state", ("running", "reduce_only", "halted")),
        ("scope", ("all", "venue", "category", "pair", "strategy", "portfolio")),
        ("quote_mode", ("both", "reduce_only")),
        ("sizing", ("fixed", "kelly")),
        ("latency_kind", ("tick_to_plan", "hedge")),
    )
}


class Word(NamedTuple):
    """Marks a text field as a word of a vocabulary: `Annotated[str, Word("venue")]`. The codec and pydantic models check it."""

    vocabulary: str

    def check(self, word: str) -> str:
        """The word itself. Raises ValueError: it is none of the vocabulary."""
        if word not in VOCABULARIES[self.vocabulary]:
            raise ValueError(f"{word!r} is no {self.vocabulary}; known are {', '.join(VOCABULARIES[self.vocabulary])}")
        return word

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> CoreSchema:
        """How pydantic models of files and settings check such a field."""
        return core_schema.no_info_after_validator_function(self.check, handler(source))


def words(vocabulary: str) -> KeysView[str]:
    """Words of a vocabulary, in order. The view is live: words that are added later are in it.

    Raises:
        KeyError: there is no such vocabulary.
    """
    return VOCABULARIES[vocabulary].keys()


def extend(vocabulary: str, *added: str) -> None:
    """Add words to a vocabulary, for this process; a word that is known already stays where it is.

    Raises:
        KeyError: there is no such vocabulary.
        ValueError: a word is no lower-case identifier.
    """
    known = VOCABULARIES[vocabulary]
    for word in added:
        if not word.isidentifier() or word != word.lower():
            raise ValueError(f"{vocabulary}: a word is a lower-case identifier, not {word!r}")
    known.update(dict.fromkeys(added))
