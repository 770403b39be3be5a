"""An announcement of decide."""

from schemas.records import DecideAnnounced

FIELDS = {name: 1 for name in DecideAnnounced.__struct_fields__ if name not in {"ts_ns", "operator", "code_digest"}}
ANNOUNCED = DecideAnnounced(ts_ns=1, operator="decide", code_digest="ab", **FIELDS)
