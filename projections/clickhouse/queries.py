"""What the demo and people's tools read from ClickHouse: one statement a function, small structs out.

Decides the questions, never the answers: the formulas are in `sql/views.sql`. It must never write, so the read-only user is enough.
`client` is anything with clickhouse_connect's `query`; `database` is `ClickHouseSettings.database(prefix)`.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple, Protocol

from projections.clickhouse.ddl import CURRENT, quoted

#: States in which a trade is hedged; `closed` is hedged and final.
HEDGED = ("hedged", "closed")
#: Columns of `pnl_total` in the order of PnlTotals.
_PNL_COLUMNS = ("gross_micros", "fees_micros", "net_micros", "locked_micros", "marked_micros", "unwound_net_micros")


class Result(Protocol):
    """Answer of a query."""

    @property
    def result_rows(self) -> Sequence[Sequence[Any]]:
        """The rows."""
        ...


class Client(Protocol):
    """The one call of clickhouse_connect's client that is used here."""

    def query(self, query: str) -> Result:
        """Run one statement."""
        ...


class MarketCounts(NamedTuple):
    """Events of `market`: book updates without repeated ones, repeated ones, trades of others."""

    updates: int
    keyframes: int
    trades: int


class EdgeCount(NamedTuple):
    """Counters of one package since the log began; `net_best_micros` is per contract, None before the first gross > 0."""

    pair_id: str
    package: str
    evaluations: int
    gross_positive: int
    net_positive: int
    episodes: int
    at_threshold: int
    episodes_at_threshold: int
    net_best_micros: int | None


class EdgeTotals(NamedTuple):
    """Sums over all packages. `edges` are runs of evaluations with net > 0, `edges_at_threshold` those at the threshold."""

    evaluations: int
    gross_positive: int
    net_positive: int
    edges: int
    at_threshold: int
    edges_at_threshold: int
    net_best_micros: int | None


class EdgeSeen(NamedTuple):
    """One quote at or above the threshold."""

    pair_id: str
    package: str
    ts_ns: int


class TradeCounts(NamedTuple):
    """Trades by their last state. `unwound` is flat after a fill, `unfilled` flat without one; the rest is `open`.

    `partial_orders` are orders that ended between nothing and everything. `residual_micros` is the largest unmatched quantity of one
    trade, micros of a contract; `residual_total_micros` the sum over trades.
    """

    intents: int
    hedged: int
    unwound: int
    unfilled: int
    declined: int
    stuck: int
    open: int
    fills: int
    partial_orders: int
    residual_micros: int
    residual_total_micros: int
    first_hedged_append_ms: int | None


class PnlTotals(NamedTuple):
    """PnL of everything, micros of a dollar: net = gross - fees = locked + marked.

    `locked` is what no price can change any more (matched contracts at their worst payout, sales, payouts), `unwound` the part of it
    that selling contracts again made or lost; `marked` is what unmatched contracts are worth at mark, less what they cost.
    """

    gross: int
    fees: int
    net: int
    locked: int
    marked: int
    unwound: int


class TradeStates(NamedTuple):
    """Trades of a portfolio by their last state; the other states are left out."""

    open: int
    hedged: int
    stuck: int
    declined: int


class ContractCounts(NamedTuple):
    """Contracts by what became of them, micros: held on both legs, sold again, held on one leg only."""

    hedged: int
    unwound: int
    unmatched: int


class Latency(NamedTuple):
    """Distribution of a stage's latency, ms."""

    p50: float
    p95: float
    p99: float
    max: float
    n: int


class Holding(NamedTuple):
    """A portfolio's holding of one outcome of an instrument; `mark_micros` is None where no price was ever seen."""

    portfolio: str
    instrument_id: str
    outcome: str
    quantity_micros: int
    average_cost_micros: int
    mark_micros: int | None
    value_micros: int | None
    settled: bool


