"""Calls on a thread of their own: answers and errors come back, and one that hangs can be left behind."""

import threading

import pytest

from crossbook.runtime.caller import Caller


def test_a_call_is_made_once_on_another_thread():
    seen = []
    caller = Caller()
    for _ in range(3):
        caller.call(lambda: seen.append(threading.get_ident()), 5)
    assert len(seen) == 3
    assert len(set(seen)) == 1
    assert threading.get_ident() not in seen


def test_what_the_function_raises_is_raised():
    with pytest.raises(KeyError, match="gone"):
        Caller().call(lambda: {}["gone"], 5)


def test_a_call_that_does_not_return_is_left_behind():
    never = threading.Event()
    caller = Caller()
    with pytest.raises(TimeoutError):
        caller.call(lambda: never.wait() and None, 0.01)
    never.set()


def test_the_thread_ends_with_its_caller():
    threads = []
    caller = Caller()
    caller.call(lambda: threads.append(threading.current_thread()), 5)
    del caller
    threads[0].join(5)
    assert not threads[0].is_alive()
