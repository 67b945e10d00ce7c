"""Errors say whose fault it is, keep their facts, and show no secret."""

from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import errors
from adapters.errors import (
    ConfigurationError,
    OutageError,
    PluginCallError,
    PluginProtocolError,
    RateLimitError,
    RequestFailedError,
    RestartsExhaustedError,
    StreamRejectedError,
    StreamUsageError,
    UnknownCommandError,
    UnknownExportError,
    UnsupportedPluginError,
)
from adapters.net import errors as net_errors
from adapters.net.errors import (
    ConnectFailedError,
    ConnectionLostError,
    NetworkDeniedError,
    StreamIdleError,
    without_query,
)
from adapters.runtime import errors as runtime_errors
from adapters.runtime.errors import (
    CompanionError,
    GuestFaultError,
    GuestStoppedError,
    PluginExitError,
    PluginTimeoutError,
    PluginTrapError,
    UnsupportedRuntimeError,
)
from detectors.errors import CompatError, NetworkError, PluginError, UsageError

SECRET_URL = "wss://user:s3cret@host.example:8443/path/x?token=s3cret#s3cret"
SHOWN_URL = "wss://host.example:8443/path/x"

DEFECT = "A defect of the plugin: give its author the backtrace (--debug, or .trace of this error)"
EXAMPLES: list[tuple[CompatError, type[CompatError], dict[str, Any], str]] = [
    (
        PluginCallError("p", "e", 3, "no market"),
        PluginError,
        {"plugin": "p", "export": "e", "code": 3, "reason": "no market"},
        "plugin 'p': e failed: no market",
    ),
    (
        PluginCallError("p", "e", 3, ""),
        PluginError,
        {"reason": ""},
        "plugin 'p': e failed with return code 3 and no reason. The plugin's log records may tell more",
    ),
    (
        PluginTrapError("p", "e", "error\n  wasm trap: unreachable\n"),
        PluginError,
        {"plugin": "p", "export": "e", "trace": "error\n  wasm trap: unreachable\n"},
        f"plugin 'p': e trapped: unreachable. {DEFECT}",
    ),
    (
        PluginTrapError("p", "", ""),
        PluginError,
        {"export": "", "message": "plugin 'p': could not be instantiated: no further word"},
        (
            "plugin 'p': could not be instantiated: no further word. Run plugin-compat inspect on the module; if it "
            "finds nothing, check the machine (disk, memory)"
        ),
    ),
    (
        PluginTrapError("p", "e", "error\n  wasm trap: unreachable\n", said="panic: no price"),
        PluginError,
        {"said": "panic: no price", "message": "plugin 'p': e trapped: unreachable; it said: panic: no price"},
        f"plugin 'p': e trapped: unreachable; it said: panic: no price. {DEFECT}",
    ),
    (
        PluginExitError("p", "e", 0, said="bye"),
        PluginError,
        {"plugin": "p", "export": "e", "code": 0, "said": "bye"},
        (
            "plugin 'p': e ended the plugin, by proc_exit with code 0; it said: bye. A defect of the plugin, which has "
            "to return instead: give its author what it said"
        ),
    ),
    (
        GuestFaultError("p", "e", "stale-block", "used a block again", remedy="Keep more"),
        PluginError,
        {"plugin": "p", "export": "e", "fault": "stale-block"},
        "plugin 'p': e used a block again. Keep more",
    ),
    (
        UnsupportedRuntimeError("1.99", "no shim"),
        UsageError,
        {"installed": "1.99", "problem": "no shim"},
        (
            "Extism 1.99 does not link plugins as it has to: no shim. Install extism-sys 1.41.0, which plugin-compat "
            "is tested with"
        ),
    ),
    (
        UnsupportedRuntimeError("1.41.0", "No space left on device"),
        UsageError,
        {"installed": "1.41.0"},
        (
            "Extism 1.41.0 does not link plugins as it has to: No space left on device. plugin-compat is tested with "
            "extism-sys 1.41.0, so check the machine (disk, memory)"
        ),
    ),
    (
        PluginTimeoutError("p", "e", 2.50),
        PluginError,
        {"plugin": "p", "export": "e", "timeout": 2.5},
        "plugin 'p': e did not return within 2.5 s. Its guest was cancelled; give it a longer timeout if it needs one",
    ),
    (
        CompanionError("imported-memory", "The module imports a memory", "Define it"),
        PluginError,
        {"form": "imported-memory"},
        "The module imports a memory. Define it",
    ),
    (
        PluginProtocolError("p", "e", "it is empty"),
        PluginError,
        {"plugin": "p", "export": "e", "problem": "it is empty"},
        "plugin 'p': the answer of e is unusable: it is empty",
    ),
    (
        StreamRejectedError("p", "a:b:c", ""),
        PluginError,
        {"plugin": "p", "stream": "a:b:c", "reason": ""},
        (
            "plugin 'p' refused stream a:b:c: no reason given. "
            "Check the key's type, identifier and parameters, and the plugin's configuration"
        ),
    ),
    (
        RestartsExhaustedError("p", "a:b:c", ("one", "two")),
        PluginError,
        {"plugin": "p", "stream": "a:b:c", "reasons": ("one", "two")},
        "plugin 'p': stream a:b:c failed 2 times without being healthy in between, last: two",
    ),
    (
        RestartsExhaustedError("p", "a:b:c", ()),
        PluginError,
        {"reasons": (), "failures": 0},
        "plugin 'p': stream a:b:c failed 0 times without being healthy in between, last: unknown",
    ),
    (
        OutageError("p", "a:b:c", ("refused",), 70),
        NetworkError,
        {"plugin": "p", "stream": "a:b:c", "reasons": ("refused",), "failures": 70},
        (
            "plugin 'p': stream a:b:c failed 70 times without being healthy in between, last: refused. "
            "Open it again when the exchange is back; Backoff says how long to try"
        ),
    ),
    (
        StreamIdleError("a:b:c", 0.5),
        NetworkError,
        {"stream": "a:b:c", "limit": 0.5},
        "stream a:b:c is stale: no item came for 0.5 s, its idle limit",
    ),
    (
        GuestStoppedError("p", "e"),
        PluginError,
        {"plugin": "p", "export": "e"},
        "plugin 'p': e was not completed because its guest was stopped",
    ),
    (
        ConnectFailedError(SECRET_URL, "refused"),
        NetworkError,
        {"url": SHOWN_URL, "problem": "refused", "status": None, "retry_after": None},
        f"could not connect to {SHOWN_URL}: refused",
    ),
    (
        ConnectFailedError(SECRET_URL, "too many", remedy="Wait", status=429, retry_after=1.5),
        NetworkError,
        {"status": 429, "retry_after": 1.5},
        f"could not connect to {SHOWN_URL}: too many. Wait",
    ),
    (
        ConnectionLostError(SECRET_URL, "too long", remedy="Raise it"),
        NetworkError,
        {"problem": "too long", "remedy": "Raise it"},
        f"the connection to {SHOWN_URL} was lost: too long. Raise it",
    ),
    (
        ConnectionLostError(SECRET_URL, "it broke off"),
        NetworkError,
        {"url": SHOWN_URL, "problem": "it broke off"},
        f"the connection to {SHOWN_URL} was lost: it broke off",
    ),
    (
        NetworkDeniedError("p", SECRET_URL, "not declared", "Declare it"),
        UsageError,
        {"plugin": "p", "url": SHOWN_URL, "rule": "not declared"},
        f"plugin 'p' may not reach {SHOWN_URL}: not declared. Declare it",
    ),
    (
        ConfigurationError("p", "init: bad key", remedy="Check it"),
        UsageError,
        {"plugin": "p", "problem": "init: bad key", "missing": ()},
        "plugin 'p': configuration refused: init: bad key. Check it",
    ),
    (
        UnknownExportError("p", "e", ("a", "b")),
        UsageError,
        {"plugin": "p", "export": "e", "exports": ("a", "b")},
        "plugin 'p' exports no function 'e' that can be called. It exports a, b",
    ),
    (
        RequestFailedError("p", "getMarkets", "maintenance"),
        PluginError,
        {"plugin": "p", "command": "getMarkets", "reason": "maintenance"},
        "plugin 'p' refused 'getMarkets': maintenance",
    ),
    (
        UnknownCommandError("p", "getMarket", ("getMarkets",)),
        UsageError,
        {"plugin": "p", "command": "getMarket", "commands": ("getMarkets",)},
        "plugin 'p' has no way to take 'getMarket'. Did you mean 'getMarkets'? It takes getMarkets",
    ),
    (
        RateLimitError("p", "getMarkets", 12.5, 5.0),
        UsageError,
        {"plugin": "p", "command": "getMarkets", "wait": 12.5, "timeout": 5.0},
        (
            "plugin 'p': its rate limits let 'getMarkets' through in 12.5 s, not within 5 s. "
            "Ask less often, or with a longer timeout"
        ),
    ),
    (
        UnsupportedPluginError("p", "third", "no adapter"),
        UsageError,
        {"plugin": "p", "kind": "third"},
        "plugin 'p' cannot run as third: no adapter",
    ),
    (StreamUsageError("closed"), UsageError, {}, "closed"),
    (
        errors.KeyFormatError("not a key"),
        UsageError,
        {},
        "not a key. The form is type:source:identifier?name=value, each part percent-encoded",
    ),
]
IDS = [f"{type(error).__name__}-{number}" for number, (error, *_) in enumerate(EXAMPLES)]


