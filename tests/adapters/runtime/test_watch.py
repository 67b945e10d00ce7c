"""The one thread that ends what does not end by itself, with guests that only say when they want to be looked at."""

from __future__ import annotations

import itertools
import logging
import threading

import pytest

from adapters.runtime.watch import PROCESS, Watch, lingering_guests
from detectors.errors import MachineError
from tests.support.waiting import HANG, wait_until


class Recorder:
    """A guest that notes when it is looked at, and asks to be looked at again as often as told."""

    def __init__(self, *again: float, lingering: bool = False) -> None:
        self.looks: list[float] = []
        self.threads: set[int] = set()
        self.looked = threading.Semaphore(0)
        self.lingering = lingering
        self._again = iter(again)

    def check(self, now: float) -> float | None:
        self.looks.append(now)
        self.threads.add(threading.get_ident())
        self.looked.release()
        pause = next(self._again, None)
        return None if pause is None else now + pause

    def stop(self) -> None:
        raise AssertionError("nobody stops it")

    def wait(self, timeout: float) -> bool:
        raise AssertionError("nobody waits for it")

    def wait_for_looks(self, count: int) -> None:
        for _ in range(count):
            assert self.looked.acquire(timeout=HANG)


# With times of our own: the clock of the watch's thread stands still, so for it ``DUE`` never comes.
DUE = 1_000_000.0


@pytest.fixture
def watch() -> Watch:
    return Watch(pace=0.5, clock=lambda: 0.0)


def test_a_guest_is_looked_at_when_it_is_due_not_before_and_once(watch: Watch) -> None:
    guest = Recorder()
    watch.born(guest)
    watch.look_after(guest, DUE)
    watch.look(DUE - 0.01)
    assert guest.looks == []
    watch.look(DUE + 0.01)
    watch.look(DUE + 1_000)
    assert guest.looks == [DUE + 0.01]


def test_a_thread_that_cannot_be_started_is_told_and_tried_again_for_the_next_guest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    watch, guest = Watch(), Recorder()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", fail)
        with pytest.raises(MachineError, match="no further thread can be started"):
            watch.born(guest)
    watch.look_after(guest, watch.clock())  # which was never born
    watch.born(guest)
    watch.look_after(guest, watch.clock())
    guest.wait_for_looks(1)
    assert len(guest.looks) == 1


def test_an_earlier_time_counts_and_a_later_one_does_not(watch: Watch) -> None:
    guest = Recorder()
    watch.born(guest)
    for due in (DUE + 60, DUE, DUE + 90):
        watch.look_after(guest, due)
    for now in (DUE, DUE + 60, DUE + 90):
        watch.look(now)
    assert guest.looks == [DUE]


def test_it_looks_again_at_the_time_it_is_told_but_never_without_a_pause(watch: Watch) -> None:
    guest = Recorder(0.0, 7.0)
    watch.born(guest)
    watch.look_after(guest, DUE)
    for tenths in range(100):
        watch.look(DUE + tenths / 10)
    assert guest.looks == [DUE, DUE + 0.5, DUE + 7.5]


def test_a_guest_that_raises_keeps_the_watch_from_no_other_and_is_looked_at_again(watch: Watch) -> None:
    class Raising(Recorder):
        def check(self, now: float) -> float | None:
            super().check(now)
            raise RuntimeError("its logger is broken")

    raising, other = Raising(), Recorder()
    for guest in (raising, other):
        watch.born(guest)
        watch.look_after(guest, DUE)
    watch.look(DUE)
    watch.look(DUE + 1)
    assert (raising.looks, other.looks) == ([DUE, DUE + 1], [DUE])


def test_a_guest_that_has_died_is_looked_at_no_more(watch: Watch) -> None:
    dead, other = Recorder(), Recorder()
    for guest in (dead, other):
        watch.born(guest)
        watch.look_after(guest, DUE)
    watch.died(dead)
    watch.look_after(dead, DUE)
    watch.look(DUE)
    assert (dead.looks, other.looks) == ([], [DUE])


class Broken(Recorder):
    """A guest that cannot be looked at a few times."""

    def check(self, now: float) -> float | None:
        again = super().check(now)
        if again is None:
            return None
        raise KeyError("a bug")


def test_a_guest_whose_check_raises_is_told_once_and_looked_at_again_like_all_others(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, other = Broken(9, 9), Recorder(0)
    for guest in (broken, other):
        watch.born(guest)
        watch.look_after(guest, DUE)
    for tenths in range(0, 100, 5):
        watch.look(DUE + tenths / 10)
    assert broken.looks == [DUE, DUE + 0.5, DUE + 1]
    assert other.looks == [DUE, DUE + 0.5]
    [record] = caplog.records
    assert (record.name, record.levelname) == ("compat.watch", "ERROR")
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], KeyError)


