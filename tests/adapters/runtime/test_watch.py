"""The one thread that ends what does not end by itself, with guests that only say when they want to be looked at."""

from __future__ import annotations

import itertools
import threading
import time

import pytest

from adapters.runtime import watch as room
from adapters.runtime.watch import _Watch


class Recorder:
    """A guest that notes when it is looked at, and asks to be looked at again as often as told."""

    def __init__(self, *again: float, lingering: bool = False) -> None:
        self.looks: list[float] = []
        self.looked = threading.Semaphore(0)
        self.stopped = 0
        self.ended = threading.Event()
        self.lingering = lingering
        self._again = iter(again)

    def check(self, now: float) -> float | None:
        self.looks.append(now)
        self.looked.release()
        pause = next(self._again, None)
        return None if pause is None else now + pause

    def stop(self) -> None:
        self.stopped += 1

    def wait(self, timeout: float) -> bool:
        return self.ended.wait(timeout)

    def wait_for_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looked.acquire(timeout=5)


@pytest.fixture
def watch() -> _Watch:
    return _Watch()


def test_a_guest_is_looked_at_when_it_is_due_and_not_before(watch: _Watch) -> None:
    guest = Recorder()
    watch.born(guest)
    due = time.monotonic() + 0.05
    watch.look_after(guest, due)
    guest.wait_for_looks(1)
    assert due <= guest.looks[0] < due + 1


def test_an_earlier_time_counts_and_a_later_one_does_not(watch: _Watch) -> None:
    guest = Recorder()
    watch.born(guest)
    now = time.monotonic()
    watch.look_after(guest, now + 60)
    watch.look_after(guest, now + 0.02)
    watch.look_after(guest, now + 90)
    guest.wait_for_looks(1)
    assert guest.looks[0] < now + 5


def test_it_looks_again_at_the_time_it_is_told_but_never_without_a_pause(watch: _Watch) -> None:
    guest = Recorder(*itertools.repeat(0.0, 5))
    watch.born(guest)
    watch.look_after(guest, time.monotonic())
    guest.wait_for_looks(6)
    pauses = [later - earlier for earlier, later in itertools.pairwise(guest.looks)]
    assert len(pauses) == 5
    assert min(pauses) >= 0.01


def test_a_guest_that_asks_for_nothing_is_forgotten(watch: _Watch) -> None:
    guest, other = Recorder(), Recorder(0.01, 0.01)
    for one in (guest, other):
        watch.born(one)
        watch.look_after(one, time.monotonic())
    other.wait_for_looks(3)
    assert len(guest.looks) == 1


def test_one_thread_looks_after_many_guests(watch: _Watch) -> None:
    guests = [Recorder(0.02, 0.02) for _ in range(20)]
    for guest in guests:
        watch.born(guest)
        watch.look_after(guest, time.monotonic())
    for guest in guests:
        guest.wait_for_looks(3)
    assert watch._thread is not None
    assert sum(thread is watch._thread for thread in threading.enumerate()) == 1


def test_a_guest_that_has_died_is_looked_at_no_more(watch: _Watch) -> None:
    dead, other = Recorder(), Recorder()
    watch.born(dead)
    watch.born(other)
    due = time.monotonic() + 0.05
    watch.look_after(dead, due)
    watch.died(dead)
    watch.look_after(dead, due)
    watch.look_after(other, due + 0.02)
    other.wait_for_looks(1)
    assert dead.looks == []


def test_only_guests_that_are_alive_and_lingering_are_counted(watch: _Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    lingering, other, dead = Recorder(lingering=True), Recorder(), Recorder(lingering=True)
    for guest in (lingering, other, dead):
        watch.born(guest)
    watch.died(dead)
    assert watch.lingering() == [lingering]
    monkeypatch.setattr(room, "watch", watch)
    assert room.lingering_guests() == 1


def test_at_exit_every_guest_is_stopped_and_waited_for(watch: _Watch) -> None:
    guests = [Recorder() for _ in range(3)]
    for guest in guests:
        watch.born(guest)

    def end_all() -> None:
        while not all(guest.stopped for guest in guests):
            time.sleep(0.001)
        for guest in guests:
            guest.ended.set()

    ender = threading.Thread(target=end_all)
    ender.start()
    begun = time.monotonic()
    watch.stop_all()
    ender.join(5)
    assert [guest.stopped for guest in guests] == [1, 1, 1]
    assert time.monotonic() - begun < 1


def test_at_exit_a_lingering_guest_is_not_waited_for(watch: _Watch) -> None:
    guest = Recorder(lingering=True)
    watch.born(guest)
    begun = time.monotonic()
    watch.stop_all()
    assert guest.stopped == 1
    assert time.monotonic() - begun < 1


def test_at_exit_all_guests_together_get_a_limited_time(watch: _Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "_EXIT_GRACE", 0.1)
    guests = [Recorder() for _ in range(3)]
    for guest in guests:
        watch.born(guest)
    begun = time.monotonic()
    watch.stop_all()
    assert 0.1 <= time.monotonic() - begun < 1
