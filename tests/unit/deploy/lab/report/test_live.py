"""A live log read as an outcome: the same figures as the run that wrote it, and holes that are said, not filled."""

import pytest

from crossbook.log.errors import LogError
from deploy.lab.analysis.analysis import analyse
from deploy.lab.report.live import read_outcome
from tests.builders import market_records as mr
from tests.builders.logs.reported import CODEC, log_of
from tests.builders.outcomes import golden, simulated


@pytest.mark.parametrize("outcome", [golden(), simulated(seed=3, seconds=300)], ids=["golden", "real"])
def test_a_log_gives_the_figures_of_the_run_that_wrote_it(outcome):
    found = read_outcome(log_of(outcome), CODEC, name=outcome.name)
    here, there = analyse(found), analyse(outcome)
    assert here.totals == there.totals
    assert here.trades == there.trades
    assert here.packages == there.packages
    assert [one.net_micros for one in here.episodes] == [one.net_micros for one in there.episodes]
    assert (found.log_id, found.code_digest, found.warnings) == (mr.LOG_ID, mr.DIGEST, ())
    assert found.settings["decide.min_edge_micros"] == 25_000
    assert found.instruments == outcome.instruments


def test_a_topic_that_is_not_there_is_named():
    found = read_outcome(log_of(golden(), without=("signals", "intents")), CODEC)
    assert len(found.warnings) == 2
    assert "no signals" in " ".join(found.warnings)
    # the journal holds no IntentSeen here, so nothing is known of the intents but that fills stand
    assert analyse(found).totals.fee_micros == 164_000


def test_a_log_without_orders_is_no_run():
    with pytest.raises(LogError, match="orders"):
        read_outcome(log_of(golden(), without=("orders",)), CODEC)
