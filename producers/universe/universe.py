"""What is followed and how it is grouped: instruments, pairs, groups.

Decides what enters `market` when the catalogue or an approval changes something: InstrumentListed and its moves between
groups, PairListed only when both legs stand in one group, InstrumentSettled once. A group is the union of the venue events
that approved pairs join, named by its smallest event; groups only grow (a revoked pair keeps its group), so that books do not
travel for nothing. A group that was ever traded moves in two steps, because a trade would lose its books: its pairs are delisted at
once, and it `waits` until the caller knows that no trade is open on it (`producers.catalogue.moves`).

What an id stands for never changes: a pair approved anew with other legs is delisted, an instrument whose tokens the catalogue
contradicts is paused, and `refusals` says so. It must never read a clock; it returns what is to be written and the writer writes it,
in this order.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from crossbook.domain.identities import Identities
from schemas.records import (
    InstrumentListed,
    InstrumentMoved,
    InstrumentSettled,
    PairApproved,
    PairDelisted,
    PairListed,
    Record,
    Venue,
)


class Write(NamedTuple):
    """A record for the partition of a group."""

    record: Record
    group: str


class ShowBook(NamedTuple):
    """The instrument came to another partition: its book must be shown there, if there is one."""

    instrument_id: str


Step = Write | ShowBook


class Waiting(NamedTuple):
    """A group that is to join another one: since when its pairs are delisted, and what it holds."""

    ts_since_ns: int
    group_to: str
    instruments: tuple[str, ...]


class Remembered(msgspec.Struct):
    """What earlier runs left in the log: listings, payouts of YES in micros, and legs of pairs, by instrument."""

    listed: dict[str, InstrumentListed] = {}
    paid: dict[str, int] = {}
    paired: dict[str, None] = {}


#: Fields in which two listings may differ without being news.
_NO_NEWS = {"ts_received_ns": 0, "keyframe": False, "volume_micros": None}
#: What a feed can say of a listing, and how long its word beats the catalogue's, whose answers may be 15 s old.
_TOLD: Final = ("status", "ts_close_ns", "grid", "fee_schedule", "fee_changes")
CATALOGUE_LAG_NS: Final = 20_000_000_000
#: A payout is asked for again for so long, to hear of it when a venue says another one later.
RECHECK_NS: Final = 24 * 3_600 * 1_000_000_000


class Universe:
    """Everything listed under one prefix."""

    def __init__(
        self, placements: Mapping[str, str] | None = None, pairs_listed: Mapping[str, PairListed] | None = None
    ) -> None:
        """`placements`: the group under which the log has an instrument; `pairs_listed`: the pairs that it has, both of an earlier life."""
        self.instruments: dict[str, InstrumentListed] = {}
        self.pairs: dict[str, PairApproved] = {}
        self.settled: dict[str, InstrumentSettled] = {}
        self.paid: dict[str, int] = {}  # payout of YES in micros, of earlier runs as well
        self._remembered: dict[str, InstrumentListed] = {}
        self._paired: dict[str, None] = {}  # legs of every pair that ever was: something of them may be held
        self._told: dict[str, tuple[int, dict[str, Any]]] = {}
        self._listed_pairs: dict[str, PairListed] = {}
        self._delisted: dict[str, Write] = {}
        self._parents: dict[str, str] = {}
        self._identities = Identities()
        self.refusals: list[str] = []
        self._placements = dict(placements or {})
        self._pairs_before = dict(pairs_listed or {})
        self._traded = {leg for pair in self._pairs_before.values() for leg in (pair.instrument_a, pair.instrument_b)}
        self._waiting_since: dict[str, int] = {}

    # -- instruments

    def list_instruments(self, found: Iterable[InstrumentListed], ts_ns: int) -> list[Step]:
        """Take listings as the catalogue or a feed gives them; their group is worked out here."""
        changed: list[InstrumentListed] = []
        for listed in found:
            if listed.instrument_id in self.paid:
                continue
            known = self.instruments.get(listed.instrument_id)
            placed = self._placed(listed, known, ts_ns)
            if known is not None and not self._identities.accept_instrument(known, placed):
                self._refuse(f"{listed.instrument_id}: listed again with other tokens; it is paused until they agree")
                placed = msgspec.structs.replace(known, ts_received_ns=ts_ns, keyframe=False, status="paused")
            if known is not None and _same(known, placed):
                continue
            self.instruments[listed.instrument_id] = placed
            changed.append(placed)
        steps: list[Step] = [Write(listed, listed.group) for listed in changed]
        return steps + self._settle_groups(ts_ns)

    def _placed(self, listed: InstrumentListed, known: InstrumentListed | None, ts_ns: int) -> InstrumentListed:
        """The listing under the group that it stands in; an event never changes under a market, and older news changes no grid."""
        event_id = listed.event_id if known is None else known.event_id
        group = self._placements.get(listed.instrument_id, self._root(event_id)) if known is None else known.group
        until_ns, told = self._told.get(listed.instrument_id, (0, {}))
        if listed.ts_received_ns < until_ns:
            listed = msgspec.structs.replace(listed, **told)
        if known is not None:
            listed = _keep_fee_changes(listed, known)
        is_older = known is not None and listed.ts_received_ns < known.ts_received_ns
        return msgspec.structs.replace(
            listed,
            event_id=event_id,
            group=group,
            grid=known.grid if known is not None and is_older else listed.grid,
            ts_received_ns=ts_ns,
            keyframe=False,
        )

    def tell(self, listed: InstrumentListed, ts_ns: int) -> list[Step]:
        """Take a listing as a feed changed it; where it differs it beats what the catalogue says, until that must know it too."""
        known = self.instruments.get(listed.instrument_id)
        if known is not None:
            said = {name: getattr(listed, name) for name in _TOLD if getattr(listed, name) != getattr(known, name)}
            until_ns, before = self._told.get(listed.instrument_id, (0, {}))
            if said:
                self._told[listed.instrument_id] = (
                    ts_ns + CATALOGUE_LAG_NS,
                    (before if ts_ns < until_ns else {}) | said,
                )
        return self.list_instruments([listed], ts_ns)

    def shut(self, instrument_id: str, ts_ns: int) -> list[Step]:
        """The catalogue cannot list the instrument any more, or does not have it: it is not traded until it can."""
        known = self.instruments.get(instrument_id)
        if known is None or known.status != "active":
            return []
        return self.list_instruments([msgspec.structs.replace(known, ts_received_ns=ts_ns, status="paused")], ts_ns)

    def settle(self, settled: InstrumentSettled) -> list[Step]:
        """Take a confirmed payout; said once. Another payout of the same instrument is never written, only told to people."""
        paid = self.paid.get(settled.instrument_id)
        if paid is not None:
            if paid != settled.payout_yes_micros:
                self._refuse(
                    f"{settled.instrument_id} was paid out at {paid} micros, its venue now says {settled.payout_yes_micros} "
                    f"({settled.source}): the first payout stands, look at both"
                )
            return []
        group = self._group_in_log(settled.instrument_id)
        if group is None:
            return []
        self.settled[settled.instrument_id] = settled
        self.paid[settled.instrument_id] = settled.payout_yes_micros
        return [Write(settled, group)]

    def remember(self, before: Remembered) -> None:
        """Take what earlier runs left in the log, before anything is listed: groups go on, payouts are waited for."""
        assert not self.instruments, "the log is remembered first"
        self._remembered = dict(before.listed)
        self.paid = dict(before.paid)
        self._paired = dict(before.paired)
        for listed in before.listed.values():
            self._placements.setdefault(listed.instrument_id, listed.group)

    def unpaid(self, venue: Venue, ts_ns: int) -> list[InstrumentListed]:
        """Everything of a venue that was ever listed and may still pay, and what has paid within a day."""
        known = {**self._remembered, **self.instruments}
        return [
            listed
            for key, listed in known.items()
            if listed.venue == venue and (key not in self.paid or self._paid_lately(key, ts_ns))
        ]

    def _paid_lately(self, instrument_id: str, ts_ns: int) -> bool:
        settled = self.settled.get(instrument_id)
        return settled is not None and ts_ns - settled.ts_received_ns < RECHECK_NS

    def _group_in_log(self, instrument_id: str) -> str | None:
        listed = self.instruments.get(instrument_id) or self._remembered.get(instrument_id)
        return None if listed is None else listed.group

    # -- pairs

    def approve(self, pair: PairApproved, ts_ns: int) -> list[Step]:
        """Take an approval, or a new one under the same name."""
        self.pairs[pair.pair_id] = pair
        self._paired |= {pair.instrument_a: None, pair.instrument_b: None}
        return self._settle_groups(ts_ns)

    def revoke(self, pair_id: str, reason: str, ts_ns: int) -> list[Step]:
        """Take a pair back."""
        self.pairs.pop(pair_id, None)
        return self._delist(pair_id, reason, ts_ns)

    def _delist(self, pair_id: str, reason: str, ts_ns: int) -> list[Step]:
        """Take a pair from the log, whichever life listed it; nothing when the log does not have it."""
        before = self._pairs_before.pop(pair_id, None)
        listed = self._listed_pairs.pop(pair_id, before)
        if listed is None:
            return []
        said = Write(PairDelisted(ts_received_ns=ts_ns, pair_id=pair_id, reason=reason), listed.group)
        self._delisted[pair_id] = said
        return [said]

    def rename(self, symbol_from: str, symbol_to: str) -> None:
        """A pair named its Polymarket leg by slug: the catalogue says which instrument that is."""
        if symbol_from in self._paired:
            self._paired[symbol_to] = self._paired.pop(symbol_from)
        for pair_id, pair in self.pairs.items():
            if pair.instrument_a == symbol_from:
                self.pairs[pair_id] = msgspec.structs.replace(pair, instrument_a=symbol_to)
            elif pair.instrument_b == symbol_from:
                self.pairs[pair_id] = msgspec.structs.replace(pair, instrument_b=symbol_to)

    def wanted(self) -> list[str]:
        """Instruments that pairs name, revoked ones too, and that nobody has listed yet: what is held of them has to be sold somewhere."""
        return [leg for leg in self._paired if leg not in self.instruments and leg not in self.paid]

    # -- readers

    def group_of(self, instrument_id: str) -> str:
        """Group of a listed instrument."""
        return self.instruments[instrument_id].group

    def open_instruments(self) -> list[InstrumentListed]:
        """Instruments listed and not settled."""
        return [listed for key, listed in self.instruments.items() if key not in self.paid]

    def keyframes(self, instrument_id: str, ts_ns: int) -> list[Write]:
        """The instrument and the pairs that it leads, repeated as they stand."""
        listed = self.instruments.get(instrument_id)
        if listed is None or instrument_id in self.paid:
            return []
        writes = [Write(msgspec.structs.replace(listed, ts_received_ns=ts_ns, keyframe=True), listed.group)]
        writes += [
            Write(msgspec.structs.replace(pair, ts_received_ns=ts_ns, keyframe=True), pair.group)
            for pair in self._listed_pairs.values()
            if pair.instrument_a == instrument_id
        ]
        return writes

    def repeat(self, ts_ns: int) -> list[Write]:
        """Everything, as when it was first said: for a log that missed some of it. What ended comes before what is."""
        self._waiting_since = dict.fromkeys(
            self._waiting_since, ts_ns
        )  # that their pairs are delisted may have been missed
        writes = list(self._delisted.values())
        said: list[InstrumentListed | PairListed] = [*self.open_instruments(), *self._listed_pairs.values()]
        writes += [Write(msgspec.structs.replace(one, ts_received_ns=ts_ns), one.group) for one in said]
        writes += [
            Write(one, group) for key, one in self.settled.items() if (group := self._group_in_log(key)) is not None
        ]
        return writes

    # -- groups

    def _root(self, event_id: str) -> str:
        root = event_id
        while (parent := self._parents.get(root, root)) != root:
            root = parent
        return root

    def _settle_groups(self, ts_ns: int) -> list[Step]:
        """Join the events of live pairs, move what has to move and may, and list the pairs whose legs now stand together."""
        for pair in self.pairs.values():
            a, b = self.instruments.get(pair.instrument_a), self.instruments.get(pair.instrument_b)
            if a is not None and b is not None:
                low, high = sorted((self._root(a.event_id), self._root(b.event_id)))
                self._parents[high] = low
        moving: dict[str, list[InstrumentListed]] = {}
        for listed in self.instruments.values():
            if listed.group != self._root(listed.event_id):
                moving.setdefault(listed.group, []).append(listed)
        steps: list[Step] = []
        ids = {listed.instrument_id for members in moving.values() for listed in members}
        for pair_id, said in (self._pairs_before | self._listed_pairs).items():
            if said.instrument_a in ids or said.instrument_b in ids:
                steps += self._delist(pair_id, "its group moves, once no trade is open on it", ts_ns)
        for group, members in moving.items():
            if any(listed.instrument_id in self._traded for listed in members):
                self._waiting_since.setdefault(group, ts_ns)
            else:
                for listed in members:
                    steps += self._move(listed, ts_ns)
        return steps + self._list_pairs(ts_ns)

    @property
    def waiting(self) -> dict[str, Waiting]:
        """Groups that are to move as soon as no trade is open on their instruments."""
        found: dict[str, Waiting] = {}
        for group, since_ns in self._waiting_since.items():
            members = [listed for listed in self.instruments.values() if listed.group == group]
            found[group] = Waiting(
                since_ns, self._root(members[0].event_id), tuple(listed.instrument_id for listed in members)
            )
        return found

    def move(self, group: str, ts_ns: int) -> list[Step]:
        """Move a waiting group: no trade is open on it, or nobody can wait any longer."""
        del self._waiting_since[group]
        steps: list[Step] = []
        for listed in [listed for listed in self.instruments.values() if listed.group == group]:
            steps += self._move(listed, ts_ns)
        return steps + self._list_pairs(ts_ns)

    def _move(self, listed: InstrumentListed, ts_ns: int) -> list[Step]:
        group = self._root(listed.event_id)
        placed = msgspec.structs.replace(listed, group=group, ts_received_ns=ts_ns, keyframe=False)
        self.instruments[listed.instrument_id] = placed
        if listed.instrument_id in self.paid:
            return []
        moved = InstrumentMoved(
            ts_received_ns=ts_ns, instrument_id=listed.instrument_id, group_from=listed.group, group_to=group
        )
        return [Write(moved, listed.group), Write(placed, group), ShowBook(listed.instrument_id)]

    def _list_pairs(self, ts_ns: int) -> list[Step]:
        steps: list[Step] = []
        for pair in self.pairs.values():
            a, b = self.instruments.get(pair.instrument_a), self.instruments.get(pair.instrument_b)
            if a is None or b is None or not a.group == b.group == self._root(a.event_id):
                continue
            listed = PairListed(
                ts_received_ns=ts_ns,
                group=a.group,
                pair_id=pair.pair_id,
                relation=pair.relation,
                instrument_a=pair.instrument_a,
                instrument_b=pair.instrument_b,
                payouts=pair.payouts,
                haircut_micros=pair.haircut_micros,
                evidence=pair.evidence,
                approved_by=pair.operator,
                keyframe=False,
            )
            known = self._listed_pairs.get(pair.pair_id)
            if not self._identities.accept_pair(listed):
                steps += self._contradicted(listed, known, ts_ns)
                continue
            if known is not None and msgspec.structs.replace(known, ts_received_ns=ts_ns) == listed:
                continue
            self._listed_pairs[pair.pair_id] = listed
            self._pairs_before.pop(pair.pair_id, None)
            self._traded |= {pair.instrument_a, pair.instrument_b}
            steps.append(Write(listed, listed.group))
        return steps

    def _contradicted(self, wanted: PairListed, known: PairListed | None, ts_ns: int) -> list[Step]:
        """A pair was approved with other legs than it always had: it ends, and the new one wants another name."""
        a, b = self._identities.legs[wanted.pair_id]
        self._refuse(
            f"pair {wanted.pair_id}: its legs are {a} and {b} for ever; approve the other ones under another name"
        )
        if known is None:
            return []
        del self._listed_pairs[wanted.pair_id]
        delisted = PairDelisted(ts_received_ns=ts_ns, pair_id=wanted.pair_id, reason="approved with other legs")
        self._delisted[wanted.pair_id] = Write(delisted, known.group)
        return [self._delisted[wanted.pair_id]]

    def _refuse(self, refusal: str) -> None:
        if refusal not in self.refusals:
            self.refusals.append(refusal)


def _same(known: InstrumentListed, found: InstrumentListed) -> bool:
    return msgspec.structs.replace(known, **_NO_NEWS) == msgspec.structs.replace(found, **_NO_NEWS)


def _keep_fee_changes(listed: InstrumentListed, known: InstrumentListed) -> InstrumentListed:
    """An announced change that took effect stays in force while the venue still states the schedule from before it.

    The announcement leaves the venue's list at its moment, and for some seconds more the catalogue may answer with the old fee.
    """
    if listed.fee_schedule != known.fee_schedule:
        return listed
    begun = tuple(one for one in known.fee_changes if one.ts_effective_ns <= listed.ts_received_ns)
    ahead = tuple(one for one in listed.fee_changes if not begun or one.ts_effective_ns > begun[-1].ts_effective_ns)
    return msgspec.structs.replace(listed, fee_changes=begun + ahead)
