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
    UnknownExportError,
)
from adapters.net import errors as net_errors
from adapters.net.errors import (
    ConnectFailedError,
    ConnectionLostError,
    NetworkDeniedError,
    without_query,
)
from adapters.runtime import errors as runtime_errors
from adapters.runtime.errors import (
    PluginTrapError,
)
from detectors.errors import CompatError, NetworkError, PluginError, UsageError
from tests.support.error_examples import EXAMPLES

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
    names = {kind.__name__ for kind in declared} | {"BUSY", "COMPILATION", "TESTED_EXTISM", "without_query"}
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


def test_a_frame_is_named_without_its_address_too_as_where_the_call_stack_was_exhausted() -> None:
    trace = "error while executing at wasm backtrace:\n    0: plugin!deep\n    1:     0x99 - plugin!deep\n"
    assert PluginTrapError("p", "e", trace).message == "plugin 'p': e trapped: in plugin!deep"


def test_an_unknown_export_is_named_with_no_more_than_can_be_read() -> None:
    error = UnknownExportError("p", "f\x1b[2J", tuple(f"f{number}" + "x" * 1_000 for number in range(1_000)))
    assert str(error).isprintable()
    assert len(str(error)) < 2_500
    assert str(error).endswith(" and 980 more")
