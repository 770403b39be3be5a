"""What is under way at the paper venue: orders, cancels and reports, in the order in which they are due; and their images.

Decides nothing but that order: due, kind, then the number of the request that caused it. Values of the venue's own, mutable where an
order lives on.
"""

from typing import NamedTuple, TypeAlias

from crossbook.market.book import BookSide
from crossbook.market.book_state import BookState
from executors.errors import CheckpointError
from executors.terms import NS_PER_S, PaperTerms
from executors.venues.paper_image import CancelImage, DueImage, OrderImage
from executors.venues.paper_latency import report_latency_ns
from executors.venues.port import ARRIVAL
from schemas.records import CancelRequested, OrderReport, OrderRequested

#: How long an order waits for a usable book: a streaming one is back within a resync, a polled one within two slow polls (5.3 s
#: apart at most in the recorded matches). Both below the machine's horizon for unknown orders, so that silence always ends first.
STREAMING_WAIT_NS = 3 * NS_PER_S
POLLED_WAIT_NS = 12 * NS_PER_S


class PaperOrder:
    """An order at the venue. `venue_ns`: when it is there; `arrival_ns`: when it may match; `replaces`: the order that it takes the place of."""

    __slots__ = (
        "arrival_ns",
        "fills",
        "met",
        "replaces",
        "report_ns",
        "reports",
        "request",
        "sent",
        "terms",
        "venue_ns",
    )

    def __init__(self, request: OrderRequested, terms: PaperTerms, replaces: str = "") -> None:
        self.request = request
        self.terms = terms
        self.replaces = replaces
        self.arrival_ns = 0
        self.venue_ns = 0
        self.sent = False
        self.fills = 0
        self.reports = 0
        self.report_ns = report_latency_ns(terms, request.order_id)
        self.met = False


class PaperCancel(NamedTuple):
    """A cancel on its way."""

    request: CancelRequested
    report_ns: int


Item: TypeAlias = PaperOrder | PaperCancel | OrderReport
#: (due, kind, journal number and id of the request, number of the report, what): things due together go by the order of the requests.
Entry: TypeAlias = tuple[int, int, int, str, int, Item]


class Take(NamedTuple):
    """What an order takes of a level."""

    side: BookSide
    yes_price: int
    price: int
    quantity: int


def arrival(item: PaperOrder | PaperCancel, due_ns: int) -> Entry:
    """The entry of something that reaches the venue."""
    return due_ns, ARRIVAL, item.request.sequence, item.request.order_id, 0, item


def order_id_of(item: Item) -> str:
    """The order that an entry is of; empty for a cancel, which is a request of its own."""
    match item:
        case OrderReport():
            return item.order_id
        case PaperCancel():
            return ""
        case _:
            return item.request.order_id


def trade_id_of(item: Item) -> str:
    """The trade that an entry is of."""
    return item.trade_id if isinstance(item, OrderReport) else item.request.trade_id


def patience_ns(book: BookState | None) -> int:
    """How long an order waits for this book."""
    return POLLED_WAIT_NS if book is not None and book.delivery == "polled" else STREAMING_WAIT_NS


def shorten(takes: list[Take], quantity: int) -> list[Take]:
    """The first takes, up to a quantity."""
    kept: list[Take] = []
    for take in takes:
        if quantity <= 0:
            break
        part = min(take.quantity, quantity)
        kept.append(take._replace(quantity=part))
        quantity -= part
    return kept


def refused_cancel(cancel: PaperCancel, ts_ns: int) -> OrderReport:
    """What is said of an order that is not there to be cancelled: nothing is known of it. That ends no order, and books nothing."""
    request = cancel.request
    return OrderReport(
        sequence=-1,
        ts_ns=ts_ns + cancel.report_ns,
        partition=request.partition,
        position=-1,
        report_id=f"{request.order_id}-c{request.sequence}",
        order_id=request.order_id,
        venue_order_id="",
        trade_id=request.trade_id,
        ts_venue_ns=ts_ns,
        order_status="unknown",
        cumulative_quantity_micros=0,
        leaves_quantity_micros=0,
        last_quantity_micros=0,
        last_price_micros=0,
        last_fee_micros=0,
        fill_id="",
        liquidity="taker",
        finality="final",
        reversed=False,
        reason="nothing to cancel",
    )


# Images


def due_image(due: Entry) -> DueImage:
    """An entry as plain values."""
    ts_ns, kind, sequence, order_id, number, item = due
    return DueImage(
        ts_ns=ts_ns,
        kind=kind,
        sequence=sequence,
        order_id=order_id,
        number=number,
        order=order_image(item) if isinstance(item, PaperOrder) else None,
        report=item if isinstance(item, OrderReport) else None,
        cancel=CancelImage(*item) if isinstance(item, PaperCancel) else None,
    )


def due_of(image: DueImage) -> Entry:
    """The entry of an image. Raises CheckpointError when it is of nothing that can be due."""
    place = (image.ts_ns, image.kind, image.sequence, image.order_id, image.number)
    if image.order is not None:
        return *place, order_of(image.order)
    if image.cancel is not None:
        return *place, PaperCancel(image.cancel.request, image.cancel.report_ns)
    if image.report is None:
        raise CheckpointError("something is due at the paper venue that is neither an order, a cancel nor a report")
    return *place, image.report


def order_image(order: PaperOrder) -> OrderImage:
    """An order as plain values."""
    return OrderImage(**{name: getattr(order, name) for name in PaperOrder.__slots__})


def order_of(image: OrderImage) -> PaperOrder:
    """The order of an image."""
    order = PaperOrder(image.request, image.terms)
    for name in PaperOrder.__slots__:
        setattr(order, name, getattr(image, name))
    return order
