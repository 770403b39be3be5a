"""The supervisor's pure decisions: order, back-off, what an exit code means."""

import pytest

from deploy.stack.child import ChildSpec
from deploy.stack.errors import SpecError
from deploy.stack.supervisor import TRANSITIONS, ChildState, backoff_s, start_order, state_after_exit


def specs(**needs):
    return [ChildSpec(name=name, argv=("true",), depends_on=on.split()) for name, on in needs.items()]


def test_start_order_puts_dependencies_first_and_keeps_the_rest():
    order = start_order(
        specs(execute="decide kafka", decide="kafka", kafka="", clickhouse="", project="clickhouse kafka")
    )
    assert [spec.name for spec in order] == ["kafka", "clickhouse", "decide", "project", "execute"]


@pytest.mark.parametrize(
    ("needs", "words"),
    [({"a": "b", "b": "a"}, "in a circle"), ({"a": "nobody"}, r"unknown \['nobody'\]"), ({"a": "a"}, "in a circle")],
)
def test_start_order_refuses(needs, words):
    with pytest.raises(SpecError, match=words):
        start_order(specs(**needs))


def test_two_children_of_one_name_are_refused():
    with pytest.raises(SpecError, match="same name"):
        start_order([*specs(a=""), *specs(a="")])


def test_backoff_doubles_to_its_cap():
    assert [round(backoff_s(n), 1) for n in (1, 2, 3, 4, 5, 6, 1000)] == [0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]


@pytest.mark.parametrize(
    ("code", "finishes", "state"),
    [
        (0, False, ChildState.BACKING_OFF),
        (0, True, ChildState.FINISHED),
        (1, True, ChildState.BACKING_OFF),
        (-9, False, ChildState.BACKING_OFF),
        (78, False, ChildState.FAILED),
        (78, True, ChildState.FAILED),
    ],
)
def test_state_after_exit(code, finishes, state):
    assert state_after_exit(code, finishes=finishes) is state


def test_every_state_can_be_stopped_and_is_reachable():
    assert set(TRANSITIONS) == set(ChildState)
    assert all(
        ChildState.STOPPED in following for state, following in TRANSITIONS.items() if state is not ChildState.STOPPED
    )
    assert set().union(*TRANSITIONS.values()) == set(ChildState) - {ChildState.WAITING}
