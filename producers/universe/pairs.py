"""Market pairs: the pairs file, and the record that approves a pair.

Decides the form of `pairs.yaml` and that a payout matrix is complete enough to trade on. It must never invent a payout: a cell
that is not in the file, or has no evidence, is unknown, and an unknown admissible cell keeps the pair from trading.

    pairs:
      - pair_id: fed-december-cut
        relation: identity                    # or complement
        polymarket: {condition_id: "0x…"}     # or {slug: fed-cuts-in-december}
        kalshi: KXFEDDECISION-25DEC-C25
        haircut: "0.005"                      # dollars a contract; optional, default 0
        evidence: both settle on the target range announced after the December meeting
        payouts:                              # what one YES of each leg pays, in dollars; null is unknown
          yes: {polymarket: "1", kalshi: "1", evidence: rule text of both}
          no: {polymarket: "0", kalshi: "0", evidence: rule text of both}
          void: {admissible: false, evidence: no clause of either rule text voids the market}

Polymarket is leg a, Kalshi leg b. Amounts are text, so that no float stands between the file and the money.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from crossbook.domain.errors import MoneyError
from crossbook.domain.money import MICROS, parse_price
from crossbook.domain.names import KALSHI, POLYMARKET, instrument_id
from schemas.records import PairApproved, PayoutCell, PayoutOutcome, Relation

CONDITION_DIGITS = 64


class PairsFileError(ValueError):
    """A pairs file that is none; the message says where and why."""


class Strict(BaseModel):
    """Base: unknown keys are refused, types are not bent."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PolymarketName(Strict):
    """A Polymarket market by its condition id or its slug; exactly one."""

    condition_id: str | None = None
    slug: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "PolymarketName":
        if (self.condition_id is None) == (self.slug is None):
            raise ValueError("give condition_id or slug, exactly one")
        return self

    @property
    def instrument_id(self) -> str:
        """Id of the instrument; a slug stands in for the condition id until the catalogue resolves it."""
        if self.slug is not None:
            return instrument_id(POLYMARKET, self.slug)
        return instrument_id(POLYMARKET, full_condition_id(self.condition_id or ""))


class Payout(Strict):
    """What one YES of each leg pays in one outcome, as text in dollars."""

    polymarket: str | None = None
    kalshi: str | None = None
    admissible: bool = True
    evidence: str = Field(min_length=1)

    @field_validator("polymarket", "kalshi")
    @classmethod
    def _is_a_price(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                parse_price(value)
            except MoneyError as error:
                raise ValueError(str(error)) from error
        return value


class ApprovedPair(Strict):
    """One pair of the file."""

    pair_id: str = Field(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]*$")
    relation: Relation
    polymarket: PolymarketName
    kalshi: str = Field(min_length=1)
    haircut: str = "0"
    evidence: str = Field(min_length=1)
    payouts: dict[PayoutOutcome, Payout]

    @field_validator("haircut")
    @classmethod
    def _haircut_is_a_price(cls, value: str) -> str:
        try:
            parse_price(value)
        except MoneyError as error:
            raise ValueError(str(error)) from error
        return value

    @model_validator(mode="after")
    def _matrix_fits_the_relation(self) -> "ApprovedPair":
        """The two plain outcomes must be there and say what the relation says; the rest may be unknown."""
        for outcome in ("yes", "no"):
            cell = self.payouts.get(outcome)
            if cell is None:
                raise ValueError(f"payouts.{outcome} is missing; without it nothing can be priced")
            if cell.polymarket is None or cell.kalshi is None:
                continue
            polymarket, kalshi = parse_price(cell.polymarket), parse_price(cell.kalshi)
            expected = polymarket if self.relation == "identity" else MICROS - polymarket
            if kalshi != expected:
                raise ValueError(f"payouts.{outcome} contradicts relation {self.relation}")
        return self

    def approval(self, ts_ns: int, operator: str) -> PairApproved:
        """The record that approves this pair."""
        cells = tuple(
            PayoutCell(
                outcome=outcome,
                payout_a_micros=None if cell.polymarket is None else parse_price(cell.polymarket),
                payout_b_micros=None if cell.kalshi is None else parse_price(cell.kalshi),
                admissible=cell.admissible,
                evidence=cell.evidence,
            )
            for outcome, cell in self.payouts.items()
        )
        return PairApproved(
            ts_ns=ts_ns,
            operator=operator,
            pair_id=self.pair_id,
            relation=self.relation,
            instrument_a=self.polymarket.instrument_id,
            instrument_b=instrument_id(KALSHI, self.kalshi),
            payouts=cells,
            haircut_micros=parse_price(self.haircut),
            evidence=self.evidence,
        )


class PairsFile(Strict):
    """The whole file."""

    pairs: list[ApprovedPair]

    @model_validator(mode="after")
    def _names_are_unique(self) -> "PairsFile":
        names = [pair.pair_id for pair in self.pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"pair_id {', '.join(twice)} stands there more than once")
        return self


def load_pairs_file(path: Path) -> list[ApprovedPair]:
    """Read a pairs file.

    Raises:
        OSError: the file cannot be read.
        PairsFileError (a ValueError): it is no YAML or no pairs file; the message names the first field that is wrong.
    """
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise PairsFileError(f"no YAML: {error}") from error
    content = _outcomes_as_text(content)
    try:
        return PairsFile.model_validate(content).pairs
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise PairsFileError(f"{where}: {first['msg']} (was {str(first.get('input'))[:80]!r})") from error


def other_legs(known: PairApproved, wanted: PairApproved) -> bool:
    """Whether two approvals under one name certainly mean other markets; a slug and a condition id may be the same one."""

    def differ(one: str, other: str) -> bool:
        by_condition = [":0x" in name for name in (one, other)]
        return one != other and by_condition[0] == by_condition[1]

    return differ(known.instrument_a, wanted.instrument_a) or differ(known.instrument_b, wanted.instrument_b)


def _outcomes_as_text(content: Any) -> Any:
    """YAML 1.1 reads bare `yes` and `no` as booleans; as outcomes they are words."""
    if isinstance(content, dict) and isinstance(content.get("pairs"), list):
        for pair in content["pairs"]:
            if isinstance(pair, dict) and isinstance(pair.get("payouts"), dict):
                pair["payouts"] = {
                    {True: "yes", False: "no"}.get(outcome, outcome) if isinstance(outcome, bool) else outcome: cell
                    for outcome, cell in pair["payouts"].items()
                }
    return content


def full_condition_id(condition_id: str) -> str:
    """The 64-digit form of a condition id: Gamma shows those of protocol v2 with 62, the CLOB pads them with zeros."""
    if condition_id.startswith("0x") and len(condition_id) < CONDITION_DIGITS + 2:
        return condition_id.ljust(CONDITION_DIGITS + 2, "0")
    return condition_id
