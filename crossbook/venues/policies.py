"""How the books and fills of the venues built in are to be read: what their listings say of it, in one place.

A venue that a plug-in adds states its own policy on its listings; nothing is looked up here by those who read them.
"""

from collections.abc import Mapping
from typing import Final

from crossbook.domain.names import KALSHI, POLYMARKET
from schemas.records import Venue, VenuePolicy

#: Polymarket: its wire has no sequence and crosses in passing; fills count as exposure and may fail on chain; it leads, because an
#: immediate purchase is denominated in dollars and may bring more shares than asked for. Kalshi: a crossed book is a hole that was
#: missed; fills are final; it hedges, exact in 0.01 contracts.
POLICIES: Final[Mapping[Venue, VenuePolicy]] = {
    POLYMARKET: VenuePolicy(crossed_book="suspended", fill_finality="provisional", lead_rank=0),
    KALSHI: VenuePolicy(crossed_book="broken", fill_finality="final", lead_rank=1),
}