def test_logging_that_raises_does_not_end_the_watch(watch: Watch) -> None:
    def refuse(_: logging.LogRecord) -> bool:
        raise KeyError("a bug of the user's filter")

    guest = Broken(9)
    watch.born(guest)
    watch.look_after(guest, DUE)
    logger = logging.getLogger("compat.watch")
    logger.addFilter(refuse)
    try:
        watch.look(DUE)
    finally:
        logger.removeFilter(refuse)
    watch.look(DUE + 1)
    assert guest.looks == [DUE, DUE + 1]


def test_one_thread_looks_after_many_guests_and_never_too_early() -> None:
    watch, guests = Watch(pace=0.001), [Recorder(0.002, 0.002) for _ in range(20)]
    begun = watch.clock()
    for guest in guests:
        watch.born(guest)
        watch.look_after(guest, begun + 0.01)
    for guest in guests:
        guest.wait_for_looks(3)
        pauses = [later - earlier for earlier, later in itertools.pairwise([begun + 0.008, *guest.looks])]
        assert len(pauses) == 3
        assert min(pauses) >= 0.002 - 1e-6
    [thread] = set().union(*(guest.threads for guest in guests))
    assert thread != threading.get_ident()


def test_the_thread_is_woken_by_a_guest_that_is_due_earlier() -> None:
    watch, later, earlier = Watch(), Recorder(), Recorder()
    watch.born(later)
    watch.born(earlier)
    watch.look_after(later, watch.clock() + 3_600)
    wait_until(lambda: watch._wake._waiters, "the thread waits for the later one")  # type: ignore[attr-defined]
    watch.look_after(earlier, watch.clock())
    earlier.wait_for_looks(1)
    assert later.looks == []


def test_only_guests_that_are_alive_and_lingering_are_counted() -> None:
    watch = Watch()
    lingering, other, dead = Recorder(lingering=True), Recorder(), Recorder(lingering=True)
    for guest in (lingering, other, dead):
        watch.born(guest)
    watch.died(dead)
    assert watch.lingering() == [lingering]


def test_the_process_counts_the_guests_of_its_own_watch() -> None:
    guest = Recorder(lingering=True)
    wait_until(lambda: lingering_guests() == 0, "the guests of other tests wake")
    PROCESS.born(guest)
    try:
        assert lingering_guests() == 1
    finally:
        PROCESS.died(guest)
    assert lingering_guests() == 0


class Exit:
    """A watch at exit, on a clock that goes on only while somebody waits, with what it does in order."""

    def __init__(self, grace: float) -> None:
        self.now = 0.0
        self.log: list[str] = []
        self.watch = Watch(exit_grace=grace, clock=lambda: self.now)

    def guest(self, name: str, *, ends_at: float, lingers_at: float = 3_600) -> None:
        self.watch.born(Leaver(self, name, ends_at, lingers_at))

    def run(self) -> None:
        self.watch.stop_all()
        assert self.watch.exiting


class Leaver(Recorder):
    """A guest that ends, or is given up, at a time."""

    def __init__(self, exit_: Exit, name: str, ends_at: float, lingers_at: float) -> None:
        super().__init__()
        self._exit, self._name, self._ends_at, self._lingers_at = exit_, name, ends_at, lingers_at

    def stop(self) -> None:
        self._exit.log.append("stop")

    def wait(self, timeout: float) -> bool:
        if self._exit.now < self._ends_at:
            self._exit.now += timeout
        if ended := self._exit.now >= self._ends_at:
            self._exit.log.append(f"{self._name} ended")
        self.lingering = self._exit.now >= self._lingers_at
        return ended


def test_at_exit_every_guest_is_stopped_before_any_is_waited_for() -> None:
    leaving = Exit(grace=10)
    for name in "abc":
        leaving.guest(name, ends_at=3)
    leaving.run()
    assert leaving.log[:3] == ["stop"] * 3
    assert sorted(leaving.log[3:]) == ["a ended", "b ended", "c ended"]
    assert leaving.now == pytest.approx(3, abs=0.1)


def test_at_exit_a_lingering_guest_is_not_waited_for() -> None:
    leaving = Exit(grace=10)
    leaving.guest("a", ends_at=3_600, lingers_at=1)
    leaving.run()
    assert leaving.log == ["stop"]
    assert leaving.now == pytest.approx(1, abs=0.1)


def test_at_exit_all_guests_together_get_a_limited_time() -> None:
    leaving = Exit(grace=2)
    for name in "abc":
        leaving.guest(name, ends_at=3_600)
    leaving.run()
    assert leaving.log == ["stop"] * 3
    assert leaving.now == pytest.approx(2, abs=0.1)
