"""The sign of life: on a terminal only, and only if something takes longer than a second."""

from __future__ import annotations

import inspect
import io
import threading
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from compat.cli.progress import counting, waiting
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

HOUR = 3_600.0


@pytest.fixture
def shown() -> io.StringIO:
    """What a terminal shows."""
    return io.StringIO()


@pytest.fixture
def terminal(shown: io.StringIO) -> Console:
    return Console(file=shown, force_terminal=True, width=80, color_system=None)


@pytest.fixture(autouse=True)
def nobody_draws() -> Iterator[None]:
    """What is over is over: no thread is left that could draw."""
    before = set(threading.enumerate())
    yield
    wait_until(lambda: before.issuperset(threading.enumerate()), "the threads end")


def is_over(text: str) -> bool:
    """Whether the message was erased, and the cursor is there again."""
    return text.rfind("\x1b[?25l") < text.rfind("\x1b[?25h") and "\x1b[2K" in text.rpartition("counting sheep")[2]


def test_what_takes_long_is_shown_until_it_ends(shown: io.StringIO, terminal: Console) -> None:
    with waiting("counting sheep", patience=0, console=terminal):
        wait_until(lambda: "counting sheep" in shown.getvalue(), "it is shown")
        assert not is_over(shown.getvalue())
    assert is_over(shown.getvalue())


def test_it_is_over_as_soon_as_that_is_told(shown: io.StringIO, terminal: Console) -> None:
    with waiting("counting sheep", patience=0, console=terminal) as stop:
        wait_until(lambda: "counting sheep" in shown.getvalue(), "it is shown")
        stop()
        over = shown.getvalue()
        assert is_over(over)
    assert shown.getvalue() == over


def test_what_is_counted_is_shown_as_it_goes_on(shown: io.StringIO, terminal: Console) -> None:
    with counting("inspecting", 1_200, patience=0, console=terminal) as count:
        wait_until(lambda: "inspecting 1,200 files: 0 done" in shown.getvalue(), "it is shown")
        count()
        wait_until(lambda: "inspecting 1,200 files: 1 done" in shown.getvalue(), "it is counted")


def test_what_is_quick_is_not_shown(shown: io.StringIO, terminal: Console) -> None:
    with waiting("counting sheep", patience=HOUR, console=terminal):
        pass
    with waiting("counting sheep", patience=HOUR, console=terminal) as stop:
        stop()
        stop()
    assert shown.getvalue() == ""


@pytest.mark.parametrize("kind", [waiting, counting])
def test_a_second_is_not_long(kind: object) -> None:
    assert callable(kind)
    assert inspect.signature(kind).parameters["patience"].default == 1.0


def test_without_a_terminal_nothing_is_shown(shown: io.StringIO) -> None:
    before = set(threading.enumerate())
    with waiting("counting sheep", patience=0, console=Console(file=shown)):
        assert set(threading.enumerate()) == before  # nobody who could
    assert shown.getvalue() == ""