@pytest.mark.parametrize(("error", "fault", "facts", "text"), EXAMPLES, ids=IDS)
def test_an_error_names_the_fault_keeps_its_facts_and_reads_well(
    error: CompatError, fault: type[CompatError], facts: dict[str, Any], text: str
) -> None:
    assert [kind for kind in (PluginError, NetworkError, UsageError) if isinstance(error, kind)] == [fault]
    assert {name: getattr(error, name) for name in facts} == facts
    assert str(error) == text
    assert "\n" not in str(error)


def test_every_error_of_the_branch_has_an_example() -> None:
    declared = {
        kind
        for room in (errors, net_errors, runtime_errors)
        for _, kind in inspect.getmembers(room, inspect.isclass)
        if issubclass(kind, CompatError) and kind.__module__ == room.__name__
    }
    assert {type(error) for error, *_ in EXAMPLES} == declared
    names = {kind.__name__ for kind in declared} | {"BUSY", "TESTED_EXTISM", "without_query"}
    assert names == {*errors.__all__, *net_errors.__all__, *runtime_errors.__all__}


@pytest.mark.parametrize(
    ("trace", "cause"),
    [
        ("unknown import: `env::x`\nmore", "unknown import: `env::x`"),
        ("error while executing at wasm backtrace:\n 0: f\n\nCaused by:\n  wasm trap: out of bounds", "out of bounds"),
        ("wasm trap: first\n  1: wasm trap: last", "last"),
    ],
)
def test_a_trap_is_named_by_its_cause(trace: str, cause: str) -> None:
    assert PluginTrapError("p", "e", trace).message == f"plugin 'p': e trapped: {cause}"


