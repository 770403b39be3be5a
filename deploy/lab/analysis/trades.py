"""Every trade in one row: what was wanted, what came of it, what it cost, what it made, and how long its money is tied up.

Decides how journal records and executions become rows. Formulas are
those of the views `trades`, `entry_edge_vs_realised` and `slippage`. Must never guess: what the records do not say is None.
"""

from collections.abc import Iterable, Mapping

import msgspec

from crossbook.domain.money import MICROS
from deploy.lab.analysis.pnl import TradePnl, cash_of, truncated
from deploy.lab.outcome.outcome import Outcome
from schemas.records import Fill, IntentLeg, IntentSeen, TradeIntent, TradePlan, TradeUpdate

#: States in which both legs are held; `closed` is hedged and final.
HEDGED = frozenset({"hedged", "closed"})
#: An intent whose end of the story lies behind the end of the range.
UNSEEN = "unseen"
YEAR_NS = 365 * 24 * 3600 * 1_000_000_000


class LegRow(msgspec.Struct, frozen=True, kw_only=True):
    """One leg of a trade. Prices in the terms of the outcome bought; slippage is a total, positive is worse than planned."""

    instrument_id: str
    venue: str
    outcome: str
    category: str
    role: str
    quantity_micros: int
    price_planned_micros: int
    price_average_micros: int | None
    slippage_micros: int
    fee_micros: int
    fills: int


class TradeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One intent and what came of it. Amounts micros, times stream time in Unix ns.

    `edge_planned_micros` is the intent's net at the planned quantity; `edge_realised_micros` the payout of what was matched less
    costs, fees, friction and lock-up (None unless both legs are held). `matched_micros` are contracts held on both legs,
    `unwound_contracts_micros` those sold again: a trade can have both. `locked_micros`, `marked_micros` and `unwound_micros` are those of
    `TradePnl`. `capital_micros` is what was paid, fees included, and
    `lockup_ns` how long until the payout is expected. `annualised` is the return on it over a year, simple interest.
    """

    trade_id: str
    intent_id: str
    pair_id: str
    package: str
    category: str
    state: str
    reason: str
    states: tuple[str, ...]
    ts_intent_ns: int
    ts_opened_ns: int | None
    ts_first_fill_ns: int | None
    ts_hedged_ns: int | None
    ts_ended_ns: int | None
    legs: tuple[LegRow, ...]
    quantity_intended_micros: int
    quantity_planned_micros: int
    matched_micros: int
    residual_micros: int
    edge_planned_micros: int
    edge_realised_micros: int | None
    locked_micros: int
    slippage_micros: int
    cash_micros: int
    fee_micros: int
    net_micros: int
    marked_micros: int
    unwound_micros: int
    unwound_contracts_micros: int
    unmatched_micros: int
    capital_micros: int
    lockup_ns: int | None
    annualised: float | None
    fills: tuple[tuple[str, str, str, int, int, int], ...]

    @property
    def filled(self) -> bool:
        """Whether anything was executed that stands."""
        return bool(self.fills)


class _Story(msgspec.Struct):
    """What the records say of one trade."""

    intent: TradeIntent
    plan: TradePlan | None = None
    updates: list[TradeUpdate] = []
    fills: list[Fill] = []


def trade_rows(outcome: Outcome, fills: Iterable[Fill], pnl: Iterable[TradePnl]) -> tuple[TradeRow, ...]:
    """A row for each intent, in the order of the intents. `fills` are those that stand, `pnl` what their trades made."""
    stories: dict[str, _Story] = {one.intent_id: _Story(one) for one in outcome.intents}
    for record in outcome.journal:
        match record:
            case IntentSeen(intent=intent):
                stories.setdefault(intent.intent_id, _Story(intent))
            case TradePlan(intent_id=intent_id) if intent_id in stories:
                stories[intent_id].plan = record
            case TradeUpdate(intent_id=intent_id) if intent_id in stories:
                stories[intent_id].updates.append(record)
            case _:
                pass
    for fill in fills:
        if fill.intent_id in stories:
            stories[fill.intent_id].fills.append(fill)
    by_trade = {one.trade_id: one for one in pnl}
    return tuple(_row(outcome, story, by_trade) for story in stories.values())


def slippage_of(fill: Fill) -> int:
    """What an execution cost more than planned, micros of a dollar; negative is better than planned."""
    worse = fill.price_micros - fill.price_planned_micros
    return truncated((worse if fill.side == "buy" else -worse) * fill.quantity_micros, MICROS)


def _row(outcome: Outcome, story: _Story, by_trade: Mapping[str, TradePnl]) -> TradeRow:
    intent, plan, fills = story.intent, story.plan, story.fills
    last = story.updates[-1] if story.updates else None
    trade_id = last.trade_id if last else plan.trade_id if plan else intent.intent_id
    pnl = by_trade.get(trade_id)
    held = min(last.quantity_a_micros, last.quantity_b_micros) if last else 0
    state = last.state if last else (UNSEEN if plan is None else "proposed")
    entry = realised = None
    if last is not None and state in HEDGED and intent.quantity_micros > 0:
        entry = truncated(intent.payout_micros * held, intent.quantity_micros) - last.cost_micros - last.fee_micros
        extra = intent.friction_micros + intent.lockup_micros
        realised = entry - truncated(extra * held, intent.quantity_micros)
    capital = last.cost_micros + last.fee_micros if last is not None and held > 0 else 0
    hedged_ns = next((update.ts_ns for update in story.updates if update.state in HEDGED), None)
    lockup = _lockup_ns(outcome, intent, hedged_ns) if capital > 0 else None
    gain = None if entry is None else entry - truncated(intent.friction_micros * held, max(intent.quantity_micros, 1))
    return TradeRow(
        trade_id=trade_id,
        intent_id=intent.intent_id,
        pair_id=intent.pair_id,
        package=intent.package,
        category=intent.legs[0].category,
        state=state,
        reason=last.reason if last else "",
        states=tuple(update.state for update in story.updates),
        ts_intent_ns=intent.ts_ns,
        ts_opened_ns=None if plan is None else plan.ts_ns,
        ts_first_fill_ns=fills[0].ts_ns if fills else None,
        ts_hedged_ns=hedged_ns,
        ts_ended_ns=last.ts_ns if last else None,
        legs=tuple(_leg(story, leg) for leg in intent.legs),
        quantity_intended_micros=intent.quantity_micros,
        quantity_planned_micros=plan.quantity_micros if plan else 0,
        matched_micros=held,
        residual_micros=last.residual_micros if last else 0,
        edge_planned_micros=last.edge_micros if last else intent.net_micros,
        edge_realised_micros=realised,
        locked_micros=0 if pnl is None else pnl.locked_micros,
        slippage_micros=sum(slippage_of(fill) for fill in fills),
        cash_micros=sum(map(cash_of, fills)),
        fee_micros=sum(fill.fee_micros for fill in fills),
        net_micros=0 if pnl is None else pnl.net_micros,
        marked_micros=0 if pnl is None else pnl.marked_micros,
        unwound_micros=0 if pnl is None else pnl.unwound_micros,
        unwound_contracts_micros=0 if pnl is None else pnl.unwound_contracts_micros,
        unmatched_micros=0 if pnl is None else pnl.unmatched_micros,
        capital_micros=capital,
        lockup_ns=lockup,
        annualised=None if gain is None or not lockup or capital <= 0 else gain / capital * YEAR_NS / lockup,
        fills=tuple(
            (f.instrument_id, f.outcome, f.side, f.price_micros, f.quantity_micros, f.fee_micros) for f in fills
        ),
    )


def _leg(story: _Story, leg: IntentLeg) -> LegRow:
    own = [fill for fill in story.fills if fill.instrument_id == leg.instrument_id]
    bought = [fill for fill in own if fill.side == "buy" and fill.outcome == leg.outcome]
    quantity = sum(fill.quantity_micros for fill in bought)
    spent = -sum(cash_of(fill) for fill in bought)
    planned = (
        bought[0].price_planned_micros if bought else truncated(leg.cost_micros * MICROS, story.intent.quantity_micros)
    )
    role = "" if story.plan is None else "leader" if story.plan.leader.instrument_id == leg.instrument_id else "hedge"
    return LegRow(
        instrument_id=leg.instrument_id,
        venue=leg.venue,
        outcome=leg.outcome,
        category=leg.category,
        role=role,
        quantity_micros=quantity,
        price_planned_micros=planned,
        price_average_micros=truncated(spent * MICROS, quantity) if quantity else None,
        slippage_micros=sum(slippage_of(fill) for fill in own),
        fee_micros=sum(fill.fee_micros for fill in own),
        fills=len(own),
    )


def _lockup_ns(outcome: Outcome, intent: TradeIntent, hedged_ns: int | None) -> int | None:
    """From both legs held to the later payout: the known one, else the expected one, else the close."""
    if hedged_ns is None:
        return None
    ends: list[int] = []
    for leg in intent.legs:
        settled = outcome.settled.get(leg.instrument_id)
        listed = outcome.instruments.get(leg.instrument_id)
        if settled is not None:
            ends.append(settled[1])
        elif listed is not None and (listed.ts_payout_expected_ns or listed.ts_close_ns):
            ends.append(listed.ts_payout_expected_ns or listed.ts_close_ns or 0)
        else:
            return None
    span = max(ends) - hedged_ns
    return span if span > 0 else None
