"""The lifecycle of an order as a table: which status a report makes of which.

Decides what a report may follow. A cell that cannot happen is `REFUSED` by name, a report that is older than what is known `STALE`:
both change no status, and an execution in them is booked all the same. Must never hold a price or a quantity.
"""

from typing import Final, Literal, TypeAlias

from schemas.records import OrderStatus

STATUSES: Final[tuple[OrderStatus, ...]] = (
    "requested",
    "accepted",
    "delayed",
    "partially_filled",
    "filled",
    "canceled",
    "rejected",
    "expired",
    "unknown",
)
#: Order states after which the venue does nothing more with it.
TERMINAL: Final = frozenset[OrderStatus]({"filled", "canceled", "rejected", "expired"})

REFUSED: Final = "refused"
#: Marks a report that is older than what is known: it changes no status.
STALE: Final = "stale"
OrderNext: TypeAlias = OrderStatus | Literal["stale", "refused"]

_LIVE_NEXT: Final[dict[OrderStatus, OrderNext]] = {
    "requested": REFUSED,
    "accepted": "accepted",
    "delayed": "delayed",
    "partially_filled": "partially_filled",
    "filled": "filled",
    "canceled": "canceled",
    "rejected": "rejected",
    "expired": "expired",
    "unknown": "unknown",
}
_DONE_NEXT: Final[dict[OrderStatus, OrderNext]] = {
    "requested": REFUSED,
    "accepted": STALE,
    "delayed": STALE,
    "partially_filled": STALE,
    "filled": STALE,
    "canceled": STALE,
    "rejected": STALE,
    "expired": STALE,
    "unknown": STALE,
}

#: {status: {reported status: next status}}.
ORDER_TABLE: Final[dict[OrderStatus, dict[OrderStatus, OrderNext]]] = {
    "requested": _LIVE_NEXT,
    "accepted": _LIVE_NEXT,
    "delayed": _LIVE_NEXT,
    # What was filled in part was neither refused nor is it waiting to be accepted.
    "partially_filled": {**_LIVE_NEXT, "accepted": STALE, "delayed": STALE, "rejected": REFUSED},
    "filled": _DONE_NEXT,
    "canceled": _DONE_NEXT,
    "rejected": {**_DONE_NEXT, "partially_filled": "partially_filled", "filled": "filled", "canceled": "canceled"},
    # Declared dead by us or by the venue's clock; a venue that knows better is believed.
    "expired": {**_LIVE_NEXT, "unknown": STALE},
    "unknown": {**_LIVE_NEXT, "unknown": STALE},
}