class TradeRow(NamedTuple):
    """A trade in its last state; prices are averages of its purchases, in the outcomes' terms."""

    trade_id: str
    pair_id: str
    package: str
    state: str
    reason: str
    instrument_a: str
    outcome_a: str
    quantity_a_micros: int
    price_a_micros: int
    instrument_b: str
    outcome_b: str
    quantity_b_micros: int
    price_b_micros: int
    residual_micros: int
    cost_micros: int
    fee_micros: int
    edge_micros: int
    hedged_micros: int
    unwound_micros: int
    locked_micros: int | None
    net_micros: int
    ts_updated_ns: int


class VenueHold(NamedTuple):
    """How often a venue was held, by whom (`breaker`, or `reduce_only`: a stuck trade), and for how long; `open` never ended by itself."""

    venue: str
    state: str
    times: int
    held_ns: int
    open: int


class Declined(NamedTuple):
    """How often a reason made a trade be declined."""

    reason: str
    trades: int


class Top(NamedTuple):
    """Latest top of an instrument, in YES terms; None: no such side."""

    instrument_id: str
    title: str
    valid: bool
    fresh: bool
    bid_price_micros: int | None
    bid_size_micros: int | None
    ask_price_micros: int | None
    ask_size_micros: int | None
    ts_ns: int


class Waterfall(NamedTuple):
    """One EdgeUpdate of a package; totals of the quantity quoted. `distance_micros` is per contract, negative below the threshold."""

    package: str
    state: str
    reason: str
    ts_ns: int
    quantity_micros: int
    price_a_micros: int
    price_b_micros: int
    gross_micros: int
    fee_a_micros: int
    fee_b_micros: int
    friction_micros: int
    lockup_micros: int
    net_micros: int
    net_per_contract_micros: int
    distance_micros: int


class PairBoard(NamedTuple):
    """One pair as it stands: the tops of both venues and the last quote of each package."""

    pair_id: str
    relation: str
    top_a: Top
    top_b: Top
    packages: tuple[Waterfall, ...]


class BestEdge(NamedTuple):
    """The best quote of a package so far."""

    pair_id: str
    waterfall: Waterfall


_WATERFALL = ", ".join(Waterfall._fields)
_TOP = "valid, fresh, bid_price_micros, bid_size_micros, ask_price_micros, ask_size_micros, ts_ns"


def _rows(client: Client, database: str, statement: str) -> Sequence[Sequence[Any]]:
    filled = statement.replace("{current}", CURRENT).replace("{db}", quoted(database))
    return client.query(filled).result_rows


def market_counts(client: Client, database: str) -> MarketCounts:
    """Events of `market` so far."""
    statement = "SELECT sum(book_updates), sum(repeated), sum(public_trades) FROM {db}.book_activity"
    return MarketCounts(*_rows(client, database, statement)[0])


def edge_counts(client: Client, database: str) -> tuple[EdgeCount, ...]:
    """Counters of every package, by pair."""
    columns = ", ".join(EdgeCount._fields)
    statement = f"SELECT {columns} FROM {{db}}.edge_counts ORDER BY pair_id, package"
    return tuple(EdgeCount(*row) for row in _rows(client, database, statement))


def edge_totals(client: Client, database: str) -> EdgeTotals:
    """Sums of the counters over all packages."""
    statement = (
        "SELECT sum(evaluations), sum(gross_positive), sum(net_positive), sum(episodes), sum(at_threshold), "
        "sum(episodes_at_threshold), max(net_best_micros) FROM {db}.edge_counts"
    )
    return EdgeTotals(*_rows(client, database, statement)[0])


def edges_seen(client: Client, database: str) -> tuple[EdgeSeen, ...]:
    """Every quote at or above the threshold, oldest first."""
    statement = (
        "SELECT pair_id, package, ts_ns FROM {db}.edges FINAL WHERE log_id = {current} "
        "AND state IN ('opened', 'changed') AND distance_micros >= 0 ORDER BY ts_ns, pair_id, package"
    )
    return tuple(EdgeSeen(*row) for row in _rows(client, database, statement))


