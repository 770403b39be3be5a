"""What forbids trading, kept apart by who said it.

Decides the trading state of an order: the strictest of all that applies. Every source keeps its own word, and only that source takes
it back: operators by a resume, a revoked pair by an approval, the hold of a stuck trade by a resume of its venue. No word of one
source may weaken another's, and no second word of the same source may weaken its first.
"""

from typing import Final

from schemas.records import Scope, TradingState, Venue

_STRICTNESS: Final[dict[TradingState, int]] = {"running": 0, "reduce_only": 1, "halted": 2}
#: Scopes that a resume of everything lifts. A halted pair, strategy or portfolio has its own reason, and is resumed by name.
_LIFTED_BY_ALL: Final[frozenset[Scope]] = frozenset({"all", "venue", "category"})


class Halts:
    """Who forbids what. Mutable; owned by the fold.

    `words`: the strictest word of operators since their last resume, by scope; `killed`: the KILL file was seen; `revoked`: pairs
    taken back and not approved since; `fault`: an input that could not be folded, empty when there was none; `held`: stuck trades by the venue of what they cannot get rid of.
    """

    __slots__ = ("fault", "held", "killed", "revoked", "words")

    def __init__(self) -> None:
        self.words: dict[tuple[Scope, str], TradingState] = {}
        self.killed = False
        self.fault = ""
        self.revoked: dict[str, None] = {}
        self.held: dict[Venue, dict[str, None]] = {}

    def say(self, scope: Scope, value: str, state: TradingState) -> None:
        """Take an operator's word for a scope; `running` is a resume, another state only ever adds to what was said."""
        if state == "running":
            self._resume(scope, value)
            return
        key = _key(scope, value)
        self.words[key] = strictest(self.words.get(key, "running"), state)

    def kill(self) -> None:
        """The KILL file was seen: nothing is sent until an operator resumes everything."""
        self.killed = True

    def fail(self, fault: str) -> None:
        """An input could not be folded: nothing new opens until an operator resumes everything."""
        self.fault = fault

    def revoke(self, pair_id: str) -> None:
        """Let a pair open nothing until it is approved again."""
        self.revoked[pair_id] = None

    def approve(self, pair_id: str) -> None:
        """Lift the revocation of a pair, and nothing else."""
        self.revoked.pop(pair_id, None)

    def hold(self, venue: Venue, trade_id: str) -> bool:
        """Let a venue open nothing because of a stuck trade, until the venue is resumed; whether that is new."""
        trades = self.held.setdefault(venue, {})
        if trade_id in trades:
            return False
        trades[trade_id] = None
        return True

    def state_for(
        self, venues: tuple[Venue, ...], category: str, pair_id: str, strategy: str = "", portfolio: str = ""
    ) -> TradingState:
        """The strictest trading state that applies."""
        if self.killed:
            return "halted"
        said = self.words.get
        states = [
            said(("all", ""), "running"),
            said(("category", category), "running"),
            said(("pair", pair_id), "running"),
            said(("strategy", strategy), "running"),
            said(("portfolio", portfolio), "running"),
        ]
        states += [said(("venue", venue), "running") for venue in venues]
        if self.fault or pair_id in self.revoked or any(venue in self.held for venue in venues):
            states.append("reduce_only")
        return strictest(*states)

    def _resume(self, scope: Scope, value: str) -> None:
        if scope == "all":
            self.killed = False
            self.fault = ""
            self.words = {key: state for key, state in self.words.items() if key[0] not in _LIFTED_BY_ALL}
            return
        self.words.pop((scope, value), None)
        if scope == "venue":
            self.held.pop(value, None)  # a name that is no venue holds nothing


def strictest(*states: TradingState) -> TradingState:
    """The strictest of some trading states."""
    return max(states, key=_STRICTNESS.__getitem__)


def _key(scope: Scope, value: str) -> tuple[Scope, str]:
    return scope, "" if scope == "all" else value
