"""What a guest says, on its way to the logger: lines, without secrets, without commands for a terminal, and bounded."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.speech import Speech, SpeechBudget
from adapters.voice import LONGEST_LINE, Voice
from detectors.wording import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET = "correct-horse-battery"
CUT = " [cut]"


def redact(text: str) -> str:
    return text.replace(SECRET, "***")


class Hearer(logging.Handler):
    """A logger's end, with everything that arrives there."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[tuple[int, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.heard.append((record.levelno, record.getMessage()))

    @property
    def lines(self) -> list[str]:
        return [line for _, line in self.heard]


class Clock:
    """Seconds that pass when the test says so."""

    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def spoken(level: int = logging.DEBUG, **options: Any) -> tuple[Voice, Hearer]:
    """A voice and what hears it."""
    logger, hearer = logging.Logger("example"), Hearer()  # noqa: LOG001 - of its own
    logger.setLevel(level)
    logger.addHandler(hearer)
    return Voice(logger, **options), hearer


def test_a_text_is_told_line_by_line_at_its_level() -> None:
    voice, hearer = spoken()
    voice.say(logging.ERROR, "one\ntwo\r\nthree\n")
    voice.say(logging.INFO, "")
    voice.say(logging.DEBUG, "100% %s {}")
    assert hearer.heard == [
        (logging.ERROR, "one"),
        (logging.ERROR, "two"),
        (logging.ERROR, "three"),
        (logging.INFO, ""),
        (logging.DEBUG, "100% %s {}"),
    ]


def test_of_a_stream_whole_lines_are_told_however_they_arrive() -> None:
    voice, hearer = spoken()
    for piece in (b"o", b"ne\ntw", b"o\n\nthr", b"", b"ee\r", b"\nfour"):
        voice.print(logging.INFO, piece)
    assert hearer.lines == ["one", "two", "", "three"]


def test_a_line_without_an_end_is_told_when_the_call_ends_and_no_second_time() -> None:
    voice, hearer = spoken()
    voice.print(logging.INFO, b"out")
    voice.stderr(b"err")
    assert hearer.heard == []
    voice.end_of_call()
    voice.end_of_call()
    voice.print(logging.INFO, b"next\n")
    assert hearer.heard == [(logging.INFO, "out"), (logging.WARNING, "err"), (logging.INFO, "next")]


def test_what_goes_to_different_streams_is_never_mixed_in_one_line() -> None:
    voice, hearer = spoken()
    voice.print(logging.INFO, b"out ")
    voice.stderr(b"err ")
    voice.print(logging.INFO, b"more\n")
    voice.stderr(b"more\n")
    assert hearer.heard == [(logging.INFO, "out more"), (logging.WARNING, "err more")]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("\x00", "\\x00"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\tb\x08\x7f", "a\\tb\\x08\\x7f"),
        ("\x9b2J", "\\x9b2J"),
        ("\u202eevil\u200b", "\\u202eevil\\u200b"),
        ("é €\U0001f600", "é €\U0001f600"),
    ],
)
def test_what_does_not_print_is_told_as_an_escape(said: str, told: str) -> None:
    voice, hearer = spoken()
    voice.say(logging.INFO, said)
    voice.stderr(said.encode() + b"\n")
    assert hearer.lines == [told, told]
    assert voice.last_words() == told


def test_invalid_utf_8_is_told_with_replacements_also_where_a_letter_arrives_in_two_pieces() -> None:
    voice, hearer = spoken()
    voice.print(logging.INFO, b"\xff\xfe ok \xc3\n")
    voice.print(logging.INFO, b"\xc3")
    voice.print(logging.INFO, b"\xa9\n")
    assert hearer.lines == ["\ufffd\ufffd ok \ufffd", "é"]


