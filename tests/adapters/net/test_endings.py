"""How a connection ended, in words: who ended it, and why."""

from __future__ import annotations

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close, CloseCode

from adapters.net.endings import how_it_ended


@pytest.mark.parametrize(
    ("error", "limit", "words"),
    [
        (ConnectionClosedError(None, Close(CloseCode.NORMAL_CLOSURE, "")), 5, "closed by us (1000 (OK))"),
        (ConnectionClosedError(None, None), 5, "it broke off without a closing handshake"),
        (
            ConnectionClosedError(Close(1009, "too big"), Close(1009, ""), rcvd_then_sent=True),
            5,
            "the other end closed it with code 1009 'too big'",
        ),
        (
            ConnectionClosedError(Close(1009, ""), Close(1009, "over size limit"), rcvd_then_sent=False),
            5,
            "a message is longer than 5 bytes",
        ),
        (
            ConnectionClosedError(None, Close(1009, "over size limit")),
            None,
            "a message is longer than its connection allows",
        ),
        (
            ConnectionClosedError(None, Close(1009, "too many fragments")),
            5,
            "a message that came has too many fragments",
        ),
        (
            ConnectionClosedError(None, Close(1011, "keepalive ping timeout")),
            None,
            "no answer to a ping: the connection is half-open",
        ),
        (ConnectionClosedError(None, Close(1011, "")), 5, "closed by us (1011 (internal error))"),
    ],
)
def test_an_end_is_told_by_who_ended_it_and_why(error: ConnectionClosedError, limit: int | None, words: str) -> None:
    assert how_it_ended(error, limit)[0] == words
