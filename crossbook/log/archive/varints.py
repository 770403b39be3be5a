"""Avro's variable-length integers, many at a time: a vector of cursors into bytes, and back.

Decides nothing. Must never raise on bytes that are no such integers: a cursor that runs wild is *poisoned*, that is, put behind
the last byte, where it stays; the caller sees that it does not stand at the end of its record. Eight bytes are read and written
at once, at any address, so that a long costs a few operations and not one a byte.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Longs = NDArray[np.int64]
Words = NDArray[np.uint64]
Octets = NDArray[np.uint8]

#: What may be read behind the last byte: a word at the poisoned cursor, and the ninth and tenth byte of a long there.
PAD: Final = 32
_ONE: Final = np.uint64(1)
_SEVEN: Final = np.uint64(7)
_TOPS: Final = np.uint64(0x8080_8080_8080_8080)
_FIRST_56: Final = np.uint64(0x00FF_FFFF_FFFF_FFFF)
_FOLDS: Final = tuple(
    (np.uint64(keep), np.uint64(move), np.uint64(shift))
    for keep, move, shift in (
        (0x007F_007F_007F_007F, 0x7F00_7F00_7F00_7F00, 1),
        (0x0000_3FFF_0000_3FFF, 0x3FFF_0000_3FFF_0000, 2),
        (0x0000_0000_0FFF_FFFF, 0x0FFF_FFFF_0000_0000, 4),
    )
)
_SPREADS: Final = tuple(
    (np.uint64(keep), np.uint64(move), np.uint64(shift))
    for keep, move, shift in (
        (0x0000_0000_0FFF_FFFF, 0x00FF_FFFF_F000_0000, 4),
        (0x0000_3FFF_0000_3FFF, 0x0FFF_C000_0FFF_C000, 2),
        (0x007F_007F_007F_007F, 0x3F80_3F80_3F80_3F80, 1),
    )
)
#: Zigzag of every one-byte varint.
_SMALL: Final = np.array([(byte >> 1) ^ -(byte & 1) for byte in range(128)], np.int64)
#: Keeps the first n bytes of a word.
HEADS: Final = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
#: Continuation bits of a varint of n bytes in its first eight.
_CONTINUED: Final = np.array([0, *(int(HEADS[min(n - 1, 8)]) & int(_TOPS) for n in range(1, 11))], np.uint64)


class Source(NamedTuple):
    """Bytes of many records behind each other with `PAD` zeros behind them, and the same as words at any address.

    `poison` is where a wild cursor is put; `longest` the size of the longest record: no array in it has more items.
    """

    octets: Octets
    words: Words
    poison: int
    longest: int


def source_of(data: bytes, longest: int) -> Source:
    """Make bytes readable by cursors."""
    octets = np.frombuffer(data + bytes(PAD), np.uint8)
    return Source(octets, words_of(octets), len(data) + 1, longest)


def words_of(octets: Octets) -> Words:
    """The same memory as little-endian words that begin at every byte."""
    return np.ndarray((octets.size - 7,), np.dtype("<u8"), octets, strides=(1,))


def read_longs(source: Source, cursor: Longs) -> tuple[Longs, Longs]:
    """Values at the cursors, and the cursors behind them."""
    first = source.octets[cursor]
    if not first.size or first.max() < 128:
        return _SMALL.take(first), np.minimum(cursor + 1, source.poison)
    word = source.words[cursor]
    stops = ~word & _TOPS
    lowest = stops & (~stops + _ONE)
    below = lowest - _ONE  # all ones where no byte of the word ends the varint
    size = (np.bitwise_count(below).astype(np.int64) + 1) >> 3
    word &= (lowest | below) & ~_TOPS
    for keep, move, shift in _FOLDS:
        word = (word & keep) | ((word & move) >> shift)
    if size.max() == 8:
        _add_last_bytes(source, cursor, stops == 0, word, size)
    values = (word >> _ONE).view(np.int64) ^ -((word & _ONE).view(np.int64))
    return values, np.minimum(cursor + size, source.poison)


def _add_last_bytes(source: Source, cursor: Longs, unended: NDArray[np.bool_], word: Words, size: Longs) -> None:
    ninth = source.octets[cursor + 8] * unended  # where the eighth byte ends the varint, the ninth is another field's
    if not ninth.any():
        return
    size += unended
    word |= (ninth & np.uint8(127)).astype(np.uint64) << np.uint64(56)
    if ninth.max() > 127:
        longest = np.flatnonzero(ninth > 127)
        size[longest] = 10
        word[longest] |= source.octets[cursor[longest] + 9].astype(np.uint64) << np.uint64(63)


class Sink(NamedTuple):
    """Zeroed bytes to be filled, `PAD` more than there are, and the same as words at any address."""

    octets: Octets
    words: Words


def sink_of(size: int) -> Sink:
    """Room for so many bytes."""
    octets = np.zeros(size + PAD, np.uint8)
    return Sink(octets, words_of(octets))


def put_words(sink: Sink, at: Longs, word: Words) -> None:
    """Write words at ascending positions; bytes of a word that are zero leave what stands there as it is.

    Two writes that touch the same bytes within one numpy statement would lose one of them; positions that ascend by at least
    one are 8 apart when every eighth is taken.
    """
    step = 1
    while step < 8 and at.size > step and (at[step:] - at[:-step]).min() < 8:
        step *= 2
    for offset in range(step):
        sink.words[at[offset::step]] |= word[offset::step]


class LongPlan:
    """Longs on their way to bytes: `sizes` they take, and then `put` them."""

    __slots__ = ("_word", "_zigzag", "sizes")

    def __init__(self, values: Longs) -> None:
        zigzag = (values.view(np.uint64) << _ONE) ^ (values >> 63).view(np.uint64)
        self._zigzag = zigzag
        self._word: Words | None = None
        self.sizes: Longs = np.ones(values.size, np.int64)
        top = int(zigzag.max()) if zigzag.size else 0
        if top < 128:
            return
        for bits in range(7, 64, 7):
            if top >> bits == 0:
                break
            self.sizes += zigzag >= np.uint64(1 << bits)
        word = zigzag & _FIRST_56
        for keep, move, shift in _SPREADS:
            word = (word & keep) | ((word & move) << shift)
        self._word = word | _CONTINUED.take(self.sizes)

    def put(self, sink: Sink, at: Longs) -> None:
        """Write at positions, each before the next."""
        if self._word is None:
            sink.octets[at] = self._zigzag.astype(np.uint8)
            return
        put_words(sink, at, self._word)
        if (long := np.flatnonzero(self.sizes > 8)).size:
            more = (self.sizes[long] > 9).astype(np.uint8)
            ninth = (self._zigzag[long] >> np.uint64(56)).astype(np.uint8) & np.uint8(127)
            sink.octets[at[long] + 8] = ninth | (more << 7)
            longest = long[more == 1]
            sink.octets[at[longest] + 9] = (self._zigzag[longest] >> np.uint64(63)).astype(np.uint8)


def as_longs(values: Any) -> Longs:
    """Any integers as int64."""
    return np.ascontiguousarray(values, np.int64)