@given(st.text())
def test_nothing_that_is_printable_is_changed_and_the_rest_is_never_told(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@pytest.mark.parametrize("length", [LONGEST_LINE - 1, LONGEST_LINE, LONGEST_LINE + 1, 3 * LONGEST_LINE])
def test_a_line_is_cut_after_8_kib(length: int) -> None:
    voice, hearer = spoken()
    voice.say(logging.INFO, "x" * length)
    voice.print(logging.INFO, b"x" * length + b"\n")
    whole = "x" * min(length, LONGEST_LINE) + (CUT if length > LONGEST_LINE else "")
    assert hearer.lines == [whole, whole]


@pytest.mark.parametrize("piece", [1_000, LONGEST_LINE, 32 * 1024])
def test_a_line_that_never_ends_is_told_once_and_its_rest_is_dropped(piece: int) -> None:
    voice, hearer = spoken()
    for _ in range(200):
        voice.print(logging.INFO, b"x" * piece)
    assert hearer.lines == ["x" * LONGEST_LINE + CUT]
    voice.print(logging.INFO, b"the rest\nnext\n")
    assert hearer.lines[1:] == ["next"]


def test_a_call_that_ends_within_a_line_that_was_cut_ends_the_line() -> None:
    voice, hearer = spoken()
    voice.print(logging.INFO, b"x" * 3 * LONGEST_LINE)
    voice.end_of_call()
    voice.print(logging.INFO, b"next\n")
    assert hearer.lines[1:] == ["next"]


def pieces(data: bytes, size: int) -> Sequence[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize("end", [b"\n", b""], ids=["ended", "unfinished"])
@pytest.mark.parametrize("size", [7, 32 * 1024])
def test_a_secret_is_told_by_nobody_wherever_it_is_cut(size: int, end: bytes) -> None:
    for before in (0, 100, LONGEST_LINE - 25, LONGEST_LINE - 10, LONGEST_LINE - 1, 2 * LONGEST_LINE - 10):
        voice, hearer = spoken(redact=redact)
        data = b"x" * before + SECRET.encode() + b"y" * 3 * LONGEST_LINE + end
        for piece in pieces(data, size):
            voice.stderr(piece)
        voice.say(logging.INFO, data.decode())
        voice.end_of_call()
        told = [*hearer.lines, voice.last_words()]
        assert [line for line in told if "cor" in line or "bat" in line] == []
        assert [len(line) <= LONGEST_LINE + len(CUT) for line in told] == [True] * 3
        assert all("***" in line for line in told[:2]) or before > 100
        assert all(line.startswith("x" * min(before, LONGEST_LINE)) for line in told[:2])


def test_secrets_that_shrink_a_long_line_do_not_bring_half_of_the_next_one_into_sight() -> None:
    voice, hearer = spoken(redact=redact)
    voice.stderr((SECRET.encode() * 3 * LONGEST_LINE)[: 2 * LONGEST_LINE + 5])
    assert set(hearer.lines[0].removesuffix(CUT)) == {"*"}
    assert set(voice.last_words().removesuffix(CUT)) == {"*"}


def test_a_secret_is_recognised_before_its_line_is_made_printable() -> None:
    voice, hearer = spoken(redact=lambda text: text.replace("new\u2029line", "***"))
    voice.print(logging.INFO, "the key new\u2029line\n".encode())
    assert hearer.lines == ["the key ***"]


def test_the_last_words_are_the_end_of_standard_error_and_are_given_once() -> None:
    voice, _ = spoken()
    voice.print(logging.INFO, b"not this\n")
    voice.stderr(b"\n  panic: out of range\n\ngoroutine 1")
    voice.end_of_call()
    assert voice.last_words() == "panic: out of range\\n\\ngoroutine 1"
    assert voice.last_words() == ""
    for number in range(5_000):
        voice.stderr(b"line %d\n" % number)
    words = voice.last_words().replace("\\n", "\n")
    assert words.endswith("line 4998\nline 4999")
    assert len(words) == 4 * 1024


def test_the_last_words_of_an_earlier_call_are_forgotten() -> None:
    voice, _ = spoken()
    voice.stderr(b"panic: recovered\nold\nunfinished")
    voice.end_of_call()
    voice.forget_words()
    assert voice.last_words() == ""
    voice.stderr(b"new\n" * 2_000)
    assert "old" not in voice.last_words()


def test_the_first_line_of_a_panic_comes_first_where_a_long_dump_follows_it() -> None:
    voice, _ = spoken(redact=redact)
    voice.stderr(b"panic: before\npanic: the key correct-horse-battery is wrong \n\n")
    for number in range(500):
        voice.stderr(b"main.f(...)\n\t/src/main.go:%d\n" % number)
    words = voice.last_words().replace("\\n", "\n")
    assert words.startswith("panic: the key *** is wrong\n...\n")
    assert words.endswith(":498\nmain.f(...)\n\\t/src/main.go:499")
    assert words.count("panic") == 1
    voice.stderr(b"panic: " + b"x" * 5_000 + b"the end\n")
    words = voice.last_words()
    assert words.startswith("panic: xxx")
    assert words.endswith("xthe end")
    assert len(words) == 4 * 1024 + 2  # two ends of lines are two characters each
    assert voice.last_words() == ""


def test_the_last_words_count_before_their_line_has_ended() -> None:
    voice, _ = spoken()
    voice.stderr(b"one\ntwo")
    assert voice.last_words() == "one\\ntwo"


def test_secrets_are_not_among_the_last_words_even_where_they_are_cut_off() -> None:
    for before in range(0, 60, 3):
        voice, _ = spoken(redact=redact)
        voice.stderr(b"a" * before + SECRET.encode() + b"\n" + b"b" * (4 * 1024 - 30) + b"\n")
        words = voice.last_words()
        assert not any(part in words for part in ("correct", "horse", "battery", "ttery", "ery"))


def test_the_last_words_are_kept_although_the_logger_takes_none() -> None:
    voice, hearer = spoken(logging.ERROR, budget=SpeechBudget(Speech(burst=1, rate=0.0)))
    voice.stderr(b"one\ntwo\nthree\n")
    assert hearer.heard == []
    assert voice.last_words() == "one\\ntwo\\nthree"


def test_a_guest_that_talks_too_much_is_cut_short_and_what_was_left_out_is_counted() -> None:
    clock = Clock()
    voice, hearer = spoken(budget=SpeechBudget(Speech(burst=10, rate=2.0), clock))
    for number in range(30):
        voice.say(logging.INFO, str(number))
    assert hearer.lines == [str(number) for number in range(10)]
    clock.now += 0.4  # less than a line's worth
    voice.say(logging.INFO, "too soon")
    assert len(hearer.heard) == 10
    clock.now += 0.2  # a tenth of the burst: it has been silent for a while
    voice.say(logging.INFO, "again")
    clock.now += 1.0
    voice.say(logging.INFO, "and again")
    assert hearer.heard[10:] == [
        (logging.WARNING, "21 lines that it logged were left out: it logs too much"),
        (logging.INFO, "again"),
        (logging.INFO, "and again"),
    ]


def test_one_that_was_silenced_has_to_be_silent_for_a_tenth_of_its_burst() -> None:
    clock = Clock()
    voice, hearer = spoken(budget=SpeechBudget(Speech(burst=100, rate=1.0), clock))
    for number in range(101):
        voice.say(logging.INFO, str(number))
    for _ in range(9):
        clock.now += 1.0
        voice.say(logging.INFO, "not yet")
    assert len(hearer.heard) == 100
    clock.now += 1.0
    voice.say(logging.INFO, "again")
    assert hearer.lines[100:] == ["10 lines that it logged were left out: it logs too much", "again"]


def test_silence_earns_no_more_than_the_burst() -> None:
    clock = Clock()
    voice, hearer = spoken(budget=SpeechBudget(Speech(burst=5, rate=100.0), clock))
    clock.now += 1_000_000.0
    for number in range(20):
        voice.say(logging.INFO, str(number))
    assert len(hearer.heard) == 5


def test_what_the_logger_does_not_take_costs_nothing_of_what_it_may_say() -> None:
    voice, hearer = spoken(logging.INFO, budget=SpeechBudget(Speech(burst=2, rate=0.0)))
    for _ in range(100):
        voice.say(logging.DEBUG, "nobody hears it")
    voice.say(logging.INFO, "heard")
    assert hearer.lines == ["heard"]


def test_while_it_is_quiet_everything_is_told_at_debug() -> None:
    quiet = False
    voice, hearer = spoken(quiet=lambda: quiet)
    voice.say(logging.ERROR, "a failure")
    quiet = True
    voice.say(logging.ERROR, "a failure")
    voice.stderr(b"another\n")
    assert [level for level, _ in hearer.heard] == [logging.ERROR, logging.DEBUG, logging.DEBUG]


@pytest.mark.parametrize(
    ("logger", "level"),
    [
        (1, 0),
        (logging.DEBUG, 0),
        (logging.INFO, 2),
        (logging.INFO + 1, 3),
        (logging.WARNING, 3),
        (logging.ERROR, 4),
        (logging.CRITICAL, 4),
    ],
)
def test_the_lowest_level_is_the_loggers_in_extisms_numbers(logger: int, level: int) -> None:
    assert spoken(logger)[0].level == level


def test_what_was_left_out_is_told_once_even_if_nothing_is_said_any_more(
    caplog: pytest.LogCaptureFixture,
) -> None:
    voice = Voice(logging.getLogger("left out"), budget=SpeechBudget(Speech(burst=2, rate=1), lambda: 0.0))
    for number in range(5):
        voice.say(logging.ERROR, f"line {number}")
    voice.tell_left_out()
    voice.tell_left_out()
    assert [record.getMessage() for record in caplog.records] == [
        "line 0",
        "line 1",
        "3 lines that it logged were left out: it logs too much",
    ]