names = st.text(st.sampled_from("abcXYZ019-._~!$'*,;"), min_size=1, max_size=8)
# Escaped or not: what a URL cannot carry unescaped in user information or a query is not among them.
secrets = st.text(st.sampled_from("abc019-._~!$&'()*+,;=%@:"), max_size=8).map(lambda text: f"S3CRET{text}S3CRET")


@given(
    scheme=st.sampled_from(["ws", "wss", "http", "https"]),
    user=st.none() | names,
    password=secrets,
    host=names,
    path=st.lists(names, max_size=3),
    query=st.none() | secrets,
    fragment=st.none() | secrets,
)
def test_no_url_is_shown_with_its_user_information_query_or_fragment(
    scheme: str, user: str | None, password: str, host: str, path: list[str], query: str | None, fragment: str | None
) -> None:
    shown = f"{host}{''.join('/' + part for part in path)}"
    url = f"{scheme}://{'' if user is None else f'{user}:{password}@'}{shown}"
    url += ("" if query is None else f"?{query}") + ("" if fragment is None else f"#{fragment}")
    assert without_query(url) == f"{scheme}://{shown}"
    for error in (ConnectFailedError(url, ""), ConnectionLostError(url, ""), NetworkDeniedError("p", url, "", "")):
        assert "S3CRET" not in f"{error!s} {error!r} {vars(error)}"


@given(st.text(max_size=30))
def test_what_is_no_url_is_shown_without_query_too(text: str) -> None:
    assert not set("?#") & set(without_query(text))


@pytest.mark.parametrize("error", [example[0] for example in EXAMPLES], ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_to_another_process(error: CompatError) -> None:
    arrived = pickle.loads(pickle.dumps(error))
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_a_trap_without_a_cause_names_its_innermost_frame() -> None:
    trace = "error while executing at wasm backtrace:\n    0:     0x23 - plugin!decode\n    1:     0x99 - plugin!main\n"
    assert PluginTrapError("p", "e", trace).message == "plugin 'p': e trapped: in plugin!decode"


def test_an_unknown_export_is_named_with_no_more_than_can_be_read() -> None:
    error = UnknownExportError("p", "f\x1b[2J", tuple(f"f{number}" + "x" * 1_000 for number in range(1_000)))
    assert str(error).isprintable()
    assert len(str(error)) < 2_500
    assert str(error).endswith(" and 980 more")
