"""The host functions: every request gets an answer, whatever it holds (ABI.md, 4)."""

from __future__ import annotations

import base64
import json
import time
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.net.errors import ConnectFailedError
from adapters.runtime.hostcalls import Publication, handlers_for, stubs
from adapters.times import nanoseconds
from detectors.rules import HOST_FUNCTIONS
from tests.adapters.runtime.desk import CLOCK, Desk

if TYPE_CHECKING:
    from detectors.errors import CompatError

NAMES = [function.name for function in HOST_FUNCTIONS]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_there_is_a_handler_for_every_function_that_the_detector_knows(desk: Desk) -> None:
    assert list(desk.handlers) == NAMES


@pytest.mark.parametrize(
    ("name", "request_", "asked", "reply"),
    [
        ("ws_connect", {"url": "u"}, ("connect", "u", {}, None), {"success": True, "connectionId": "ws-1"}),
        (
            "ws_connect",
            {"url": "u", "headers": {"A": "b"}, "subprotocol": "v1"},
            ("connect", "u", {"A": "b"}, "v1"),
            {"success": True, "connectionId": "ws-1"},
        ),
        (
            "ws_connect",
            {"url": "u", "headers": None, "subprotocol": "", "more": 1},
            ("connect", "u", {}, None),
            {"success": True, "connectionId": "ws-1"},
        ),
        ("ws_send", {"connectionId": "c", "message": "é"}, ("send", "c", "é"), {"success": True}),
        ("ws_send", {"connectionId": 7, "message": ""}, ("send", "7", ""), {"success": True}),
        ("ws_receive", {"connectionId": "c"}, ("receive", "c", 0), {"success": True, "message": "message"}),
        (
            "ws_receive",
            {"connectionId": "c", "timeoutMs": None},
            ("receive", "c", 0),
            {"success": True, "message": "message"},
        ),
        (
            "ws_receive",
            {"connectionId": "c", "timeoutMs": -1},
            ("receive", "c", -1),
            {"success": True, "message": "message"},
        ),
        ("ws_close", {"connectionId": "c"}, ("close", "c"), {"success": True}),
        (
            "http_request",
            {"url": "u"},
            ("request", "GET", "u", {}, b""),
            {"status": 200, "statusCode": 200, "headers": {"A": ["1", "2"]}, "body": "AP8="},
        ),
        (
            "http_request",
            {"url": "u", "method": "POST", "headers": {"A": "b"}, "body": base64.b64encode(b"\xff\x00").decode()},
            ("request", "POST", "u", {"A": "b"}, b"\xff\x00"),
            {"status": 200, "statusCode": 200, "headers": {"A": ["1", "2"]}, "body": "AP8="},
        ),
    ],
)
def test_a_request_is_handed_to_the_network_and_answered(
    desk: Desk, name: str, request_: Any, asked: tuple[Any, ...], reply: Any
) -> None:
    assert desk.ask(name, request_) == reply
    assert desk.network.asked == [asked]


def test_a_receive_that_found_nothing_is_a_timeout_and_no_error(desk: Desk) -> None:
    desk.network.message = None
    assert desk.ask("ws_receive", {"connectionId": "c", "timeoutMs": 5}) == {"success": True, "timeout": True}


def test_an_empty_message_is_a_message(desk: Desk) -> None:
    desk.network.message = ""
    assert desk.ask("ws_receive", {"connectionId": "c"}) == {"success": True, "message": ""}


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        ("ws_connect", {"url": "u"}),
        ("ws_send", {"connectionId": "c", "message": "m"}),
        ("ws_receive", {"connectionId": "c"}),
        ("ws_close", {"connectionId": "c"}),
        ("http_request", {"url": "u"}),
    ],
)
def test_a_failure_of_the_network_is_an_answer(desk: Desk, name: str, request_: Any) -> None:
    desk.network.error = ConnectFailedError("wss://u:s3cret@h/?s3cret", "refused")
    told = {"error": "could not connect to wss://h/: refused"}
    http = {"status": 0, "statusCode": 0, "headers": {}, "body": ""}
    assert desk.ask(name, request_) == told | (http if name == "http_request" else {"success": False})


def test_what_is_the_hosts_own_fault_is_raised(desk: Desk) -> None:
    desk.network.error = cast("CompatError", KeyError("a bug"))
    with pytest.raises(KeyError):
        desk.ask("ws_connect", {"url": "u"})


