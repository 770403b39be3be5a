"""How a record from before the break reads after it: renamed and added, declared here and nowhere else.

A record is its name and its fields as plain values. `forward` maps one forward; `masked` says which values are not compared, because
they name code or schemas, not what was decided. Must never hide a value that a decision rests on.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Self

import msgspec

from crossbook.venues.policies import POLICIES

Fields = dict[str, Any]
Row = tuple[str, Fields]

#: Settings of the cross-venue strategy: what of DecideConfigured stands in StrategyConfigured since.
PAIR_SETTINGS: Final = (
    "close_window_ns",
    "cooldown_ns",
    "cost_max_micros",
    "edge_change_micros",
    "game_start_window_ns",
    "intent_valid_ns",
    "min_edge_micros",
)

#: Records of an executor that name a trade, and all of its records.
OF_TRADES: Final = (
    "IntentSeen", "TimerFired", "TopSeen", "ListingSeen", "TradePlan", "OrderRequested", "OrderSent", "OrderReport", "TradeUpdate",
    "VenueHeld", "LatencyObserved", "Fill", "FillConfirmed", "FillReversed",
)  # fmt: skip
OF_EXECUTORS: Final = ("ExecutorConfigured", "ControlApplied", "PayoutBooked", *OF_TRADES)
#: Fields of an executor's records that hold an id, and what it begins with now and began with before.
IDS: Final[dict[str, tuple[str, str]]] = {
    "trade_id": ("main-", ""),
    "order_id": ("main-", ""),
    "report_id": ("main-", ""),
    "fill_id": ("main-", ""),
    "venue_order_id": ("paper-main-", "paper-"),
}
#: Old record name → new one.
RENAMED_RECORDS: Final[dict[str, str]] = {"DecideConfigured": "MarketConfigured", "EdgeQuote": "EdgeUpdate"}
#: (old record name, old field) → new field.
RENAMED_FIELDS: Final[dict[tuple[str, str], str]] = {}
#: (old record name, new field) → the value that every record of before has.
ADDED_FIELDS: Final[dict[tuple[str, str], Any]] = {
    **{(record, "strategy"): "cross_venue" for record in ("TradeIntent", *OF_TRADES)},
    **{(record, "portfolio"): "main" for record in OF_EXECUTORS},
    **{(record, "life"): 0 for record in OF_EXECUTORS},
    ("OrderRequested", "replaces"): "",
    ("EdgeQuote", "strategy"): "cross_venue",
    ("EdgeStatistics", "strategy"): "cross_venue",
    ("ExecutorConfigured", "strategies"): [],
}
#: (old record name, new field) → the value that the fields of before imply.
IMPLIED_FIELDS: Final[dict[tuple[str, str], Callable[[Fields], Any]]] = {
    ("InstrumentListed", "policy"): lambda fields: msgspec.to_builtins(POLICIES[fields["venue"]]),
}
#: (name of a nested part, new field of it) → the value that the part's fields of before imply.
IMPLIED_PARTS: Final[dict[tuple[str, str], Callable[[Fields], Any]]] = {
    (leg, "lead_rank"): lambda part: POLICIES[part["venue"]].lead_rank for leg in ("leg_a", "leg_b")
}
#: Records whose fields leg_a and leg_b are legs[0] and legs[1].
LEGS: Final[frozenset[str]] = frozenset({"TradeIntent"})
#: (old record name, field) → the record that stands in that field.
NESTED: Final[dict[tuple[str, str], str]] = {("IntentSeen", "intent"): "TradeIntent"}
#: (old record name, its action) → the record of its own that says so now, and the fields that are kept: old → new.
UNMASKED: Final[dict[tuple[str, str], tuple[str, dict[str, str]]]] = {
    ("ControlApplied", "InstrumentSettled"): (
        "PayoutBooked",
        {"sequence": "sequence", "ts_ns": "ts_ns", "name": "instrument_id", "value_micros": "payout_yes_micros"},
    ),
}
#: (new record name, field) → why it is not compared.
MASKED: Final[dict[tuple[str, str], str]] = {
    ("MarketConfigured", "code_digest"): "names the code of decide",
    ("StrategyConfigured", "code_digest"): "names the code of decide",
    ("ExecutorConfigured", "code_digest"): "names the code of the executor",
    ("PayoutBooked", "partition"): "a payout of before named no place",
    ("PayoutBooked", "position"): "a payout of before named no place",
}


class Known(NamedTuple):
    """What `market` says that records of other topics name since: legs by pair, and which ids are references."""

    legs: dict[str, tuple[str, str]]
    references: frozenset[str]

    @classmethod
    def of(cls, market: Iterable[Row]) -> Self:
        """Read it from the rows of `market`."""
        legs: dict[str, tuple[str, str]] = {}
        references: set[str] = set()
        for record, fields in market:
            if record == "PairListed":
                legs.setdefault(fields["pair_id"], (fields["instrument_a"], fields["instrument_b"]))
            elif record == "ReferencePrice":
                references.add(fields["reference_id"])
        return cls(legs, frozenset(references))


NOTHING_KNOWN: Final = Known({}, frozenset())


def forward_all(rows: Iterable[Row], known: Known = NOTHING_KNOWN) -> Iterator[Row]:
    """Rows of a topic after the break. Where DecideConfigured became two records, the first stands where its place was held."""
    held: Row | None = None
    for row in rows:
        if held is not None:
            split = held[0] == "FrictionPack" and row[0] == "DecideConfigured"
            yield _strategy_configured(row[1]) if split else _named(held, known)
        held = row
    if held is not None:
        yield _named(held, known)


def _named(row: Row, known: Known) -> Row:
    record, fields = row
    if record == "EdgeQuote":
        a, b = known.legs[fields["pair_id"]]
        fields = fields | {"instrument_a": a, "instrument_b": b}
    elif record == "TopOfBook" and fields["instrument_id"] in known.references:
        fields = {"reference_id" if name == "instrument_id" else name: value for name, value in fields.items()}
        return "ReferenceTop", fields
    return forward(record, fields)


def _strategy_configured(fields: Fields) -> Row:
    kept = {name: fields[name] for name in ("ts_received_ns", "code_digest", "control_offset")}
    settings = [{"name": name, "value": str(fields[name])} for name in PAIR_SETTINGS]
    return "StrategyConfigured", kept | {"strategy": "cross_venue", "version": "1", "settings": settings}


def forward(record: str, fields: Fields) -> Row:
    """Name and fields after the break."""
    if record == "DecideConfigured":
        fields = {name: value for name, value in fields.items() if name not in PAIR_SETTINGS}
    fields = _with_parts(fields)
    if (record, fields.get("action")) in UNMASKED:
        record, kept = UNMASKED[record, fields["action"]]
        fields = {new: fields[old] for old, new in kept.items()}
    mapped = {RENAMED_FIELDS.get((record, name), name): value for name, value in fields.items()}
    for (of, name), inner in NESTED.items():
        if of == record:
            _, mapped[name] = forward(inner, mapped[name])
    if record == "ExecutorConfigured" and "settings" in mapped:
        mapped |= _terms(json.loads(mapped.pop("settings")))
    if record in OF_EXECUTORS:
        mapped = {name: _with_portfolio(name, value) for name, value in mapped.items()}
    if record in LEGS and "leg_a" in mapped:
        mapped["legs"] = [mapped.pop("leg_a"), mapped.pop("leg_b")]
    if record == "TradePlan" and "slots" in mapped:
        mapped |= _bounds(mapped)
        del mapped["slots"]
    for (of, name), value in ADDED_FIELDS.items():
        if of == record:
            mapped.setdefault(name, value)
    for (of, name), implied in IMPLIED_FIELDS.items():
        if of == record:
            mapped[name] = implied(fields)
    return RENAMED_RECORDS.get(record, record), mapped


def _with_parts(fields: Fields) -> Fields:
    """The fields, with what is implied added to every nested part."""
    found = dict(fields)
    for name, value in fields.items():
        if isinstance(value, dict):
            found[name] = _with_parts(value)
            found[name] |= {new: implied(value) for (part, new), implied in IMPLIED_PARTS.items() if part == name}
    return found


def _terms(settings: Fields) -> Fields:
    """Settings as fields; before they were JSON in a string, a distribution as pairs and left out where there was none."""
    paper = settings["paper"]
    for name in ("decide_quantiles", "wire_quantiles", "report_quantiles"):
        paper[name] = [{"share_ppm": share, "latency_ns": ns} for share, ns in paper.get(name, ())]
    execute = settings["execute"]
    each = execute.pop("cash_per_venue_micros")
    execute["cash_micros"] = [{"venue": venue, "cash_micros": each} for venue in POLICIES]
    return {"execute": execute, "paper": paper}


def _with_portfolio(name: str, value: Any) -> Any:
    """A field with the portfolio in every id that it holds."""
    if isinstance(value, dict):
        return {inner: _with_portfolio(inner, one) for inner, one in value.items()}
    if isinstance(value, list):
        return [_with_portfolio(name, one) for one in value]
    if name not in IDS or not value or value.startswith(IDS[name][0]):
        return value
    now, before = IDS[name]
    return now + value.removeprefix(before)


def _bounds(plan: Fields) -> Fields:
    """Leader and bounds of a plan that listed every order: one bound for the orders of a role, leg and side, in their order."""
    leader = plan["leader"]
    groups: dict[tuple[Any, ...], list[Fields]] = {}
    for slot in (leader, *plan["slots"]):
        groups.setdefault((slot["role"], slot["instrument_id"], slot["outcome"], slot["side"]), []).append(slot)
    found = []
    for slots in groups.values():
        first = slots[0]
        leg = "leader" if all(first[name] == leader[name] for name in ("instrument_id", "outcome")) else "hedge"
        kept = {name: value for name, value in first.items() if name not in {"order_id", "attempt"}}
        found.append(kept | {"leg": leg, "attempt_first": first["attempt"], "attempts_max": len(slots)})
    return {"leader": found[0], "bounds": found[1:]}


def masked(record: str, fields: Fields) -> Fields:
    """The fields that are compared."""
    return {name: value for name, value in fields.items() if (record, name) not in MASKED}


def table() -> list[str]:
    """The mapping as lines for people."""
    typed = ["ExecutorConfigured.settings, JSON in a string → execute, paper"]
    sections: list[tuple[str, list[str]]] = [
        ("renamed records", [f"{old} → {new}" for old, new in RENAMED_RECORDS.items()]),
        ("renamed fields", [f"{record}.{old} → {new}" for (record, old), new in RENAMED_FIELDS.items()]),
        ("added fields", [f"{record}.{name} = {value!r}" for (record, name), value in ADDED_FIELDS.items()]),
        ("implied fields", [f"{of}.{name}: by the other fields" for of, name in (*IMPLIED_FIELDS, *IMPLIED_PARTS)]),
        ("fields of their own", typed),
        ("ids", [f"{name}: {before or 'nothing'} → {now}" for name, (now, before) in IDS.items()]),
        ("split", [f"DecideConfigured.{name} → StrategyConfigured.settings" for name in PAIR_SETTINGS]),
        (
            "named",
            ["EdgeQuote.pair_id → EdgeUpdate.instrument_a, instrument_b", "TopOfBook of a reference → ReferenceTop"],
        ),
        ("legs", [f"{record}.leg_a, leg_b → legs[0], legs[1]" for record in sorted(LEGS)]),
        ("records of their own", [f"{old} {action} → {new}" for (old, action), (new, _) in UNMASKED.items()]),
        ("plans", ["TradePlan.slots → bounds: one for the orders of a role, leg and side"]),
        ("not compared", [f"{record}.{name}: {why}" for (record, name), why in MASKED.items()]),
    ]
    return [line for title, rows in sections for line in (f"{title}:", *(f"  {row}" for row in rows or ["none"]))]
