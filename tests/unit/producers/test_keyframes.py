"""What is repeated: settings, what venues say of themselves, instruments with their pairs and books; as news after a block."""

import asyncio

from producers.keyframes import Keyframes
from producers.relay import Word
from schemas.records import FrictionPack, InstrumentListed, MarketConfigured, PairListed, StrategyConfigured
from tests.builders.producers.announced import ANNOUNCED
from tests.builders.producers.listings import make_listing
from tests.builders.producers.senders import MemorySender
from tests.builders.producers.stages import ingest
from tests.builders.producers.universes import approved

A, B = make_listing("polymarket", "0xa"), make_listing("kalshi", "KXB")


class Status:
    """A venue's word; keeps how it was asked to repeat it."""

    def __init__(self):
        self.asked = []

    async def run(self):
        await asyncio.sleep(0)

    def keyframe(self, *, whole=False):
        self.asked.append(whole)


def parts():
    sender, status = MemorySender(), Status()
    one = ingest(sender, 1)
    keyframes = Keyframes(one.settings.friction, one.writer, one.universe, one.router, one.relay, [status], one.stamp)
    one.router.accept(A)
    one.router.accept(B)
    one.relay.hear([Word(0, ANNOUNCED, b""), Word(1, approved("polymarket:0xa", "kalshi:KXB"), b"")])
    sender.sent.clear()
    return sender, status, keyframes


def kinds(sender):
    return [type(record) for record in sender.records()]


def test_after_a_block_everything_but_books_is_said_as_news():
    sender, status, keyframes = parts()
    keyframes.whole()
    assert status.asked == [True]
    assert kinds(sender)[:2] == [FrictionPack, StrategyConfigured]
    assert {MarketConfigured, InstrumentListed, PairListed} <= set(kinds(sender)[2:])
    assert not any(getattr(record, "keyframe", False) for record in sender.records())


def test_a_keyframe_repeats_an_instrument_and_its_pairs():
    sender, status, keyframes = parts()
    keyframes.instrument(A.instrument_id)
    assert status.asked == []
    assert all(record.keyframe for record in sender.records())
    assert InstrumentListed in kinds(sender)


def test_everything_is_repeated_once_an_interval():
    async def run():
        sender, status, keyframes = parts()
        running = asyncio.create_task(keyframes.run(0.3))
        async with asyncio.timeout(20):
            while len(status.asked) < 2 or kinds(sender).count(InstrumentListed) < 4:  # noqa: ASYNC110 - records are awaited
                await asyncio.sleep(0.02)
        running.cancel()
        return status.asked, {r.instrument_id for r in sender.records() if isinstance(r, InstrumentListed)}

    asked, listed = asyncio.run(run())
    assert set(asked) == {False}
    assert listed == {A.instrument_id, B.instrument_id}
