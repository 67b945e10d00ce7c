"""Requests that are not as they should be: what is understood all the same, and what follows otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from adapters.net.errors import ConnectFailedError
from adapters.runtime.errors import MalformedRequestsError
from adapters.runtime.hostcalls import Publication, handlers_for
from detectors.rules import HOST_FUNCTIONS
from tests.adapters.runtime.desk import Desk

NAMES = [function.name for function in HOST_FUNCTIONS]


@pytest.fixture
def desk() -> Desk:
    return Desk()


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "null": b"null",
    "fields missing": b"{}",
    "wrong types": b'{"url":1,"connectionId":[],"message":1,"data":1,"timestamp":1,"eventType":1,"body":1}',
    "an integer that is none": b'{"url":1,"connectionId":1.5,"message":"","timeoutMs":1}',
    "a float beyond all bounds": b'{"url":1,"connectionId":1e300,"message":"","timeoutMs":1}',
    "half an escape": b'{"url":"\\ud8","connectionId":"\\ud8","message":"\\ud8","key":1,"data":"\\ud8"}',
    "too deep": b'{"unknown":' + b"[" * 100_000,
    "a number beyond all bounds": b'{"connectionId":"c","url":"u","timeoutMs":1' + b"0" * 5_000 + b"}",
}
#: A number that a function has no use for does it no harm.
WELL_FORMED_FOR = {name: set() if name == "ws_receive" else {"a number beyond all bounds"} for name in NAMES}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("log_record", "time_now")])
def test_a_malformed_request_is_answered_and_told(name: str) -> None:
    failed = {"status": 0, "statusCode": 0, "headers": {}, "body": ""} if name == "http_request" else {"success": False}
    for what, data in MALFORMED.items():
        if what not in WELL_FORMED_FOR[name]:
            desk = Desk()
            reply = desk.ask(name, data)
            why = reply.pop("error").removeprefix("malformed request: ")
            assert reply == failed, what
            assert desk.told == [f"a malformed request to {name}: {why}"]
            assert (desk.network.asked, desk.published) == ([], [])


def test_a_log_record_that_is_no_json_is_told() -> None:
    for data in (b"", b"{", b"plain words", MALFORMED["too deep"]):
        desk = Desk()
        assert desk.ask("log_record", data) is None
        assert [text.startswith("a malformed request to log_record: ") for text in desk.told] == [True]


@pytest.mark.parametrize("body", ["é", "a", "a===", "%%%%", "YQ==YQ=="])
def test_a_body_that_is_not_base64_is_malformed(desk: Desk, body: str) -> None:
    reply = desk.ask("http_request", {"url": "u", "body": body})
    assert (reply["status"], reply["statusCode"]) == (0, 0)
    assert reply["error"] == "malformed request: Invalid base64 encoded string - at `$.body`"
    assert desk.network.asked == []


@pytest.mark.parametrize(
    ("name", "request_", "asked"),
    [
        ("ws_receive", b'{"connectionId":1.0,"timeoutMs":1e3}', ("receive", "1", 1_000)),
        ("ws_receive", b'{"connectionId":"c","timeoutMs":-1.0}', ("receive", "c", -1)),
        ("ws_receive", b'{"connectionId":"c","timeoutMs":"1000"}', ("receive", "c", 1_000)),
        ("ws_close", b'{"connectionId":7.0}', ("close", "7")),
        ("ws_send", rb'{"connectionId":7.0,"message":"\ud83d\ude00"}', ("send", "7", "\U0001f600")),
        ("ws_send", rb'{"connectionId":"c","message":"cut \ud83d"}', ("send", "c", "cut \ufffd")),
        ("ws_send", rb'{"connectionId":"c","message":"\\ud83d"}', ("send", "c", r"\ud83d")),
        ("ws_send", b'{"connectionId":"c","message":"\xed\xa0\xbd, \xff"}', ("send", "c", "\ufffd, \ufffd")),
        (
            "ws_connect",
            rb'{"url":"u\ud83d","headers":{"\udc00":"\ud83d!"}}',
            ("connect", "u\ufffd", {"\ufffd": "\ufffd!"}, None),
        ),
        ("http_request", b'{"url":"u\xff"}', ("request", "GET", "u\ufffd", {}, b"")),
    ],
)
def test_what_writers_get_wrong_is_understood(desk: Desk, name: str, request_: bytes, asked: tuple[Any, ...]) -> None:
    assert "error" not in desk.ask(name, request_)
    assert desk.network.asked == [asked]
    assert desk.told == []


def test_an_integer_that_is_none_is_named(desk: Desk) -> None:
    reply = desk.ask("ws_receive", b'{"connectionId":"c","timeoutMs":1.5}')
    assert reply["error"].endswith("got `float` - at `$.timeoutMs`: not a whole number up to 2^53")


@pytest.mark.parametrize(
    ("written", "handed"),
    [
        (rb'{"a":"\ud83d", "b":1.10}', rb'{"a":"\ud83d", "b":1.10}'),
        (rb'"\uD83D\ude00 \udc00"', rb'"\uD83D\ude00 \udc00"'),
        (b'"\xff"', b'"\xef\xbf\xbd"'),
        (b'"\xed\xa0\xbd\xed\xb8\x80"', b'"\xf0\x9f\x98\x80"'),
        (b'"\xff \\ud83d"', b'"\xef\xbf\xbd \\ud83d"'),
    ],
)
def test_a_payload_keeps_half_a_surrogate_as_it_is_written_and_is_utf8(
    desk: Desk, written: bytes, handed: bytes
) -> None:
    assert desk.ask("publish_stream_data", b'{"key":1,"data":' + written + b',"timestamp":5}') == {"success": True}
    assert desk.published == [Publication(b"1", handed, 5)]
    assert desk.told == desk.lost == []


def test_malformed_requests_in_a_row_wait_and_then_end_the_call(desk: Desk) -> None:
    for _ in range(3):
        assert desk.ask("ws_send", b"{")["success"] is False
    assert desk.waited == [0.5, 0.5]
    with pytest.raises(MalformedRequestsError, match="4 malformed requests to ws_send in a row, of 3 that it may"):
        desk.ask("ws_send", b"{")


def test_each_function_has_a_row_of_its_own_which_a_good_request_ends(desk: Desk) -> None:
    desk.network.error = ConnectFailedError("ws://h/", "refused")  # a failure is good enough
    for _ in range(3):
        desk.ask("ws_send", b"{")
        desk.ask("ws_close", b"{")
        desk.ask("ws_send", {"connectionId": "c", "message": "m"})
    assert desk.waited == [0.5, 0.5]  # for ws_close


def test_malformed_log_records_are_told_and_no_more(desk: Desk) -> None:
    for _ in range(10):
        assert desk.ask("log_record", b"{") is None
    assert desk.waited == []
    assert [text.partition(",")[0] for text in desk.told[1:]] == ["10 malformed requests to log_record in a row"]


def test_what_ends_the_call_is_raised_also_while_publishing(desk: Desk) -> None:
    def refuse(_: Publication) -> str:
        raise MalformedRequestsError("p", "publish_stream_data", 4, 3, "source 'x'", kind="refused")

    handlers = handlers_for(desk.network, refuse, desk._log, desk._malformed)
    with pytest.raises(MalformedRequestsError):
        handlers["publish_stream_data"](b'{"key":1,"data":2}')
