from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detectors.classify import Evidence, Offer, classify
from detectors.report import inspect
from detectors.rules import INTERFACES, Interface, PluginKind

if TYPE_CHECKING:
    from tests.detectors.conftest import Build, Read

LEGACY, GENERIC, UNKNOWN = PluginKind.LEGACY, PluginKind.GENERIC, PluginKind.UNKNOWN


@pytest.mark.parametrize(
    ("exports", "kind", "dialect", "reason"),
    [
        (["start_stream", "stop_stream"], GENERIC, None, "exports start_stream and stop_stream"),
        (["start_stream"], GENERIC, None, "exports start_stream but no stop_stream"),
        (
            ["handle_stream_message", "handle_command"],
            LEGACY,
            "command",
            "exports handle_stream_message and handle_command",
        ),
        (
            ["prepare_stream", "handle_stream_message", "meta"],
            LEGACY,
            "callback",
            "exports handle_stream_message and prepare_stream",
        ),
        (
            ["handle_stream_message", "prepare_stream", "handle_command"],
            LEGACY,
            "command",
            "exports handle_stream_message and handle_command",
        ),
        (
            ["handle_stream_message"],
            LEGACY,
            None,
            "exports handle_stream_message but neither handle_command nor prepare_stream",
        ),
        (
            ["handle_stream_message", "handle_command", "start_stream", "stop_stream"],
            GENERIC,
            None,
            "exports start_stream and stop_stream",
        ),
        (
            ["handle_stream_message", "handle_command", "start_stream"],
            LEGACY,
            "command",
            "exports handle_stream_message and handle_command",
        ),
        (["handle_stream_message", "start_stream"], GENERIC, None, "exports start_stream but no stop_stream"),
        ([], UNKNOWN, None, "exports neither start_stream nor handle_stream_message"),
        (
            ["meta", "stop_stream", "prepare_stream"],
            UNKNOWN,
            None,
            "exports neither start_stream nor handle_stream_message",
        ),
    ],
)
def test_a_module_is_judged_by_its_exports(
    read: Read, exports: list[str], kind: PluginKind, dialect: str | None, reason: str
) -> None:
    found = classify(read(exports))
    assert (found.kind, found.dialect, found.reason) == (kind, dialect, reason)


def test_the_order_of_the_exports_does_not_matter(read: Read) -> None:
    exports = ["handle_stream_message", "handle_command", "prepare_stream", "start_stream", "stop_stream"]
    assert classify(read(exports)) == classify(read(reversed(exports)))


def test_every_interface_in_the_module_is_an_offer_and_the_used_one_is_the_first(read: Read) -> None:
    found = classify(read(["handle_stream_message", "handle_command", "prepare_stream", "start_stream"]))
    assert found.offers == (
        Offer(LEGACY, "command"),
        Offer(LEGACY, "callback"),
        Offer(GENERIC, None, (("stop_stream",),)),
    )
    assert str(found.offers[0]) == "legacy interface (command dialect)"


def test_an_incomplete_module_offers_what_would_complete_it(read: Read) -> None:
    found = classify(read(["handle_stream_message"]))
    assert found.offers == (Offer(LEGACY, None, (("handle_command",), ("prepare_stream",))),)


def _with_parameter(*names: str) -> str:
    return " ".join(f'(func (export "{name}") (param i32) (result i32) i32.const 0)' for name in names)


@pytest.mark.parametrize(
    ("exports", "uncallable", "kind", "dialect"),
    [
        (["handle_stream_message", "handle_command", "stop_stream"], ["start_stream"], LEGACY, "command"),
        (["handle_stream_message", "handle_command", "start_stream"], ["stop_stream"], LEGACY, "command"),
        (["handle_stream_message", "prepare_stream"], ["start_stream", "stop_stream"], LEGACY, "callback"),
        (["start_stream", "stop_stream", "handle_stream_message"], ["handle_command"], GENERIC, None),
        (["start_stream", "stop_stream", "handle_command"], ["handle_stream_message"], GENERIC, None),
        (["handle_stream_message", "prepare_stream"], ["handle_command"], LEGACY, "callback"),
        (["handle_stream_message", "handle_command"], ["prepare_stream"], LEGACY, "command"),
        ([], ["start_stream", "stop_stream", "handle_stream_message", "handle_command"], GENERIC, None),
    ],
)
def test_an_interface_that_cannot_be_called_comes_after_one_that_can(
    read: Read, exports: list[str], uncallable: list[str], kind: PluginKind, dialect: str | None
) -> None:
    found = classify(read(exports, extra=_with_parameter(*uncallable)))
    assert (found.kind, found.dialect) == (kind, dialect)
    assert found.offers[0].usable is bool(exports)
    assert not any(offer.usable for offer in found.offers[1:])