def trade_counts(client: Client, database: str) -> TradeCounts:
    """Trades by their last state, intents, fills, partly filled orders, unmatched contracts."""
    statement = """
SELECT
  (SELECT count() FROM {db}.intents FINAL WHERE log_id = {current}),
  countIf(state IN ('hedged', 'closed')), countIf(unwound), countIf(state = 'flat' AND NOT unwound), countIf(state = 'declined'),
  countIf(state = 'stuck'), countIf(state NOT IN ('hedged', 'closed', 'flat', 'declined', 'stuck')),
  (SELECT count() FROM {db}.valid_fills),
  (SELECT count() FROM {db}.orders WHERE filled_micros > 0 AND filled_micros < quantity_micros AND status IN ('canceled', 'expired', 'partially_filled')),
  toInt64(max(abs(residual_micros))), toInt64(sum(abs(residual_micros))),
  (SELECT if(count() = 0, NULL, min(ts_append_ms)) FROM {db}.trade_updates WHERE log_id = {current} AND state = 'hedged')
FROM {db}.trades"""
    return TradeCounts(*_rows(client, database, statement)[0])


def trade_states(client: Client, database: str) -> dict[str, TradeStates]:
    """Trades of each portfolio by their last state; portfolios without a trade are absent."""
    statement = (
        "SELECT portfolio, countIf(state NOT IN ('hedged', 'closed', 'flat', 'declined', 'stuck')), "
        "countIf(state IN ('hedged', 'closed')), countIf(state = 'stuck'), countIf(state = 'declined') "
        "FROM {db}.trades GROUP BY portfolio ORDER BY portfolio"
    )
    return {portfolio: TradeStates(*counts) for portfolio, *counts in _rows(client, database, statement)}


def pnl_totals(client: Client, database: str) -> PnlTotals:
    """PnL of all portfolios."""
    statement = f"SELECT {', '.join(f'sum({name})' for name in _PNL_COLUMNS)} FROM {{db}}.pnl_total"
    return PnlTotals(*_rows(client, database, statement)[0])


def pnl_by_portfolio(client: Client, database: str) -> dict[str, PnlTotals]:
    """PnL of each portfolio; portfolios without an execution are absent."""
    statement = f"SELECT portfolio, {', '.join(_PNL_COLUMNS)} FROM {{db}}.pnl_total ORDER BY portfolio"
    return {portfolio: PnlTotals(*amounts) for portfolio, *amounts in _rows(client, database, statement)}


def contract_counts(client: Client, database: str) -> ContractCounts:
    """Contracts hedged, unwound and unmatched, over all trades of all portfolios."""
    statement = "SELECT sum(hedged_contracts_micros), sum(unwound_contracts_micros), sum(unmatched_contracts_micros) FROM {db}.pnl_total"
    return ContractCounts(*_rows(client, database, statement)[0])


def latencies(client: Client, database: str, *, since_append_ms: int = 0) -> dict[str, Latency]:
    """Distribution per stage (tick_to_signal, tick_to_plan, hedge) of what was appended since; stages without one are absent."""
    statement = (
        "SELECT stage, quantilesExact(0.5, 0.95, 0.99)(latency_ns) AS q, max(latency_ns), count() "
        f"FROM {{db}}.stage_latency WHERE ts_append_ms >= {int(since_append_ms)} GROUP BY stage"
    )
    return {
        stage: Latency(p50 / 1e6, p95 / 1e6, p99 / 1e6, most / 1e6, n)
        for stage, (p50, p95, p99), most, n in _rows(client, database, statement)
    }


def positions(client: Client, database: str) -> tuple[Holding, ...]:
    """What is held, largest value first; outcomes that were sold again are left out."""
    statement = (
        "SELECT portfolio, instrument_id, outcome, quantity_micros, average_cost_micros, if(priced, mark_micros, NULL), "
        "if(priced, value_micros, NULL), settled FROM {db}.positions WHERE quantity_micros != 0 "
        "ORDER BY value_micros DESC, portfolio, instrument_id, outcome"
    )
    return tuple(Holding(*row) for row in _rows(client, database, statement))


