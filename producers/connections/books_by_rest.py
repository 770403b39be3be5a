"""Reading many books by REST: one batch where the venue has batches, else one after another within its limits.

Decides how a batch's answer is split and how singles are paced. A book that is missing from an answer is missing in the result: the
venue does not know it, or does not say. It must never make a book of what the venue left out.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

import httpx
import msgspec

from schemas.records import InstrumentListed

#: Statuses that say that the address has no batches.
NO_BATCHES = frozenset({404, 405, 501})


async def one_by_one(
    fetch: Callable[[InstrumentListed], Awaitable[bytes]],
    listed: Sequence[InstrumentListed],
    *,
    most: int,
    at_once: int,
    spacing_s: float,
) -> dict[str, bytes]:
    """Read at most so many books singly, so many at once and a reader's that far apart.

    Raises:
        httpx.HTTPError: none could be read.
    """
    found: dict[str, bytes] = {}
    failures: list[httpx.HTTPError] = []
    left = iter(listed[:most])

    async def read() -> None:
        for one in left:
            try:
                found[one.instrument_id] = await fetch(one)
            except httpx.HTTPError as error:
                failures.append(error)
                if not isinstance(error, httpx.HTTPStatusError):
                    return  # nobody answers; a status is of this book alone
            await asyncio.sleep(spacing_s)

    await asyncio.gather(*(read() for _ in range(at_once)))
    if failures and not found:
        raise failures[0]
    return found


def split(
    rows: Iterable[msgspec.Raw], name_of: Callable[[bytes], str], listed: dict[str, InstrumentListed]
) -> Iterator[tuple[str, bytes]]:
    """Instrument and body of each row that was asked for, by the name that the venue gives it; others are passed over."""
    for row in rows:
        body = bytes(row)
        try:
            one = listed.get(name_of(body))
        except msgspec.MsgspecError:
            continue
        if one is not None:
            yield one.instrument_id, body
