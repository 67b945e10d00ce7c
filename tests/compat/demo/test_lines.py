"""The demo as plain lines: each once, in the form of a label and a text."""

from __future__ import annotations

from compat.demo.lines import Lines
from compat.demo.show import Check
from tests.support.shows import finished_show, recovered_show


def test_every_line_is_written_once() -> None:
    written: list[str] = []
    lines, show = Lines(written.append), recovered_show()
    lines.show(show)
    first = len(written)
    assert first == len(show.happenings)
    lines.show(show)
    assert len(written) == first
    assert written[0] == "legacy     legacy plugin: it exports something"
    assert written[2].startswith("legacy     2025-01-01T00:00  open ")
    assert "exchange   drops both connections" in written
    assert "generic    back after 1.5 s; 4 candles missing" in written


def test_the_verdict_comes_last_and_in_ascii() -> None:
    written: list[str] = []
    show = finished_show()
    Lines(written.append).show(show)
    assert [line.split()[0] for line in written[-9:]] == ["legacy", "generic", *["passed"] * 6, "result"]
    assert written[-1] == "result     all 6 checks passed, in 3.5 s"
    assert all(line.isascii() and line.isprintable() for line in written)


def test_a_failed_check_says_what_speaks_against_it() -> None:
    written: list[str] = []
    show = finished_show()
    show.checks = (*show.checks, Check(False, "pigs fly", ("one did not", "nor did another")))
    assert not show.passed
    Lines(written.append).show(show)
    assert written[-4:] == [
        "failed     pigs fly",
        "           one did not",
        "           nor did another",
        "result     1 of 7 checks failed, in 3.5 s",
    ]
