"""The demo as plain lines, for pipes, logs and simple terminals: nothing but text, each line once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from compat.demo.show import Show

__all__ = ["Lines", "result"]


class Lines:
    """Implements ``show.View``: writes what has happened since it last looked, and the verdict when there is one.

    Args:
        echo: Writes one line.
    """

    def __init__(self, echo: Callable[[str], None]) -> None:
        self._echo = echo
        self._written = 0

    def show(self, show: Show) -> None:
        """Write what is new; see ``show.View``."""
        for happening in show.happenings[self._written :]:
            self._echo(_line(happening.who, happening.text))
        self._written = len(show.happenings)
        for line in _verdict(show):
            self._echo(line)


def _verdict(show: Show) -> Iterator[str]:
    if not show.checks:
        return
    for feed in show.feeds.values():
        yield _line(feed.name, feed.summary)
    for check in show.checks:
        yield _line("passed" if check.passed else "failed", check.text)
        for detail in check.details:
            yield _line("", detail)
    yield _line("result", result(show))


def result(show: Show) -> str:
    """The verdict in one line."""
    failed = sum(not check.passed for check in show.checks)
    checks = f"{failed} of {len(show.checks)} checks failed" if failed else f"all {len(show.checks)} checks passed"
    return f"{checks}, in {show.now:.1f} s"


def _line(label: str, text: str) -> str:
    return f"{label:<10} {text}"
