"""The cross-venue pair: buys both sides of one question at two venues where that costs less than it pays.

Decides when an edge opens, changes, closes or is suspended, what is counted, and when a TradeIntent is due.

One evaluation is counted a pair and package whenever a best level of either leg changed, or a polled leg was polled anew, while
both books are usable, both sides to be bought are displayed, and the clock is not suspect. A change at a depth below the best
levels is not a new evaluation. Episodes are runs of consecutive evaluations; a suspension between two does not end one.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from crossbook.market.book_state import Change, ChangeKind
from processors.strategies.base import Draft, MarketView
from processors.strategies.cross_venue import drafts, image
from processors.strategies.cross_venue.intents import intend, intent_allowed
from processors.strategies.cross_venue.settings import CrossVenueSettings
from processors.strategies.cross_venue.state import CrossVenueState, PackageState, PairState, make_package_terms
from processors.strategies.edges import NOTHING, Evaluation, Refused, Terms, evaluate, leaves_in_whole
from processors.strategies.settings import parse_settings
from schemas.records import EdgeState, Package, PairListed

#: Trading in the instrument has ended: its quotes are closed, not suspended.
_OVER: Final = frozenset({"closed", "after_close"})


class CrossVenue:
    """The strategy in one partition."""

    version: Final = "1"
    follows: Final[frozenset[ChangeKind]] = frozenset()

    def __init__(self) -> None:
        self._state = CrossVenueState()

    def configure(self, settings: Mapping[str, str]) -> None:
        """Work under these settings from now on. Raises StrategySettingsError."""
        self._state.settings = parse_settings(settings, CrossVenueSettings)

    def on(self, view: MarketView, change: Change) -> Sequence[Draft]:
        """What a change makes known and wanted, in order."""
        out: list[Draft] = []
        state = self._state
        kind = change.kind
        if kind == "book":
            assert change.instrument_id is not None
            for pair_id in state.pairs_of(view, change.instrument_id):
                _evaluate_pair(state, view, out, pair_id)
        elif kind == "time":
            if state.quotes:
                _suspend_unusable(state, view, out)
            out += [
                drafts.statistics(state.pairs[key[0]].listing.group, state.package(key))
                for key in state.statistics_unwritten
            ]
            state.statistics_unwritten.clear()
        elif kind not in {"reference", "observation"}:
            _track(state, view, change)
            _end_listed(state, view, out, change)
            if state.quotes:
                _suspend_unusable(state, view, out)
        return out

    def image(self) -> bytes:
        """Its whole state but for the settings, as UTF-8 JSON."""
        return image.freeze(self._state)

    def restore(self, payload: bytes) -> None:
        """Go on from an image. Raises msgspec.DecodeError when the bytes are none."""
        image.thaw(payload, self._state)


# Listings


def _track(state: CrossVenueState, view: MarketView, change: Change) -> None:
    """Keep listings and memos in step with a change."""
    kind, pair_id, instrument_id = change.kind, change.pair_id, change.instrument_id
    if kind in {"instrument", "moved", "settled"} and instrument_id is not None:
        for one in state.pairs_of(view, instrument_id):
            state.forget_terms(one)
    elif kind == "pair" and pair_id is not None:
        state.list_pair(view.pairs[pair_id])
    elif kind == "contradicted" and pair_id is not None:
        state.forget_terms(pair_id)
    elif kind == "delisted":
        state.forget_pairs()
        if pair_id is not None:
            state.forget_terms(pair_id)
    elif kind == "friction":
        for one in state.pairs:
            state.forget_terms(one)


def _end_listed(state: CrossVenueState, view: MarketView, out: list[Draft], change: Change) -> None:
    """Something other than a book changed: quotes that rested on it are closed or refused at once."""
    kind, pair_id, instrument_id = change.kind, change.pair_id, change.instrument_id
    if kind == "delisted" and pair_id is not None:
        _end(state, view, out, [key for key in state.quotes if key[0] == pair_id], "delisted")
    elif kind == "pair" and pair_id is not None:
        _, _, packages = state.active(view, pair_id)
        wanted = {package.package for package in packages}
        ended = [key for key in state.quotes if key[0] == pair_id and key[1] not in wanted]
        _end(state, view, out, ended, "relation_changed")
    elif kind == "contradicted" and pair_id is not None and (pair_id in state.pairs or pair_id in view.pairs):
        pair, _, packages = state.active(view, pair_id)
        for package in packages:
            _refuse(state, view, out, pair, package, change.reason)
    elif kind in {"moved", "settled", "instrument"} and instrument_id is not None:
        closed = kind == "instrument" and view.hours(instrument_id).shut in _OVER
        if kind != "instrument" or closed:
            pairs = set(state.pairs_of(view, instrument_id))
            ended = [key for key in state.quotes if key[0] in pairs]
            _end(state, view, out, ended, "closed" if closed else kind)


# Evaluations


def _evaluate_pair(state: CrossVenueState, view: MarketView, out: list[Draft], pair_id: str) -> None:
    pair, pair_state, packages = state.active(view, pair_id)
    if view.suspect or not (view.usable(pair.instrument_a) and view.usable(pair.instrument_b)):
        for package in packages:
            if package.status == "open":
                _suspend(state, view, out, pair, package, _why_unusable(view, pair))
        return
    for package in packages:
        _evaluate_package(state, view, out, pair, pair_state, package)


def _evaluate_package(
    state: CrossVenueState,
    view: MarketView,
    out: list[Draft],
    pair: PairListed,
    pair_state: PairState,
    package: PackageState,
) -> None:
    now = view.now_ns
    terms = package.terms
    if terms is None or now >= package.terms_until_ns:
        terms = make_package_terms(view, pair, package)
    if isinstance(terms, Refused):
        _refuse(state, view, out, pair, package, terms.reason)
        return
    book_a, book_b = view.books[pair.instrument_a].book, view.books[pair.instrument_b].book
    best_a, best_b = book_a.best_to_buy(terms.outcome_a), book_b.best_to_buy(terms.outcome_b)
    if best_a is None or best_b is None:
        if package.status != "none":
            _quote(state, view, out, pair, package, NOTHING, "no_depth")
        return
    if best_a[0] + best_b[0] >= terms.payout_micros and package.status == "none":
        _count(state, package, None, counts=False)
        return
    levels = book_a.levels_to_buy(terms.outcome_a), book_b.levels_to_buy(terms.outcome_b)
    evaluation = evaluate(terms, *levels, now)
    if isinstance(evaluation, Refused):
        _refuse(state, view, out, pair, package, evaluation.reason)
        return
    package.refusal = ""
    counts = evaluation.net_micros > 0 and leaves_in_whole(terms, *levels, now, evaluation)
    _count(state, package, evaluation, counts=counts)
    _quote_if_news(state, view, out, pair, package, terms, evaluation)
    if evaluation.net_micros > 0 and intent_allowed(view, state.settings, pair, pair_state):
        intent = intend(view, state.settings, pair, package, terms, evaluation, levels)
        if intent is not None:
            out.append(intent)
            pair_state.last_intent_ns = now


def _count(state: CrossVenueState, package: PackageState, evaluation: Evaluation | None, *, counts: bool) -> None:
    """Count an evaluation; None stands for one without gross, whose waterfall nobody asked for.

    `counts`: levels taken whole leave something, see `leaves_in_whole`.
    """
    state.statistics_unwritten[package.pair_id, package.package] = None
    package.evaluations += 1
    if evaluation is None:
        package.in_episode = package.in_episode_at_threshold = False
        return
    if evaluation.gross_top_micros > 0:
        package.gross_positive += 1
        best = evaluation.net_per_contract_nearest_micros
        if package.net_best_micros is None or best > package.net_best_micros:
            package.net_best_micros = best
    if counts:
        package.net_positive += 1
        package.episodes += not package.in_episode
    package.in_episode = counts
    above = counts and evaluation.net_per_contract_micros >= state.settings.min_edge_micros
    if above:
        package.at_threshold += 1
        package.episodes_at_threshold += not package.in_episode_at_threshold
    package.in_episode_at_threshold = above


# Quotes


def _quote_if_news(
    state: CrossVenueState,
    view: MarketView,
    out: list[Draft],
    pair: PairListed,
    package: PackageState,
    terms: Terms,
    evaluation: Evaluation,
) -> None:
    if evaluation.net_micros <= 0:
        if package.status != "none":
            _quote(state, view, out, pair, package, evaluation, "no_net")
        return
    if package.status == "open":
        quoted = package.quoted
        moved = abs(evaluation.net_per_contract_micros - quoted.net_per_contract_micros)
        resized = abs(evaluation.quantity_micros - quoted.quantity_micros)
        if moved < state.settings.edge_change_micros and resized < terms.step_micros:
            return
    _quote(state, view, out, pair, package, evaluation, "")


def _quote(
    state: CrossVenueState,
    view: MarketView,
    out: list[Draft],
    pair: PairListed,
    package: PackageState,
    evaluation: Evaluation,
    reason_closed: str,
) -> None:
    """Open or change a quote, or close it when a reason is given."""
    key = (package.pair_id, package.package)
    said: EdgeState = "closed" if reason_closed else "changed" if package.status == "open" else "opened"
    out.append(drafts.edge(view, state.settings, pair, package, said, reason_closed, evaluation))
    if reason_closed:
        package.status = "none"
        package.quoted = NOTHING
        package.refusal = ""
        state.quotes.pop(key, None)
        return
    package.status = "open"
    package.quoted = evaluation
    state.quotes[key] = None


def _end(
    state: CrossVenueState, view: MarketView, out: list[Draft], keys: Iterable[tuple[str, Package]], reason: str
) -> None:
    """Close quotes whose pair or leg is gone; the last waterfall of each is repeated."""
    for key in keys:
        package = state.package(key)
        _quote(state, view, out, state.pairs[key[0]].listing, package, package.quoted, reason)


def _suspend(
    state: CrossVenueState, view: MarketView, out: list[Draft], pair: PairListed, package: PackageState, reason: str
) -> None:
    """A leg cannot be relied on: the last waterfall is repeated and stands until the package is evaluated again."""
    out.append(drafts.edge(view, state.settings, pair, package, "suspended", reason, package.quoted))
    package.status = "suspended"


def _suspend_unusable(state: CrossVenueState, view: MarketView, out: list[Draft]) -> None:
    """Suspend every open quote that time, a feed or the clock has overtaken."""
    for key in state.quotes:
        package = state.package(key)
        if package.status != "open":
            continue
        pair = state.pairs[key[0]].listing
        reason = _why_unusable(view, pair)
        if reason:
            _suspend(state, view, out, pair, package, reason)


def _refuse(
    state: CrossVenueState, view: MarketView, out: list[Draft], pair: PairListed, package: PackageState, reason: str
) -> None:
    """A package cannot be priced: say so once a reason, loudly, as a suspended quote without quantity."""
    if package.refusal == reason and package.status != "open":
        return
    package.refusal = reason
    package.quoted = NOTHING
    out.append(drafts.edge(view, state.settings, pair, package, "suspended", reason, NOTHING))
    package.status = "suspended"
    state.quotes[package.pair_id, package.package] = None


def _why_unusable(view: MarketView, pair: PairListed) -> str:
    """Why a pair may not be quoted now; empty when it may."""
    if view.suspect:
        return "clock_suspect"
    for leg, instrument_id in (("a", pair.instrument_a), ("b", pair.instrument_b)):
        reason = view.why_unusable(instrument_id)
        if reason:
            return f"leg_{leg}_{reason}"
    return ""
