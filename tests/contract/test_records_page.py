"""docs/records.md is what the contract says, today."""

from schemas import terms
from schemas.document import PAGE, main, render
from schemas.records import RECORDS
from schemas.topics import TOPICS


def test_the_page_is_current() -> None:
    assert PAGE.is_file(), "write it with: python -m schemas.document"
    assert PAGE.read_text("utf-8") == render(), "docs/records.md is stale; write it with: python -m schemas.document"
    assert main(["--check"]) == 0


def test_every_topic_and_record_is_on_the_page() -> None:
    text = render()
    assert all(f"| `{name}` |" in text for name in TOPICS)
    assert all(f"\n## {name}\n" in text for name in RECORDS)


def test_the_settings_of_an_executor_are_written_into_its_record_as_they_are_defined() -> None:
    assert terms.main(["--check"]) == 0, "ExecutorConfigured.avsc is stale; write it with: python -m schemas.terms"


def test_nested_fields_are_listed_under_their_path() -> None:
    text = render()
    assert "`payouts[].payout_a_micros` | long or null" in text
    assert "`intent.legs[].fee_schedule.hash`" in text
    assert "`paper.wire_quantiles[].latency_ns`" in text, "a type that is named a second time is written out again"
