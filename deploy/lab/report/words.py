"""What the figures mean, in words: amounts for people, the verdict, and what a reader would stumble over. Pure.

Decides how honest a headline is: a profit that few trades made or that luck explains is called so, and what is only marked is never called one.
Must never round money anywhere but in a text.
"""

from datetime import UTC, datetime

from crossbook.domain.money import MICROS, format_rounded
from deploy.lab.analysis.analysis import Analysis
from deploy.lab.outcome.outcome import Outcome
from deploy.lab.report.drawing.axes import MINUS, duration

NS_PER_S = 1_000_000_000
#: Two standard errors: below, luck explains a result as well.
ERRORS_TO_TELL = 2.0
FATES = {
    "traded": "traded",
    "declined": "declined by the executor",
    "below_threshold": "below the threshold",
    "no_intent": "at the threshold, no intent",
}
CLIP = 110
#: Why an intent is declined that was valid at its stream time, but seen too late by the wall clock.
LATE = "late"


def dollars(micros: int | None, *, sign: bool = False) -> str:
    """An amount: two places from a dollar on, four below, so that a fee of a cent is not nothing."""
    if micros is None:
        return "–"
    places = 2 if abs(micros) >= MICROS or micros == 0 else 4
    text = format_rounded(abs(micros), places)
    whole, _, fraction = text.partition(".")
    before = MINUS if micros < 0 else "+" if sign and micros > 0 else ""
    return f"{before}${int(whole):,}.{fraction}"


def cents(micros: int | None) -> str:
    """An amount a contract, in cents."""
    if micros is None:
        return "–"
    text = format_rounded(abs(micros) * 100, 2)
    return f"{MINUS if micros < 0 and text.strip('0.') else ''}{text}¢"


def contracts(micros: int) -> str:
    """A quantity."""
    text = format_rounded(abs(micros), 2)
    whole, _, fraction = text.partition(".")
    rest = f".{fraction}" if fraction.strip("0") else ""
    return f"{MINUS if micros < 0 else ''}{int(whole):,}{rest}"


def percent(ratio: float | None, places: int = 0) -> str:
    """A ratio in percent."""
    return "–" if ratio is None else f"{ratio * 100:,.{places}f} %".replace("-", MINUS)


def span(ns: int | None) -> str:
    """A stretch of time."""
    return "–" if ns is None else duration(ns)