def test_an_incomplete_interface_comes_after_one_that_cannot_be_called(read: Read) -> None:
    found = classify(read(["start_stream", "handle_stream_message"], extra=_with_parameter("handle_command")))
    assert found.offers == (
        Offer(LEGACY, "command", uncallable=("handle_command",)),
        Offer(GENERIC, None, (("stop_stream",),)),
    )
    assert not any(offer.usable for offer in found.offers)


def test_an_offer_tells_what_cannot_be_called(read: Read) -> None:
    both = _with_parameter("stop_stream", "start_stream", "meta")
    assert classify(read(extra=both)).offers == (Offer(GENERIC, None, (), ("start_stream", "stop_stream")),)
    mark = classify(read(["handle_command"], extra=_with_parameter("handle_stream_message")))
    assert mark.offers == (Offer(LEGACY, "command", (), ("handle_stream_message",)),)
    alone = classify(read(extra=_with_parameter("handle_stream_message")))
    assert alone.offers == (
        Offer(LEGACY, None, (("handle_command",), ("prepare_stream",)), ("handle_stream_message",)),
    )


@pytest.mark.parametrize(
    ("offer", "is_usable"),
    [
        (Offer(GENERIC, None), True),
        (Offer(GENERIC, None, missing=(("stop_stream",),)), False),
        (Offer(GENERIC, None, uncallable=("stop_stream",)), False),
    ],
)
def test_only_a_complete_offer_that_can_be_called_is_usable(offer: Offer, *, is_usable: bool) -> None:
    assert offer.usable is is_usable


def test_a_good_legacy_plugin_with_a_function_of_its_own_by_the_others_name_runs(build: Build) -> None:
    data = build(["handle_stream_message", "handle_command"], extra=_with_parameter("start_stream"))
    report = inspect(data)
    assert (report.kind, report.dialect, report.runnable) == (LEGACY, "command", True)


def test_a_good_generic_plugin_is_not_told_to_be_run_as_what_cannot_be_called(build: Build) -> None:
    exports = ["start_stream", "stop_stream", "handle_stream_message"]
    report = inspect(build(exports, extra=_with_parameter("handle_command")))
    assert (report.kind, report.runnable) == (GENERIC, True)
    (found,) = report.diagnostics
    assert found.slug == "both-interfaces"
    assert "handle_command cannot be called" in found.message
    assert "legacy" not in found.remedy


def test_a_memory_by_the_name_of_a_mark_is_no_mark(read: Read) -> None:
    assert classify(read(extra='(memory (export "start_stream") 1)')).kind == UNKNOWN


def test_evidence_names_marks_companions_and_host_functions(read: Read) -> None:
    found = classify(
        read(
            ["handle_stream_message", "handle_command", "meta"],
            [("env", "http_request"), ("extism:host/user", "time_now"), ("env", "time_now"), ("other", "time_now")],
        )
    )
    assert found.evidence == (
        Evidence("export handle_stream_message", "the mark of the legacy interface"),
        Evidence("export handle_command", "required by the legacy interface (command dialect)"),
        Evidence("import env http_request", "the host function that makes an HTTP request"),
        Evidence("import extism:host/user time_now", "the host function that tells the time"),
        Evidence("import env time_now", "the host function that tells the time"),
    )


def test_evidence_is_told_once(read: Read) -> None:
    found = classify(read(imports=[("env", "time_now")] * 3))
    assert found.evidence == (Evidence("import env time_now", "the host function that tells the time"),)


def test_evidence_says_that_both_dialects_are_there_and_which_one_is_used(read: Read) -> None:
    found = classify(read(["handle_stream_message", "handle_command", "prepare_stream"]))
    assert found.evidence[-1] == Evidence(
        "legacy interface (callback dialect)", "offered as well; the legacy interface (command dialect) is used"
    )


def test_evidence_says_what_is_offered_in_part(read: Read) -> None:
    found = classify(read(["start_stream", "stop_stream", "handle_stream_message"]))
    assert found.evidence[-1] == Evidence("legacy interface", "offered in part; the generic interface is used")


def test_a_third_kind_is_one_more_row(read: Read) -> None:
    third = PluginKind("third")
    table = (*INTERFACES, Interface(third, None, marks=("poll", "poll_end"), required=("poll_info",), precedence=40))
    module = read(["poll", "poll_end", "poll_info", "start_stream", "stop_stream"])
    assert classify(module, table).kind == third
    assert classify(module).kind == GENERIC
    assert classify(read(["poll"]), table).reason == (
        "exports none of start_stream, handle_stream_message, poll and poll_end"
    )
    assert classify(read(["poll", "poll_end"]), table).offers == (Offer(third, None, (("poll_info",),)),)
