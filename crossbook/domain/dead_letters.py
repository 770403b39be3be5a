"""Dead letters: the one way in which any stage says that it could not use some bytes.

Decides how much of the bytes, of the error and of the source is kept. A dead letter is always far smaller than the records that
Kafka takes and always encodes, whatever it is about: what is unusable must never stop the stage that says so.
"""

from typing import Final

from schemas.records import DeadLetter

#: Bytes of the unusable thing that are kept (the schema of DeadLetter says it): its kind shows in the first of them.
PAYLOAD_BYTES_MAX: Final = 65_536
#: Error texts may quote what they found, a whole record of 2 MB included; a sentence is enough.
ERROR_BYTES_MAX: Final = 500
#: Kafka's topic names have at most 249 characters; a feed's name is shorter.
NAME_BYTES_MAX: Final = 249
CUT: Final = "…"


def dead_letter(
    *,
    ts_ns: int,
    stage: str,
    source: str,
    error: str,
    payload: bytes = b"",
    partition: int | None = None,
    offset: int | None = None,
) -> DeadLetter:
    """Say of bytes that `stage` found in `source` what is wrong with them; everything is cut to its bound."""
    return DeadLetter(
        ts_ns=ts_ns,
        stage=bounded_text(stage, NAME_BYTES_MAX),
        source=bounded_text(source, NAME_BYTES_MAX),
        partition=partition,
        offset=offset,
        error=bounded_text(error, ERROR_BYTES_MAX),
        payload=payload[:PAYLOAD_BYTES_MAX],
    )


def bounded_text(text: str, bytes_max: int) -> str:
    """A text of at most so many bytes of UTF-8, with an ellipsis where it was cut; what UTF-8 cannot say becomes "?"."""
    raw = text[: bytes_max + 1].encode("utf-8", "replace")
    if len(raw) <= bytes_max and len(text) <= bytes_max:
        return raw.decode()
    return raw[: bytes_max - len(CUT.encode())].decode("utf-8", "ignore") + CUT
