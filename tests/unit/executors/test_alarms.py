"""What a person must be told of is found in what was written, once."""

import msgspec

from executors.alarms import Alarms
from tests.builders.executors.desk import Desk
from tests.builders.executors.worlds import CONTRACT, KA, MICROS, intent, leg


def test_stuck_trades_errors_and_strangers_are_told_and_nothing_else():
    desk = Desk()
    alarms = Alarms(desk.state)

    def told(outputs):
        return [(one.event, one.fields.get("trade_id")) for one in alarms.of([desk.inputs[-1], *outputs])]

    assert told(desk.open(intent(1))) == []
    assert (
        told(desk.open(intent(2, leg_b=leg(KA, "no", 500_000, grid=())))) == []
    )  # the gate has its own word: pair_busy
    broken = desk.open(intent(3, pair_id="other", leg_b=leg(KA, "no", 500_000, grid=())))
    assert told(broken) == [("execute.declined_by_error", "main-i3")]
    stranger = msgspec.structs.replace(desk.sent[0], order_id="nobody-l1", trade_id="nobody")
    assert told(desk.report(stranger, "filled", CONTRACT)) == [("execute.report_of_no_order", None)]
    desk.top(KA, 1_200_000, 1_210_000)
    assert told(desk.report(desk.sent[0], "filled", 10 * CONTRACT)) == [("execute.stuck", "main-i1")]
    desk.state.standing.ledger.positions["kalshi:GONE", "yes"] = "no position"
    settled = desk.pay_out("kalshi:GONE", MICROS)
    assert told(settled) == [("execute.input_not_folded", None)]
    assert told([]) == []