def test_a_publication_passes_through_undecoded(desk: Desk) -> None:
    raw = b'{"key": {"a" :1}, "data":[1.10, "x" ] , "timestamp":"T"}'
    assert desk.ask("publish_stream_data", raw) == {"success": True}
    assert desk.published == [Publication(b'{"a" :1}', b'[1.10, "x" ]', "T")]


@pytest.mark.parametrize("extra", [{}, {"timestamp": None}, {"timestamp": ""}])
def test_a_publication_may_lack_a_time(desk: Desk, extra: dict[str, Any]) -> None:
    desk.ask("publish_stream_data", {"key": 1, "data": 2, **extra})
    assert desk.published == [Publication(b"1", b"2", extra.get("timestamp"))]


def test_a_refused_publication_is_answered_with_the_reason(desk: Desk) -> None:
    desk.refusal = "the stream is being closed"
    reply = desk.ask("publish_stream_data", {"key": 1, "data": 2})
    assert reply == {"success": False, "error": "the stream is being closed"}
    assert desk.lost == []


def test_a_publication_that_cannot_be_read_is_told_as_lost(desk: Desk) -> None:
    reply = desk.ask("publish_stream_data", {"key": 1})
    assert reply["success"] is False
    assert desk.lost == [reply["error"]]
    desk.ask("ws_connect", b"{")
    assert len(desk.lost) == 1  # nothing of the stream is lost by that


@pytest.mark.parametrize(
    ("record", "logged"),
    [
        ({"eventType": "warn", "message": "m", "data": {"a": [1]}, "pluginId": "p"}, ("warn", "m", {"a": [1]})),
        ({"message": None, "data": 1}, ("info", "", 1)),
        ({"message": 7, "eventType": 3}, ("3", "7", None)),
        ({"message": {"text": "m"}, "level": "error"}, ("error", '{"text":"m"}', None)),
        ({"message": "m", "level": 40, "eventType": None}, ("40", "m", None)),
        ({"eventType": "warn", "data": "d"}, ("warn", '{"eventType":"warn","data":"d"}', None)),
        ({}, ("info", "{}", None)),
        ("a text", ("info", "a text", None)),
        ([1, True], ("info", "[1,true]", None)),
        (1.5, ("info", "1.5", None)),
        (None, ("info", "", None)),
        (b'"caf\xe9 \\ud83d"', ("info", "caf\ufffd \ufffd", None)),
    ],
)
def test_a_log_record_is_handed_over_without_an_answer(desk: Desk, record: Any, logged: tuple[str, str, Any]) -> None:
    assert desk.ask("log_record", record) is None
    assert desk.logged == [logged]


def test_the_time_is_told_as_a_json_text_by_the_clock_that_was_given(desk: Desk) -> None:
    assert nanoseconds(desk.ask("time_now", b"")) == CLOCK


def test_the_clock_is_the_machines_own_unless_one_is_given(desk: Desk) -> None:
    handlers = handlers_for(desk.network, lambda _: None, lambda *_: None, desk._malformed)
    told = nanoseconds(json.loads(handlers["time_now"](b"")))
    assert abs(told - time.time_ns()) < 3_600 * 10**9  # it may be set in between


@pytest.mark.parametrize("name", NAMES)
@given(
    st.binary(max_size=80)
    | st.dictionaries(
        st.sampled_from(["url", "headers", "connectionId", "message", "timeoutMs", "key", "data", "timestamp", "body"]),
        st.none() | st.integers() | st.text(max_size=8) | st.dictionaries(st.text(max_size=3), st.text(max_size=3)),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_request_is_answered_with_json_or_nothing(name: str, request_: bytes) -> None:
    reply = Desk().handlers[name](request_)
    if name == "log_record":
        assert reply == b"" or json.loads(reply)["success"] is False
    elif name == "time_now":
        assert nanoseconds(json.loads(reply)) > 0
    else:
        answer = json.loads(reply)
        assert set(answer) >= ({"status", "headers", "body"} if name == "http_request" else {"success"})
        assert ("error" in answer) == (answer.get("success", answer.get("status")) in (False, 0))


def test_stubs_refuse_politely_in_each_functions_own_form() -> None:
    refuse = stubs(NAMES)
    assert list(refuse) == NAMES
    why = "not available while metadata is read"
    assert json.loads(refuse["ws_connect"](b"anything")) == {"success": False, "error": why}
    http = {"status": 0, "statusCode": 0, "headers": {}, "body": "", "error": why}
    assert json.loads(refuse["http_request"](b"")) == http
