"""The executor's state, its paper venue and a lane as plain values that JSON can hold, and back.

Decides nothing but what may be left out: a trade at rest, of which nothing can be said any more. Must never lose another part of the
state, and never be silent about an attribute that it does not know: an executor that goes on from an image writes the same bytes
as one that folds from zero.
"""

from collections.abc import Container, Iterable
from typing import Any, Final

import msgspec

from crossbook.market.image import MarketImage, market_image, restore_market
from executors.errors import CheckpointError
from executors.lane import Lane
from executors.machines import MACHINES
from executors.orders.machine import MachineTable
from executors.orders.work import Work
from executors.portfolio.equity import Book, EquityBook, LegSums, Mark, TradeEquity, TradeTerms
from executors.portfolio.halts import Halts
from executors.portfolio.ledger import Account, Ledger, Lot, Place, Position, Reservation
from executors.portfolio.risk import Period, Standing
from executors.state import ExecutorState
from executors.terms import Terms
from schemas.records import (
    ExecutorConfigured,
    ListingSeen,
    Outcome,
    Scope,
    TopSeen,
    TradeState,
    TradingState,
    Venue,
)

#: States in which a trade may be at rest.
_RESTING: Final = frozenset[TradeState]({"closed", "flat"})


class LotImage(msgspec.Struct, frozen=True):
    """A Lot of a Position."""

    trade_id: str
    quantity_micros: int
    cost_micros: int
    paid_quantity_micros: int
    paid_micros: int


class PositionImage(msgspec.Struct, frozen=True):
    """A Position of the ledger; its sums follow from the lots."""

    outcome: Outcome
    place: Place
    lots: tuple[LotImage, ...]


class LedgerImage(msgspec.Struct, frozen=True):
    """A Ledger; its sums by instrument, category and venue follow from positions and reservations."""

    spent: tuple[tuple[Account, int], ...]
    positions: tuple[PositionImage, ...]
    reservations: dict[str, Reservation]
    realised_by_venue: dict[Venue, int]
    payouts: dict[str, int]


class TradeEquityImage(msgspec.Struct, frozen=True):
    """A TradeEquity; what it is worth follows from marks and payouts."""

    trade_id: str
    terms: TradeTerms
    legs: tuple[LegSums, LegSums]
    fee_micros: int


class EquityImage(msgspec.Struct, frozen=True):
    """An EquityBook without the trades at rest that nothing can move any more."""

    trades: tuple[TradeEquityImage, ...]
    marks: tuple[tuple[Book, Mark], ...]
    payouts: dict[str, int]


class HaltsImage(msgspec.Struct, frozen=True):
    """Halts."""

    words: tuple[tuple[Scope, str, TradingState], ...]
    killed: bool
    fault: str
    revoked: tuple[str, ...]
    held: dict[Venue, tuple[str, ...]]


class StandingImage(msgspec.Struct, frozen=True):
    """A Standing."""

    portfolio: str
    ledger: LedgerImage
    equity: EquityImage
    halts: HaltsImage
    errors_in_row: dict[Venue, int]
    breaker_until_ns: dict[Venue, int]
    changes: dict[Period, dict[int, int]]
    pairs: dict[str, tuple[str, str]]
    working_pairs: dict[str, int]


class WorkImage(msgspec.Struct, frozen=True):
    """A Work, as its machine's class has it: `intent` names the kind that it came of."""

    intent: str
    work: dict[str, Any]


class StateImage(msgspec.Struct, frozen=True):
    """An ExecutorState without its trades at rest."""

    next_sequence: int
    life: int
    configured: ExecutorConfigured | None
    terms: Terms
    overrides: dict[str, int]
    standing: StandingImage
    trades: tuple[WorkImage, ...]
    working: dict[int, tuple[str, ...]]
    timed: dict[int, tuple[str, ...]]
    tops_before: dict[str, tuple[TopSeen, ...]]
    listings_before: dict[str, tuple[ListingSeen, ...]]
    intents_seen: dict[int, int]
    positions: dict[int, int]
    controls_applied: int
    lagging: bool


class LaneImage(msgspec.Struct, frozen=True):
    """A Lane between two steps; `venue` is what its gateway wrote. What waits in it for a proof is read again from its topics, so it is no part of this."""

    partition: int
    market: MarketImage
    venue: msgspec.Raw


