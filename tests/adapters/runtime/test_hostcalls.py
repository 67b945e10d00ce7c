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
from adapters.runtime.hostcalls import HttpReply, Publication, handlers_for, stubs
from adapters.times import nanoseconds
from detectors.rules import HOST_FUNCTIONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.errors import CompatError

NAMES = [function.name for function in HOST_FUNCTIONS]


class FakeNetwork:
    """A network that notes what it is asked for and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: CompatError | None = None
        self.message: str | None = "message"
        self.reply = HttpReply(200, {"A": ["1", "2"]}, b"\x00\xff")

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    def connect(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> str:
        self._note("connect", url, headers, subprotocol)
        return "ws-1"

    def send(self, connection_id: str, message: str) -> None:
        self._note("send", connection_id, message)

    def receive(self, connection_id: str, timeout_ms: int) -> str | None:
        self._note("receive", connection_id, timeout_ms)
        return self.message

    def close(self, connection_id: str) -> None:
        self._note("close", connection_id)

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self._note("request", method, url, headers, body)
        return self.reply


class Desk:
    """The handlers of a guest with everything they hand over."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.published: list[Publication] = []
        self.refusal: str | None = None
        self.logged: list[tuple[str, str, Any]] = []
        self.lost: list[str] = []
        self.handlers = handlers_for(self.network, self._publish, self._log, self.lost.append)

    def _publish(self, publication: Publication) -> str | None:
        self.published.append(publication)
        return self.refusal

    def _log(self, event_type: str, message: str, data: Any) -> None:
        self.logged.append((event_type, message, data))

    def ask(self, name: str, request: Any) -> Any:
        raw = request if isinstance(request, bytes) else json.dumps(request).encode()
        reply = self.handlers[name](raw)
        return json.loads(reply) if reply else None


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
            {"status": 200, "headers": {"A": ["1", "2"]}, "body": "AP8="},
        ),
        (
            "http_request",
            {"url": "u", "method": "POST", "headers": {"A": "b"}, "body": base64.b64encode(b"\xff\x00").decode()},
            ("request", "POST", "u", {"A": "b"}, b"\xff\x00"),
            {"status": 200, "headers": {"A": ["1", "2"]}, "body": "AP8="},
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
    http = {"status": 0, "headers": {}, "body": ""}
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
    assert desk.published == [Publication(b"1", b"2", "")]


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
        ({}, ("info", "", None)),
    ],
)
def test_a_log_record_is_handed_over_without_an_answer(desk: Desk, record: Any, logged: tuple[str, str, Any]) -> None:
    assert desk.ask("log_record", record) is None
    assert desk.logged == [logged]


def test_the_time_is_told_as_a_json_text_by_the_clock_that_was_given(desk: Desk) -> None:
    told = nanoseconds(desk.ask("time_now", b""))
    assert abs(told - time.time_ns()) < 3_600 * 10**9  # it may be set in between
    handlers = handlers_for(desk.network, lambda _: None, lambda *_: None, clock=lambda: 1_234_567_890_123_456_789)
    assert nanoseconds(json.loads(handlers["time_now"](b""))) == 1_234_567_890_123_456_789


MALFORMED = {
    "nothing": b"",
    "no JSON": b"{",
    "no object": b"[]",
    "null": b"null",
    "fields missing": b"{}",
    "wrong types": b'{"url":1,"connectionId":[],"message":1,"key":1,"data":1,"timestamp":1,"eventType":1,"body":1}',
    "no UTF-8": b'{"url":"\xff","connectionId":"\xff","message":"\xff","timestamp":"\xff","body":"\xff"}',
    "half a surrogate": b'{"url":"\\ud800","connectionId":"\\ud800","message":"\\ud800","timestamp":"\\ud800"}',
    "too deep": b'{"unknown":' + b"[" * 100_000,
    "a number beyond all bounds": b'{"connectionId":"c","url":"u","timeoutMs":1' + b"0" * 5_000 + b"}",
}
#: A number that a function has no use for does it no harm.
WELL_FORMED_FOR = {name: set() if name == "ws_receive" else {"a number beyond all bounds"} for name in NAMES}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("log_record", "time_now")])
def test_a_malformed_request_is_answered_and_never_raised(desk: Desk, name: str) -> None:
    replies = {what: desk.ask(name, data) for what, data in MALFORMED.items() if what not in WELL_FORMED_FOR[name]}
    failed = {"status": 0, "headers": {}, "body": ""} if name == "http_request" else {"success": False}
    told = {what: reply.pop("error") for what, reply in replies.items()}
    assert [what for what, error in told.items() if not error.startswith("malformed request: ")] == []
    assert replies == dict.fromkeys(told, failed)
    assert (desk.network.asked, desk.published) == ([], [])


@pytest.mark.parametrize("body", ["é", "a", "a===", "%%%%", "YQ==YQ=="])
def test_a_body_that_is_not_base64_is_malformed(desk: Desk, body: str) -> None:
    reply = desk.ask("http_request", {"url": "u", "body": body})
    assert reply["status"] == 0
    assert reply["error"].startswith("malformed request: the body is not base64")
    assert desk.network.asked == []


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
    assert json.loads(refuse["http_request"](b"")) == {"status": 0, "headers": {}, "body": "", "error": why}
