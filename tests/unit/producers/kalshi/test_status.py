"""What an answer of the exchange means, what silence means, and when there is news."""

import json
from typing import Any

import pytest

from producers.feeds.fields import parse_json
from producers.kalshi.status import NOT_ASKED, ExchangeStatus

SECOND = 10**9
AT = 1_780_000_000 * SECOND
ACTIVE = {"exchange_active": True, "trading_active": True}


def shard(index: Any, *, exchange: Any = True, trading: Any = True) -> dict[str, Any]:
    return {"exchange_index": index, "exchange_active": exchange, "trading_active": trading}


def text(body: Any) -> Any:
    return parse_json(json.dumps(body).encode(), "test")


#: name: (body, (exchange, trading, shards halted), a part of the reason)
ANSWERS = {
    "it trades": (ACTIVE, (True, True, ()), ""),
    "with its shards": (ACTIVE | {"exchange_index_statuses": [shard(0), shard(2)]}, (True, True, ()), ""),
    "trading paused": (ACTIVE | {"trading_active": False}, (True, False, ()), "trading is paused"),
    "exchange paused": (ACTIVE | {"exchange_active": False}, (False, True, ()), "exchange is paused"),
    "one shard": (
        ACTIVE | {"exchange_index_statuses": [shard(3, trading=False), shard(0), shard(1, exchange=False)]},
        (True, True, (1, 3)),
        "shards 1, 3",
    ),
    "all of it and its shards": (
        ACTIVE | {"trading_active": False, "exchange_index_statuses": [shard(0, trading=False)]},
        (True, False, (0,)),
        "trading is paused",
    ),
    "a flag is missing": ({"exchange_active": True}, (False, False, ()), "another form"),
    "a flag is null": (ACTIVE | {"trading_active": None}, (False, False, ()), "another form"),
    "a flag is text": (ACTIVE | {"trading_active": "true"}, (False, False, ()), "another form"),
    "a flag is a number": (ACTIVE | {"trading_active": 1}, (False, False, ()), "another form"),
    "a shard without a flag": (
        ACTIVE | {"exchange_index_statuses": [{"exchange_index": 0}]},
        (False, False, ()),
        "another form",
    ),
    "a shard without a number": (
        ACTIVE | {"exchange_index_statuses": [shard(None)]},
        (False, False, ()),
        "another form",
    ),
    "shards are no list": (ACTIVE | {"exchange_index_statuses": {"0": True}}, (False, False, ()), "another form"),
    "no object": ([], (False, False, ()), "another form"),
    "null": (None, (False, False, ()), "another form"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer(name: str) -> None:
    body, expected, reason = ANSWERS[name]
    word = ExchangeStatus(10 * SECOND).answered(text(body), AT)
    assert word is not None
    assert (word.exchange_active, word.trading_active, word.shards_halted) == expected
    assert (reason in word.reason) if reason else not word.reason


def test_before_the_first_answer_it_does_not_trade() -> None:
    status = ExchangeStatus(10 * SECOND)
    word = status.due(AT)
    assert (word.trading_active, word.reason) == (False, NOT_ASKED)
    assert status.due(AT + SECOND) is None
    assert status.answered(text(ACTIVE), AT + 2 * SECOND).trading_active


def test_only_news_is_written_and_silence_is_news() -> None:
    status = ExchangeStatus(10 * SECOND)
    assert status.answered(text(ACTIVE), AT) is not None
    assert [status.answered(text(ACTIVE), AT + s * SECOND) for s in (2, 4)] == [None, None]
    assert status.due(AT + 14 * SECOND) is None
    silent = status.due(AT + 15 * SECOND)
    assert (silent.trading_active, "not said for 10 s" in silent.reason) == (False, True)
    assert status.due(AT + 17 * SECOND) is None
    again = status.answered(text(ACTIVE), AT + 19 * SECOND)
    assert (again.trading_active, again.reason) == (True, "")


def test_the_next_pauses_stand_in_every_word() -> None:
    status = ExchangeStatus(10**18)
    word = status.answered(text(ACTIVE | {"exchange_estimated_resume_time": "2026-06-01T00:00:00Z"}), AT)
    assert len(word.pauses) == 2 and word.ts_resume_ns is not None
    first = word.pauses[0]
    news = status.due(first.ts_end_ns)
    assert news.pauses[0] == word.pauses[1]


def test_a_keyframe_repeats_and_a_gap_in_the_log_says_it_anew() -> None:
    status = ExchangeStatus(10 * SECOND)
    assert status.keyframe(AT) is None
    said = status.answered(text(ACTIVE), AT)
    repeated = status.keyframe(AT + 5)
    assert repeated.keyframe and repeated.pauses == said.pauses
    status.repeat()
    assert not status.due(AT + 6).keyframe
