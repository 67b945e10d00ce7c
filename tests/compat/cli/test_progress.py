"""The sign of life: on a terminal only, and only if something takes longer than a second."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from compat.cli import progress
from compat.cli.progress import waiting


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """A terminal."""
    output = io.StringIO()
    monkeypatch.setattr(
        progress, "Console", lambda **_: Console(file=output, force_terminal=True, width=80, color_system=None)
    )
    monkeypatch.setattr(progress, "_PATIENCE", 0.1)
    return output


def test_what_takes_long_is_shown_until_it_ends(shown: io.StringIO) -> None:
    with waiting("counting sheep"):
        end = time.monotonic() + 5
        while "counting sheep" not in shown.getvalue() and time.monotonic() < end:
            time.sleep(0.01)
        assert "counting sheep" in shown.getvalue()
    assert shown.getvalue().endswith("\x1b[?25h") or "\x1b[2K" in shown.getvalue()
    length = len(shown.getvalue())
    time.sleep(0.3)
    assert len(shown.getvalue()) == length


def test_what_is_quick_is_not_shown(shown: io.StringIO) -> None:
    with waiting("counting sheep"):
        pass
    with waiting("counting sheep") as stop:
        stop()
        stop()
        time.sleep(0.2)
    assert shown.getvalue() == ""


def test_without_a_terminal_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    output = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=output))
    monkeypatch.setattr(progress, "_PATIENCE", 0.0)
    with waiting("counting sheep"):
        time.sleep(0.1)
    assert output.getvalue() == ""
