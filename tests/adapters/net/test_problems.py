"""What goes wrong, in words: every exception has some, and none shows what may be a secret."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.datastructures import Headers
from websockets.exceptions import InvalidMessage, InvalidStatus
from websockets.http11 import Response

from adapters.net.problems import read_retry_after, what_failed

URL = "wss://feed.example/x"
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


def test_an_exception_that_is_not_the_networks_is_not_translated() -> None:
    assert what_failed(KeyError("a bug"), URL) is None


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError("odd"), "odd"),
        (OSError(), "OSError"),
        (EOFError(), "the server closed the connection during the handshake"),
        (ssl.SSLError(1, "[SSL] odd (_ssl.c:1)"), "TLS failed: [SSL] odd (_ssl.c:1)"),
    ],
)
def test_every_error_of_the_system_has_words(error: Exception, words: str) -> None:
    problem = what_failed(error, URL)
    assert problem is not None
    assert problem.words == words


def test_a_failure_while_another_is_handled_is_told_as_itself() -> None:
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__, error.__context__ = EOFError(), ssl.SSLError(1, "[SSL] of the attempt before")
    problem = what_failed(error, URL)
    assert problem is not None
    assert problem.words == "the server closed the connection during the handshake"


RETRY_AFTER = [
    ("0", 0.0),
    (" 120 ", 120.0),
    ("999999999999999", 999999999999999.0),
    ("9" * 16, None),
    ("-5", None),
    ("1.5", None),
    ("١٢", None),  # digits, but of no number that HTTP knows
    ("", None),
    ("soon", None),
    ("Thu, 01 Jan 2026 12:01:30 GMT", 90.0),
    ("Thursday, 01-Jan-26 12:00:10 GMT", 10.0),
    ("Thu Jan  1 12:00:10 2026", 10.0),
    ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
    ("Thu, 01 Jan 0001 00:00:00 +2359", 0.0),
    ("Thu, 99 Jan 2026 12:01:30 GMT", None),
]


def test_retry_after_is_seconds_or_a_date_or_nothing() -> None:
    assert [(text, read_retry_after(text, lambda: NOW)) for text, _ in RETRY_AFTER] == RETRY_AFTER


@given(st.integers(0, 10**6), st.integers(-12, 12))
def test_retry_after_reads_any_date_that_is_written_as_one(seconds: int, hours: int) -> None:
    when = (NOW + timedelta(seconds=seconds)).astimezone(timezone(timedelta(hours=hours)))
    assert read_retry_after(format_datetime(when), lambda: NOW) == seconds


@given(st.text(st.characters(codec="latin-1"), max_size=30))
def test_retry_after_is_never_negative_and_never_raises(text: str) -> None:
    found = read_retry_after(text)
    assert found is None or found >= 0


def refusal(status: int, *retry_after: str) -> InvalidStatus:
    return InvalidStatus(Response(status, "", Headers([("Retry-After", value) for value in retry_after])))


@pytest.mark.parametrize(
    ("error", "status", "retry_after", "words"),
    [
        (refusal(503), 503, None, "the server answered with HTTP status 503"),
        (refusal(429, "30"), 429, 30.0, "the server answered with HTTP status 429, and asks for 30 s of patience"),
        (refusal(429, "soon"), 429, None, "the server answered with HTTP status 429"),
        (refusal(429, "1", "2"), 429, None, "the server answered with HTTP status 429"),
    ],
)
def test_a_refusal_keeps_its_status_and_how_long_to_wait(
    error: InvalidStatus, status: int, retry_after: float | None, words: str
) -> None:
    problem = what_failed(error, URL)
    assert problem is not None
    assert (problem.status, problem.retry_after, problem.words) == (status, retry_after, words)


REMEDIES = [
    (401, "credentials"),
    (403, "serves this place"),
    (404, "WebSocket"),
    (429, "less often"),
    (302, "rewrite"),
    (503, "in service"),
    (418, "credentials"),
]


def test_every_status_has_a_remedy() -> None:
    for status, remedy in REMEDIES:
        problem = what_failed(refusal(status), URL)
        assert problem is not None
        assert remedy in problem.remedy, status
