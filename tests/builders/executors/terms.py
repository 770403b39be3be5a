"""Terms of an executor: a calm paper venue, and a rough one."""

from crossbook.domain.limits import CASH_MICROS
from executors.terms import ExecuteTerms, PaperTerms, Terms, venue_cash
from tests.builders.executors.worlds import MICROS

WIDE = ExecuteTerms(pairs_open_max=20, cost_per_leg_micros=2_500 * MICROS)
CALM = Terms(execute=WIDE)
ROUGH = Terms(
    execute=WIDE,
    paper=PaperTerms(vanish_ppm=150_000, partial_ppm=200_000, reject_ppm=80_000, late_ppm=150_000, reverse_ppm=60_000),
)


def cash(micros):
    """The same capital at every venue that has any."""
    return venue_cash(dict.fromkeys(CASH_MICROS, micros))
