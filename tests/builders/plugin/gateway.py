"""A gateway of a plug-in: the venue on paper, by a maker of its own, whose reports bear its name."""

import msgspec

from executors.venues.paper import PAPER, PaperVenue
from tests.builders.plugin.acme import ACME


class AcmeGateway(PaperVenue):
    """Orders at acme. Its market is the one that the partition has folded."""

    __slots__ = ()

    def pop(self):
        report = super().pop()
        return None if report is None else msgspec.structs.replace(report, report_id=f"{ACME}-{report.report_id}")


#: Where orders of the built-in venues go, and those of the plug-in's.
GATEWAYS = {**PAPER, ACME: AcmeGateway}
