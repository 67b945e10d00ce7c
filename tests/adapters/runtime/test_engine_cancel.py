"""Cancelling a call from another thread: what it ends, what it leaves alone, and when it is not sent."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
from extism_sys import lib

from adapters.runtime import engine
from adapters.runtime.errors import GuestStoppedError
from tests.adapters.runtime.guests import border_of
from tests.support.waiting import HANG, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from adapters.companion.border import Handler
    from adapters.runtime.engine import CallOutcome, Instance, Window
    from tests.adapters.runtime.conftest import MakeInstance


def looping(reached: threading.Event) -> Handler:
    """A host function for ``loop``: what its guest does next never ends by itself."""

    def host(request: bytes) -> bytes:
        reached.set()
        return request

    return host


def call_cancelled(instance: Instance, export: str, reached: threading.Event) -> CallOutcome:
    """Call an export, and cancel it from another thread, again and again, from when it has reached the host."""
    ended = threading.Event()

    def cancel_until_it_ends() -> None:
        assert reached.wait(HANG)
        while not ended.wait(0.01):
            instance.cancel()

    canceller = threading.Thread(target=cancel_until_it_ends)
    canceller.start()
    outcome = instance.call(export, b"")
    ended.set()
    canceller.join(HANG)
    return outcome


def test_a_cancel_from_another_thread_ends_guest_code(make_instance: MakeInstance) -> None:
    reached = threading.Event()
    outcome = call_cancelled(make_instance(looping(reached)), "loop", reached)
    assert not outcome.ok
    assert outcome.trapped


class Spy:
    """Extism's C interface, on which cancels are counted and something can be done as a call begins and ends."""

    def __init__(self, lib: Any) -> None:
        self._lib = lib
        self.cancels = 0
        self.as_a_call_begins: Callable[[], None] = lambda: None
        self.as_a_call_ends: Callable[[], None] = lambda: None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lib, name)

    def extism_plugin_call(self, *arguments: Any) -> int:
        self.as_a_call_begins()
        code = int(self._lib.extism_plugin_call(*arguments))
        self.as_a_call_ends()
        return code

    def extism_plugin_cancel(self, handle: Any) -> None:
        self.cancels += 1


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    """In the place of Extism's C interface."""
    spy = Spy(lib)
    monkeypatch.setattr(engine, "lib", spy)
    return spy


@pytest.mark.parametrize(("settled_after", "sent"), [(3_600, 0), (0, 1)])
def test_no_cancel_is_sent_while_a_call_may_be_beginning(
    spy: Spy, make_instance: MakeInstance, settled_after: float, sent: int
) -> None:
    instance = make_instance(settled_after=settled_after)
    assert instance.call("echo", b"x").ok  # the first call greets
    spy.as_a_call_begins = instance.cancel
    assert instance.call("echo", b"x").ok
    assert spy.cancels == sent
    instance.cancel()  # between two calls
    assert spy.cancels == sent + 1


def test_a_cancel_is_sent_as_soon_as_the_guest_is_known_to_run(spy: Spy, make_instance: MakeInstance) -> None:
    border = border_of()
    crossings: list[int] = []

    def exchange(window: Window, at: int) -> int:
        crossings.append(at)
        instance.cancel()
        return border.exchange(window, at)

    instance = make_instance(exchange=exchange, settled_after=3_600)
    assert instance.call("host", b"x").ok
    assert spy.cancels == len(crossings) == 2  # the greeting is a crossing, too


def test_a_guest_that_was_cancelled_before_its_request_was_read_is_stopped_and_not_at_fault(
    make_instance: MakeInstance,
) -> None:
    border = border_of()
    crossings: list[int] = []

    def exchange(window: Window, at: int) -> int:
        crossings.append(at)
        if len(crossings) == 2:  # after the greeting
            border.stopping.set()
            instance.cancel()
            wait_until(lambda: window.length(at) == 0, "the kernel does not answer any more")
        return border.exchange(window, at)

    instance = make_instance(exchange=exchange)
    outcome = instance.call("host", b"x")
    assert len(crossings) == 2
    assert isinstance(outcome.raised, GuestStoppedError)


def test_cancelling_one_instance_leaves_another_of_the_same_module_alone(make_instance: MakeInstance) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def host(request: bytes) -> bytes:
        inside.set()
        assert go_on.wait(HANG)
        return request

    outcomes: list[CallOutcome] = []
    thread = threading.Thread(target=lambda: outcomes.append(make_instance(host).call("host", b"x")))
    thread.start()
    assert inside.wait(HANG)
    reached = threading.Event()
    assert call_cancelled(make_instance(looping(reached)), "loop", reached).trapped  # the cancel took effect
    go_on.set()
    thread.join(HANG)
    assert [outcome.output for outcome in outcomes] == [b"x"]
