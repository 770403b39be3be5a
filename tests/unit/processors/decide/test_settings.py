"""What decide announces is what its settings say, and the relayed form loses nothing."""

from crossbook.runtime.settings import DecideSettings
from processors.decide.settings import announcement, as_configured
from schemas.records import DecideConfigured


def test_units_and_names_carry_over():
    said = announcement(DecideSettings(close_window_s=3, top_interval_ms=7), "d", ts_ns=5, operator="decide")
    assert (said.close_window_ns, said.top_interval_ns, said.ts_ns) == (3_000_000_000, 7_000_000, 5)
    relayed = as_configured(said, ts_received_ns=6, control_offset=9)
    assert (relayed.ts_received_ns, relayed.control_offset, relayed.code_digest) == (6, 9, "d")
    for name in DecideConfigured.__struct_fields__:
        if name not in {"ts_received_ns", "control_offset"}:
            assert getattr(relayed, name) == getattr(said, name)