def _opened(thing: object, known: Iterable[str]) -> dict[str, Any]:
    """All attributes of a thing by name. Raises CheckpointError when they are not the known ones."""
    names = set(getattr(type(thing), "__slots__", ())) or set(vars(thing))
    if names != set(known):
        raise CheckpointError(
            f"{type(thing).__name__} has the attributes {sorted(names)}, its image knows {sorted(known)}; "
            "mend executors/recovery/image.py and raise FORMAT_VERSION in executors/recovery/checkpoint.py"
        )
    return {name: getattr(thing, name) for name in names}


# State

_STATE: Final = ("machines", *StateImage.__struct_fields__)
_STANDING: Final = StandingImage.__struct_fields__
_LEDGER_SUMS: Final = ("_by_category", "_by_instrument", "_reserved")
_LEDGER: Final = ("_spent", "payouts", "positions", "realised_by_venue", "reservations", *_LEDGER_SUMS)
_POSITION: Final = ("cost_micros", "lots", "outcome", "place", "quantity_micros")
_LOT: Final = ("cost_micros", "paid_micros", "paid_quantity_micros", "quantity_micros")
_EQUITY: Final = ("exposed", "marks", "payouts", "trades")
_TRADE_EQUITY: Final = ("equity_micros", "fee_micros", "legs", "terms")


def state_image(state: ExecutorState, active: Iterable[str]) -> StateImage:
    """The image of a state with the trades named, in the order of the state's."""
    held = _opened(state, _STATE)
    kept = set(active)
    del held["machines"]
    return StateImage(
        **held
        | {
            "standing": _standing_image(state.standing, kept),
            "trades": tuple(_work_image(trade) for trade_id, trade in state.trades.items() if trade_id in kept),
            "working": {number: tuple(ids) for number, ids in state.working.items()},
            "timed": {number: tuple(ids) for number, ids in state.timed.items()},
            "tops_before": {key: tuple(tops.values()) for key, tops in state.tops_before.items()},
        }
    )


def restore_state(image: StateImage, machines: MachineTable = MACHINES) -> ExecutorState:
    """The state of an image, for the machines that it was taken with. Raises CheckpointError when one of them is not here."""
    state = ExecutorState(machines)
    for name in ("next_sequence", "life", "configured", "terms", "controls_applied", "lagging"):
        setattr(state, name, getattr(image, name))
    state.overrides = dict(image.overrides)
    works = [_restore_work(one, machines) for one in image.trades]
    state.trades = {work.trade_id: work for work in works}
    state.working = {number: dict.fromkeys(ids) for number, ids in image.working.items()}
    state.timed = {number: dict.fromkeys(ids) for number, ids in image.timed.items()}
    state.tops_before = {key: {top.instrument_id: top for top in tops} for key, tops in image.tops_before.items()}
    state.listings_before = dict(image.listings_before)
    state.intents_seen = dict(image.intents_seen)
    state.positions = dict(image.positions)
    _restore_standing(state.standing, image.standing)
    return state


def _work_image(work: Work) -> WorkImage:
    return WorkImage(type(work.intent).__name__, msgspec.to_builtins(work))


def _restore_work(image: WorkImage, machines: MachineTable) -> Work:
    classes = {intent.__name__: machine.work for intent, machine in machines.items()}
    if image.intent not in classes:
        raise CheckpointError(f"it holds a work of {image.intent}, for which there is no machine here")
    work: Work = msgspec.convert(image.work, classes[image.intent])
    return work


def is_at_rest(trade: Work, busy: frozenset[str]) -> bool:
    """Whether nothing can be said of a trade any more; `busy` are the trades that the venue still has something of.

    Every report of the paper venue stands in its queue from the match on, so this is certain. A real venue can answer late: its
    gateway must keep a trade out of rest until the windows for that are over.
    """
    return (
        trade.state in _RESTING
        and trade.trade_id not in busy
        and not trade.timers
        and not trade.held_back
        and trade.live_order is None
        and trade.final
    )


def _standing_image(standing: Standing, kept: Container[str]) -> StandingImage:
    held = _opened(standing, _STANDING)
    parts = {
        "ledger": _ledger_image(standing.ledger, kept),
        "equity": _equity_image(standing.equity, kept),
        "halts": _halts_image(standing.halts),
    }
    return StandingImage(**held | parts)