def moment(ts_ns: int | None, *, short: bool = False) -> str:
    """A stream time in UTC, to the millisecond; `short` leaves the day out."""
    if ts_ns is None:
        return "–"
    stamp = datetime.fromtimestamp(ts_ns // NS_PER_S, UTC)
    clock = f"{stamp:%H:%M:%S}.{ts_ns % NS_PER_S // 1_000_000:03d}"
    return clock if short else f"{stamp:%Y-%m-%d} {clock}"


def clipped(text: object, most: int = CLIP) -> str:
    """A text of bounded length: titles are written by others."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def plural(count: int, one: str, many: str = "") -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def verdict(outcome: Outcome, analysis: Analysis) -> str:
    """One honest line."""
    counts, totals = analysis.counts, analysis.totals
    if not counts.executed:
        return why_no_trade(outcome, analysis)
    luck, locked = analysis.sharpe, totals.locked_micros
    made = "locked in" if locked >= 0 else "lost"
    start = f"{plural(counts.executed, 'trade').capitalize()} {made} {dollars(abs(locked))} after fees"
    if totals.marked_micros:
        start += f" (and {dollars(totals.marked_micros, sign=True)} at mark, which is no profit yet)"
    if luck is None:
        bets = plural(analysis.independent_trades, "independent bet")
        return f"{start}; {bets} cannot tell skill from luck."
    error = abs(luck.ratio) / luck.error
    many = f"{luck.n:,} independent bets"
    if error < ERRORS_TO_TELL:
        return f"{start}, which luck explains as well: {error:.1f} standard errors over {many}."
    return f"{start}, {error:.1f} standard errors from nothing over {many}."


def why_no_trade(outcome: Outcome, analysis: Analysis) -> str:
    """Why nothing was traded, from the first cause that explains it."""
    evaluated = sum(one.evaluations for one in analysis.packages)
    if not evaluated and not outcome.quotes:
        pairs = plural(len(outcome.pairs), "pair")
        return f"No trade: with {pairs} listed, no package was ever priced on both venues at once."
    if analysis.counts.intents:
        if analysis.declines:
            first = analysis.declines[0]
            return f"No trade: {plural(analysis.counts.intents, 'intent')}, {first.trades:,} of them declined for {first.reason!r}."
        return f"No trade: {plural(analysis.counts.intents, 'intent')}, none of which was filled."
    bests = [one.net_best_micros for one in analysis.packages if one.net_best_micros is not None]
    threshold = outcome.settings.get("decide.min_edge_micros")
    wanted = f"; an intent takes {cents(threshold)}" if isinstance(threshold, int) else ""
    if not bests:
        return f"No trade: in {evaluated:,} evaluations no package cost less than it pays{wanted}."
    best = max(bests)
    if best <= 0:
        return (
            f"No trade: in {evaluated:,} evaluations fees and frictions left {cents(best)} a contract at best{wanted}."
        )
    return f"No trade: the best edge in {evaluated:,} evaluations was {cents(best)} net a contract{wanted}."


def surprises(analysis: Analysis) -> tuple[str, ...]:
    """What a reader should know before believing the figures; each with its cause."""
    return (*_of_pnl(analysis), *_of_execution(analysis), *_of_edges(analysis))


def _of_pnl(analysis: Analysis) -> list[str]:
    totals, found = analysis.totals, []
    promised = totals.edge_realised_micros
    if analysis.counts.hedged and abs(totals.net_micros - promised) > max(abs(promised) // 4, 10_000):
        found.append(
            f"PnL ({dollars(totals.net_micros)}) is not the edge locked in ({dollars(promised)}): the edge counts only trades with both "
            "legs at their worst payout, less friction and lock-up; PnL also counts what unwinding lost, unmatched contracts at mark, and "
            "payouts better than the worst."
        )
    if totals.unwound_contracts_micros:
        found.append(
            f"{contracts(totals.unwound_contracts_micros)} contracts were sold again ({dollars(totals.unwound_micros, sign=True)}), also by "
            f"trades that ended with both legs held; {contracts(totals.hedged_contracts_micros)} are hedged."
        )
    if totals.unmatched_contracts_micros:
        found.append(
            f"{contracts(totals.unmatched_contracts_micros)} contracts have no partner. They stand at what the last top seen would pay for "
            f"them, at nothing where it is not usable: {dollars(totals.marked_micros, sign=True)} against what they cost."
        )
    return found


def _of_execution(analysis: Analysis) -> list[str]:
    counts, totals, found = analysis.counts, analysis.totals, []
    given_up = totals.edge_planned_micros - totals.edge_realised_micros
    if totals.edge_planned_micros and abs(given_up) * 10 > abs(totals.edge_planned_micros):
        word = "less" if given_up > 0 else "more"
        found.append(
            f"Trades with both legs locked in {dollars(abs(given_up))} {word} than their intents promised; slippage against the "
            f"displayed prices was {dollars(totals.slippage_micros)}, the rest is quantity that was not there any more, and fees."
        )
    if counts.stuck:
        found.append(
            f"{plural(counts.stuck, 'trade')} ended stuck with one leg; a live run would have called a person. What is held stands in PnL."
        )
    if counts.open or counts.unseen:
        cut = counts.open + counts.unseen
        found.append(f"The range ends in the middle of {plural(cut, 'trade')}; they count as they stood.")
    if counts.intents and counts.declined * 2 > counts.intents:
        most = analysis.declines[0]
        found.append(
            f"{counts.declined:,} of {plural(counts.intents, 'intent')} were declined, most often for {most.reason!r} ({most.trades:,})."
        )
    late = sum(one.trades for one in analysis.declines if one.reason == LATE)
    if late:
        found.append(
            f"{plural(late, 'intent')} were seen too late: valid by the time of the market, but not any more when the executor read them."
        )
    for one in analysis.venue_times:
        cause = "its breaker" if one.state == "breaker" else "a stuck trade, until an operator resumes it"
        length = f" for {span(one.held_ns)}" if one.held_ns else ""
        found.append(f"{one.venue} took no new trade{length}, held by {cause} ({plural(one.times, 'time')}).")
    if counts.executed and analysis.independent_trades * 2 <= counts.executed:
        found.append(
            f"{plural(counts.executed, 'trade')} are {plural(analysis.independent_trades, 'independent bet')}: trades of one pair in one "
            "episode, or within the cool-down, bet on the same thing."
        )
    return found


def _of_edges(analysis: Analysis) -> list[str]:
    found = []
    stretch = next((row for row in analysis.latencies if row.name == "plan → first fill"), None)
    lives = [episode.life_ns for episode in analysis.episodes if episode.ending == "closed"]
    if stretch is not None and lives:
        gone = sum(life < stretch.ns.p50 for life in lives)
        if gone * 10 >= len(lives):
            found.append(
                f"{gone:,} of {len(lives):,} edges lived shorter than the median way to a first fill ({span(stretch.ns.p50)}): whoever is "
                "slower than that trades the others."
            )
    cut = sum(episode.ending != "closed" for episode in analysis.episodes)
    if cut * 4 > len(analysis.episodes):
        found.append(
            f"{cut:,} of {plural(len(analysis.episodes), 'episode')} were cut short by a stale feed or the end of the range and are left out "
            "of the life times, which are therefore too short."
        )
    return found
