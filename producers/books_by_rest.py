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
    spacing_s: float,
) -> dict[str, bytes]:
    """Read at most so many books singly, in order, that far apart. Raises httpx.HTTPError when none could be read."""
    found: dict[str, bytes] = {}
    failed: httpx.HTTPError | None = None
    for number, one in enumerate(listed[:most]):
        if number:
            await asyncio.sleep(spacing_s)
        try:
            found[one.instrument_id] = await fetch(one)
        except httpx.HTTPStatusError as error:
            failed = error  # of this book alone
        except httpx.HTTPError as error:
            failed = error
            break
    if failed is not None and not found:
        raise failed
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