def _restore_standing(standing: Standing, image: StandingImage) -> None:
    standing.portfolio = image.portfolio
    _restore_halts(standing.halts, image.halts)
    for name in ("errors_in_row", "breaker_until_ns", "pairs", "working_pairs"):
        setattr(standing, name, dict(getattr(image, name)))
    standing.changes = {period: dict(sums) for period, sums in image.changes.items()}
    _restore_ledger(standing.ledger, image.ledger)
    _restore_equity(standing.equity, image.equity)


def _halts_image(halts: Halts) -> HaltsImage:
    held = _opened(halts, HaltsImage.__struct_fields__)
    return HaltsImage(
        words=tuple((scope, value, state) for (scope, value), state in halts.words.items()),
        killed=held["killed"],
        fault=held["fault"],
        revoked=tuple(halts.revoked),
        held={venue: tuple(trades) for venue, trades in halts.held.items()},
    )


def _restore_halts(halts: Halts, image: HaltsImage) -> None:
    halts.words = {(scope, value): state for scope, value, state in image.words}
    halts.killed = image.killed
    halts.fault = image.fault
    halts.revoked = dict.fromkeys(image.revoked)
    halts.held = {venue: dict.fromkeys(trades) for venue, trades in image.held.items()}


def _ledger_image(ledger: Ledger, kept: Container[str]) -> LedgerImage:
    held = _opened(ledger, _LEDGER)
    positions = []
    for _, position in sorted(ledger.positions.items()):  # one that was left out comes back at another place
        parts = _opened(position, _POSITION)
        lots = tuple(
            LotImage(trade_id=trade_id, **_opened(lot, _LOT))
            for trade_id, lot in sorted(position.lots.items())
            if lot.quantity_micros or trade_id in kept
        )
        if lots:
            positions.append(PositionImage(parts["outcome"], parts["place"], lots))
    return LedgerImage(
        spent=tuple(held["_spent"].items()),
        positions=tuple(positions),
        reservations=ledger.reservations,
        realised_by_venue=ledger.realised_by_venue,
        payouts=ledger.payouts,
    )


def _restore_ledger(ledger: Ledger, image: LedgerImage) -> None:
    for key, reservation in image.reservations.items():
        ledger.reserve(key, reservation.place, reservation.amount_micros)
    for one in image.positions:
        position = ledger.positions[one.place.instrument_id, one.outcome] = Position(one.place, one.outcome)
        for held in one.lots:
            lot = position.lots[held.trade_id] = Lot()
            for name in _LOT:
                setattr(lot, name, getattr(held, name))
        ledger.restore_sums(position)
    _put(ledger, "_spent", dict(image.spent))
    ledger.realised_by_venue = dict(image.realised_by_venue)
    ledger.payouts = dict(image.payouts)


def _equity_image(book: EquityBook, kept: Container[str]) -> EquityImage:
    held = _opened(book, _EQUITY)
    trades = []
    for trade_id, trade in book.trades.items():
        if trade_id in kept or not book.is_spent(trade_id):
            parts = _opened(trade, _TRADE_EQUITY)
            legs = (parts["legs"][0], parts["legs"][1])
            trades.append(TradeEquityImage(trade_id, parts["terms"], legs, parts["fee_micros"]))
    return EquityImage(tuple(trades), tuple(held["marks"].items()), held["payouts"])


def _restore_equity(book: EquityBook, image: EquityImage) -> None:
    book.marks, book.payouts = dict(image.marks), dict(image.payouts)
    for one in image.trades:
        trade = TradeEquity(one.terms)
        trade.legs, trade.fee_micros = list(one.legs), one.fee_micros
        book.adopt(one.trade_id, trade)


def _put(thing: object, name: str, value: object) -> None:
    """Set an attribute that its owner keeps to itself: an image is of the whole."""
    setattr(thing, name, value)


# Lanes


def lane_image(lane: Lane) -> LaneImage:
    """The image of a lane between two steps."""
    return LaneImage(lane.partition, market_image(lane.market), lane.venue.image())


def restore_lane(lane: Lane, image: LaneImage) -> None:
    """Bring a fresh lane to where the image stands."""
    restore_market(lane.market, image.market)
    lane.venue.restore(image.venue)
    lane.position = image.market.position
