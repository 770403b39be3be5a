"""Which partition of `orders` and `fills` a portfolio's executor wrote, as the log itself says.

An archive may come from a stack whose settings are not at hand, so the names are read from the journals: every record of one bears its
portfolio.
"""

from itertools import count

from crossbook.log.errors import LogError
from crossbook.log.reading import Log
from deploy.errors import UsageError
from schemas.codec import Codec
from schemas.errors import SchemaError
from schemas.topics import MAIN, partition_of


def journals(log: Log, codec: Codec) -> dict[str, int]:
    """Portfolios that have journaled something in a log, with their partition. Raises BrokerAwayError."""
    found: dict[str, int] = {}
    for partition in count():
        try:
            low, high = log.extent("orders", partition)
        except LogError:
            return found
        if low < high and (name := _portfolio(log, codec, partition)):
            found[name] = partition
    raise AssertionError("a log has an end of partitions")


def journal_of(log: Log, codec: Codec, portfolio: str, *, settled: bool = False) -> int | None:
    """Partition of a portfolio's journal. The main one has its own in any log; None where a `settled` name has journaled nothing.

    `settled`: the settings name the portfolio, so that it may be run over a log in which it never was.

    Raises:
        UsageError: neither the log nor the settings know that portfolio.
    """
    if portfolio == MAIN:
        return partition_of(MAIN)
    known = journals(log, codec)
    if portfolio not in known and not settled:
        raise UsageError(
            f"no portfolio {portfolio!r} has journaled anything in {log.name}; there are: {', '.join(known) or 'none'}"
        )
    return known.get(portfolio)


def _portfolio(log: Log, codec: Codec, partition: int) -> str:
    for line in log.read("orders", partition):
        try:
            return str(getattr(codec.decode(line.value), "portfolio", ""))
        except SchemaError:
            continue
    return ""
