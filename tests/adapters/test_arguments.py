"""What a caller may give: each setting that makes no sense is refused when it is given, by name, without a secret."""

from __future__ import annotations

import math
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.arguments import TEXT, at_least, more_than_0, whole
from adapters.bounds import Bounds
from adapters.net.pacing import Pacer, Pacing
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector
from adapters.progress import Progress
from adapters.settings import AdapterSettings, Backoff
from adapters.speech import Speech
from detectors.errors import UsageError

SECONDS = "a finite number of seconds, 0 or more"
ENDLESS = "a number of seconds, 0 or more"
SOME_SECONDS = "a finite number of seconds above 0"
NO_NUMBERS = ("1", None, True, math.nan, [1], 1j)
NO_TRUTHS = ("no", 0, 1, None)

#: A class, its field, what it must be, and values that are not.
WRONG: tuple[tuple[type, str, str, tuple[object, ...]], ...] = (
    (Backoff, "first", SECONDS, (-1, math.inf, 10**400, *NO_NUMBERS)),
    (Backoff, "highest", SECONDS, (-0.1, math.inf, *NO_NUMBERS)),
    (Backoff, "attempts", "a whole number, 0 or more", (-1, 1.5, math.inf, "8", *NO_NUMBERS)),
    (Backoff, "patience", ENDLESS, (-1, "x", *NO_NUMBERS)),
    (Backoff, "healthy_after", ENDLESS, (-1, *NO_NUMBERS)),
    (Pacing, "rate", "a number above 0", (0, -1, *NO_NUMBERS)),
    (Pacing, "burst", "a whole number, 1 or more", (0, 1.5, *NO_NUMBERS)),
    (Pacing, "connections", "a whole number, 1 or more", (0, -1, *NO_NUMBERS)),
    (WebSocketConnector, "ssl", "an instance of SSLContext, or None", ("ca.pem", True)),
    (WebSocketConnector, "open_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (WebSocketConnector, "send_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (WebSocketConnector, "max_message", "a whole number of bytes, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (WebSocketConnector, "keepalive", f"{SOME_SECONDS}, or None", (0, -1, "5", math.nan, math.inf)),
    (WebSocketConnector, "opens", "a function, or None", ("wss://a", 5)),
    (NetworkPolicy, "only", "a pattern or several", (5, None, [5])),
    (NetworkPolicy, "also", "a pattern or several", (5, None, [None])),
    (NetworkPolicy, "allow_private", "True or False", NO_TRUTHS),
    (NetworkPolicy, "rewrites", "pairs of URL prefixes", ("wss://a", 5, (("wss://a",),), (("wss://a", 5),), ("ab",))),
    (NetworkPolicy, "trust_proxy", "True or False", NO_TRUTHS),
    (AdapterSettings, "config", "a mapping", ("s3cret", ["s3cret"], 5, None)),
    (AdapterSettings, "policy", "an instance of NetworkPolicy", ("wss://a", None)),
    (AdapterSettings, "tls", "an instance of Tls, or None", ("ca.pem", 5)),
    (AdapterSettings, "connector", "an object with a method connect()", (None, "wss://a", object())),
    (AdapterSettings, "pacing", "an instance of Pacing", (0, None)),
    (AdapterSettings, "http", "a function, or None", ("http", 5)),
    (AdapterSettings, "observer", "a function, or None", ([], 5)),
    (AdapterSettings, "clock", "a function", (None, 5)),
    (AdapterSettings, "logger", "an object with a method log(), or None", ("x", 5)),
    (AdapterSettings, "buffer", "a whole number of items, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (AdapterSettings, "idle_limit", f"{SOME_SECONDS}, or None", (0, -1, "5", math.nan, math.inf)),
    (AdapterSettings, "guests", "a whole number, 1 or more", (0, "8", 1.5, *NO_NUMBERS)),
    (AdapterSettings, "memory_budget", "a whole number of bytes, 1 to 1099511627776", (2**41, 0, "9", *NO_NUMBERS)),
    (AdapterSettings, "retained_memory", "a whole number of bytes, 0 to 1099511627776", (2**41, -1, "9", *NO_NUMBERS)),
    (AdapterSettings, "backoff", "an instance of Backoff", (None, {"first": 1}, Backoff)),
    (AdapterSettings, "message_encoding", "an instance of MessageEncoding, or None", ("base64", 5)),
    (AdapterSettings, "token_buckets", "an instance of TokenBuckets", (None, 5)),
    (AdapterSettings, "inspection", "an instance of InspectionBounds", (None, {"max_size": 1})),
    (AdapterSettings, "bounds", "an instance of Bounds", (None, {"message_timeout": 1})),
    (AdapterSettings, "progress", "an instance of Progress", (None, {"told_after": 1})),
    (AdapterSettings, "speech", "an instance of Speech", (None, 1_000)),
    (AdapterSettings, "shared", "an instance of Shared", (None, {})),
    (AdapterSettings, "monotonic", "a function", (None, 5.0)),
    (Bounds, "guest_memory", "a whole number of bytes, 65536 to 1099511627776", (2**70, 0, 65_535, 1.5, *NO_NUMBERS)),
    (Bounds, "guest_table", "a whole number of entries, 1 to 4294967295", (2**32, 0, -1, 1.5, *NO_NUMBERS)),
    (Bounds, "max_request", "a whole number of bytes, 1 to 1099511627776", (2**70, 0, -1, 1.5, *NO_NUMBERS)),
    (Bounds, "max_output", "a whole number of bytes, 1 to 1099511627776", (2**70, 0, -1, 1.5, *NO_NUMBERS)),
    (Bounds, "max_error", "a whole number of bytes, 8192 to 16777216", (2**70, 0, 8_191, 8_192.5, *NO_NUMBERS)),
    (Bounds, "compile_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "initialise_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "metadata_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "configure_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "prepare_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "message_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "farewell_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "leave_timeout", SECONDS, (-1, math.inf, *NO_NUMBERS)),
    (Bounds, "rate_limits_timeout", SECONDS, (-1, math.inf, *NO_NUMBERS)),
    (Bounds, "failures_in_a_row", "a whole number, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (Bounds, "shortest_pong_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "longest_pong_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "overdue_after", SECONDS, (-1, math.inf, *NO_NUMBERS)),
    (Bounds, "handover_timeout", SECONDS, (-1, math.inf, *NO_NUMBERS)),
    (Bounds, "response_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Bounds, "max_response", "a whole number of bytes, 0 or more", (-1, 1.5, *NO_NUMBERS)),
    (Bounds, "max_buffered", "a whole number of bytes, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (Speech, "burst", "a whole number of lines, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (Speech, "rate", "a finite number of lines, 0 or more", (-1, math.inf, *NO_NUMBERS)),
    (Progress, "told_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "hung_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "start_timeout", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "standing_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "unasked_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "returned_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "lost_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "asking_after", SOME_SECONDS, (0, -1, math.inf, *NO_NUMBERS)),
    (Progress, "dead_answers", "a whole number, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
    (Progress, "malformed_free", "a whole number, 0 or more", (-1, 1.5, *NO_NUMBERS)),
    (Progress, "malformed_pace", SECONDS, (-1, math.inf, *NO_NUMBERS)),
    (Progress, "malformed_most", "a whole number, 1 or more", (0, -1, 1.5, *NO_NUMBERS)),
)

#: Values at the edge of sense, which stay allowed.
RIGHT: tuple[tuple[type, dict[str, Any]], ...] = (
    (Backoff, {"first": 0, "highest": 0.0, "attempts": 0, "patience": 0, "healthy_after": 0}),
    (Backoff, {"first": 1e300, "patience": math.inf, "healthy_after": math.inf}),
    (Pacing, {"rate": math.inf, "burst": 1, "connections": 1}),
    (WebSocketConnector, {"keepalive": None, "max_message": 1, "open_timeout": 0.001}),
    (AdapterSettings, {"buffer": 1, "guests": 1, "memory_budget": 1, "retained_memory": 0, "idle_limit": 0.1}),
)


KINDS = tuple(dict.fromkeys(kind for kind, *_ in WRONG))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_setting_that_makes_no_sense_is_refused_when_it_is_made(kind: type) -> None:
    cases = [(field, words, value) for owner, field, words, values in WRONG if owner is kind for value in values]
    assert [problem for case in cases if (problem := what_is_wrong_with_the_refusal(kind, *case))] == []


def what_is_wrong_with_the_refusal(kind: type, field: str, words: str, value: object) -> str:
    """Why a refusal is not the one that is promised; empty if it is."""
    case = f"{field}={value!r:.40}"
    try:
        kind(**{field: value})
    except UsageError as error:
        told, remedy, whole = error.message, error.remedy, str(error)
    else:
        return f"{case} is taken"
    if not told.startswith(f"{kind.__name__}: {field} must be {words}, not "):
        return f"{case} is refused in other words: {told}"
    if remedy != f"Correct {kind.__name__}({field}=...)":
        return f"{case} has another remedy: {remedy}"
    return f"{case} is shown or long: {whole}" if "s3cret" in whole or len(whole) >= 250 else ""


def test_no_setting_is_left_unlooked_at() -> None:
    for kind in KINDS:
        assert [field.name for field in attrs.fields(kind)] == [field for owner, field, *_ in WRONG if owner is kind]


def test_what_makes_sense_at_the_edge_is_taken_as_it_is() -> None:
    for kind, values in RIGHT:
        made = kind(**values)
        assert {name: getattr(made, name) for name in values} == values
    policy = NetworkPolicy(only="wss://a/*", also=["wss://b/*"])
    assert (policy.only, policy.also) == (("wss://a/*",), ("wss://b/*",))


def test_the_words_name_the_value_that_was_given() -> None:
    with pytest.raises(UsageError) as caught:
        Backoff(first=math.nan)
    told = "Backoff: first must be a finite number of seconds, 0 or more, not nan. Correct Backoff(first=...)"
    assert str(caught.value) == told


def test_a_changed_copy_is_looked_at_as_well() -> None:
    with pytest.raises(UsageError, match="buffer must be"):
        attrs.evolve(AdapterSettings(), buffer=0)


def test_an_argument_is_refused_in_the_name_of_whose_it_is_by_the_error_that_is_asked_for() -> None:
    class ParticularError(UsageError):
        pass

    with pytest.raises(ParticularError) as caught:
        TEXT.check(5, "call", "export", of="plugin 'x'", error=ParticularError)
    assert str(caught.value) == "plugin 'x': export must be a text, not 5. Correct call(export=...)"


def test_a_long_value_is_cut_and_made_fit_to_print() -> None:
    with pytest.raises(UsageError) as caught:
        whole(1).check("\x1b" + "x" * 1_000, "call", "n")
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 200


@given(st.one_of(st.floats(), st.integers(), st.text(), st.none(), st.booleans(), st.binary(), st.complex_numbers()))
def test_a_number_is_taken_exactly_if_it_can_be_counted_with(value: Any) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    assert at_least(0).holds(value) == (is_number and value >= 0)
    assert more_than_0().holds(value) == (is_number and value > 0)
    assert whole(3).holds(value) == (is_number and isinstance(value, int) and value >= 3)


def test_an_endless_rate_lets_everything_through_at_once() -> None:
    pacer, pacing = Pacer(lambda: 1.0), Pacing(rate=math.inf, burst=1)
    assert [pacer.reserve("a:443", pacing) for _ in range(3)] == [1.0, 1.0, 1.0]