def recent_trades(client: Client, database: str, limit: int = 10) -> tuple[TradeRow, ...]:
    """The trades that moved last, newest first; declined ones are in `declined`."""
    columns = ", ".join(TradeRow._fields).replace("locked_micros", "if(fills > 0, locked_micros, NULL)")
    statement = (
        f"SELECT {columns} FROM {{db}}.trades WHERE state != 'declined' "
        f"ORDER BY ts_updated_ns DESC, trade_id LIMIT {int(limit)}"
    )
    return tuple(TradeRow(*row) for row in _rows(client, database, statement))


def declined(client: Client, database: str) -> tuple[Declined, ...]:
    """Reasons for which trades were declined, most frequent first."""
    statement = (
        "SELECT reason, count() AS n FROM {db}.trades WHERE state = 'declined' GROUP BY reason ORDER BY n DESC, reason"
    )
    return tuple(Declined(*row) for row in _rows(client, database, statement))


def venue_holds(client: Client, database: str) -> tuple[VenueHold, ...]:
    """Time for which venues took no new trade, by venue and cause; a hold that starts within another one is counted once."""
    statement = (
        "SELECT venue, state, toUInt64(count()), toInt64(sum(greatest(ts_until_ns - greatest(ts_ns, before), 0))), toUInt64(countIf(ts_until_ns = 0)) "
        "FROM (SELECT venue, state, ts_ns, ts_until_ns, ifNull(max(ts_until_ns) OVER "
        "(PARTITION BY portfolio, venue, state ORDER BY sequence ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before "
        "FROM {db}.venue_holds FINAL WHERE log_id = {current}) GROUP BY venue, state ORDER BY venue, state"
    )
    return tuple(VenueHold(*row) for row in _rows(client, database, statement))


def pair_board(client: Client, database: str) -> tuple[PairBoard, ...]:
    """Every listed pair with both tops and the last quote of each package."""
    top = ", ".join(f"{{0}}.{name}" for name in _TOP.split(", "))
    edge = ", ".join(f"e.{name}" for name in Waterfall._fields)
    side = "(SELECT instrument_id, any(title) AS title FROM {db}.instruments FINAL WHERE log_id = {current} GROUP BY instrument_id)"
    statement = (
        f"SELECT p.pair_id, p.relation, p.instrument_a, ia.title, {top.format('a')}, p.instrument_b, ib.title, {top.format('b')}, {edge} "
        "FROM {db}.pairs_in_force AS p LEFT JOIN {db}.last_tops AS a ON a.instrument_id = p.instrument_a "
        "LEFT JOIN {db}.last_tops AS b ON b.instrument_id = p.instrument_b "
        f"LEFT JOIN {side} AS ia ON ia.instrument_id = p.instrument_a LEFT JOIN {side} AS ib ON ib.instrument_id = p.instrument_b "
        "LEFT JOIN (SELECT * FROM {db}.last_edges FINAL WHERE log_id = {current}) AS e ON e.pair_id = p.pair_id "
        "ORDER BY p.pair_id, e.package"
    )
    width = len(Top._fields)
    boards = []
    for _, group in groupby(_rows(client, database, statement), key=lambda row: row[0]):
        rows = list(group)
        first = rows[0]
        packages = tuple(Waterfall(*row[2 + 2 * width :]) for row in rows if row[2 + 2 * width])
        boards.append(
            PairBoard(first[0], first[1], Top(*first[2 : 2 + width]), Top(*first[2 + width : 2 + 2 * width]), packages)
        )
    return tuple(boards)


def best_edges(client: Client, database: str) -> tuple[BestEdge, ...]:
    """The best quote of every package, best first."""
    statement = (
        f"SELECT pair_id, {_WATERFALL} FROM {{db}}.waterfall WHERE kind = 'best' "
        "ORDER BY net_per_contract_micros DESC, pair_id, package"
    )
    return tuple(BestEdge(row[0], Waterfall(*row[1:])) for row in _rows(client, database, statement))


def stream_range(client: Client, database: str) -> tuple[int, int]:
    """Stream time of the first and the last watermark, Unix ns: what decide has certainly looked at. (0, 0) without one."""
    statement = "SELECT min(ts_ns), max(ts_ns) FROM {db}.watermarks WHERE log_id = {current}"
    first, last = _rows(client, database, statement)[0]
    return int(first), int(last)
