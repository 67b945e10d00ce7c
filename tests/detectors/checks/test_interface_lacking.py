from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.checks.imports import foreign_abi
from detectors.checks.interface import (
    incomplete_interface,
    no_interface,
)
from detectors.module import Export
from detectors.rules import EXPORT_TYPE, INTERFACES, Interface, PluginKind
from tests.detectors.checks.finding import GENERIC, findings
from tests.detectors.counting import counted_lines

if TYPE_CHECKING:
    from detectors.module import ModuleInterface
    from tests.detectors.conftest import Read

COMMAND = ("handle_stream_message", "handle_command")
CALLBACK = ("handle_stream_message", "prepare_stream")
START, INITIALIZE = '(func (export "_start"))', '(func (export "_initialize"))'
NO_PLUGIN = "The module is no plugin of a known kind: it exports neither start_stream nor handle_stream_message"


# No interface.


@pytest.mark.parametrize("exports", [GENERIC, COMMAND, CALLBACK, ["start_stream"], ["handle_stream_message"]])
def test_a_module_that_is_recognised_has_an_interface(read: Read, exports: list[str]) -> None:
    assert findings(no_interface, read(exports)) == []


def test_a_module_that_is_nothing_is_told_all_the_interfaces(read: Read) -> None:
    (found,) = findings(no_interface, read(["helper", "meta"]))
    assert (found.subject, found.message) == ("module", f"{NO_PLUGIN}.")
    assert found.remedy.startswith(
        "Export start_stream and stop_stream, or handle_stream_message and handle_command, or handle_stream_message "
        "and prepare_stream"
    )
    assert "() -> i32" in found.remedy


@pytest.mark.parametrize(
    ("exports", "seen", "renamed"),
    [
        (["start_streams"], "start_streams looks like start_stream", "start_streams to start_stream"),
        (["startStream"], "startStream looks like start_stream", "startStream to start_stream"),
        (["StartStream"], "StartStream looks like start_stream", "StartStream to start_stream"),
        (["start-stream"], "start-stream looks like start_stream", "start-stream to start_stream"),
        (
            ["strat_stream", "stop_streem"],
            "strat_stream looks like start_stream and stop_streem looks like stop_stream",
            "strat_stream to start_stream and stop_streem to stop_stream",
        ),
        (
            ["handleStreamMessage", "handle_command"],
            "handleStreamMessage looks like handle_stream_message",
            "handleStreamMessage to handle_stream_message",
        ),
    ],
)
def test_a_misspelt_export_is_recognised(read: Read, exports: list[str], seen: str, renamed: str) -> None:
    (found,) = findings(no_interface, read(exports))
    assert found.message == f"{NO_PLUGIN}, but {seen}."
    assert found.remedy == f"Rename {renamed}."


@pytest.mark.parametrize(
    ("exports", "extra"),
    [
        (["stream"], ""),
        (["start"], ""),
        ([], '(global (export "start_streams") i32 (i32.const 0))'),
        (["start_stream" + "s" * 60], ""),
    ],
    ids=["too different", "too short", "no function", "too long"],
)
def test_what_only_resembles_a_name_is_no_slip_of_the_pen(read: Read, exports: list[str], extra: str) -> None:
    (found,) = findings(no_interface, read(exports, extra=extra))
    assert "looks like" not in found.message
    assert "Rename" not in found.remedy


def test_two_misspellings_of_one_name_are_told_as_one(read: Read) -> None:
    (found,) = findings(no_interface, read(["start_streams", "startstream"]))
    assert found.message.count("looks like") == 1


def test_a_known_name_is_never_taken_for_another(read: Read) -> None:
    (found,) = findings(no_interface, read(["stop_stream"]))
    assert "looks like" not in found.message


@pytest.mark.parametrize(
    ("toolchain", "how"),
    [
        ("Go", "write //go:wasmexport start_stream above a func() int32."),
        ("TinyGo", "write //go:wasmexport start_stream above a func() int32."),
        ("Rust", "write #[plugin_fn] above pub fn start_stream (extism-pdk)."),
        ("Zig", "write export fn start_stream() i32."),
        ("AssemblyScript", "write export function start_stream(): i32 in the entry file."),
        ("C/C++", 'write __attribute__((export_name("start_stream"))) before the function.'),
        ("JavaScript", "export a function start_stream from the script and declare it in its .d.ts."),
        ("Haskell", "export a function start_stream without parameters that returns an i32."),
        (None, ""),
    ],
)
def test_how_an_export_is_written_depends_on_the_toolchain(read: Read, toolchain: str | None, how: str) -> None:
    for exports in (["start_streams"], []):
        (found,) = findings(no_interface, read(exports), toolchain)
        assert found.remedy.endswith(f": {how}" if how else ".")
        assert (":" in found.remedy) is bool(how)


@pytest.mark.parametrize(
    ("exports", "nearest", "remedy"),
    [
        (
            ["stop_stream", "meta"],
            "Nearest is the generic interface, of which it exports stop_stream and meta.",
            "Export start_stream as well.",
        ),
        (
            ["prepare_stream", "stream_ohlcv", "meta"],
            (
                "Nearest is the legacy interface (callback dialect), of which it exports prepare_stream, meta and "
                "stream_ohlcv."
            ),
            "Export handle_stream_message as well.",
        ),
        (
            ["get_rate_limits"],
            "Nearest is the legacy interface (command dialect), of which it exports get_rate_limits.",
            "Export handle_stream_message and handle_command as well.",
        ),
    ],
)
def test_the_nearest_interface_is_named(read: Read, exports: list[str], nearest: str, remedy: str) -> None:
    (found,) = findings(no_interface, read(exports))
    assert found.message == f"{NO_PLUGIN}. {nearest}"
    assert found.remedy == remedy


@pytest.mark.parametrize("mark", ["start_stream", "handle_stream_message"])
@pytest.mark.parametrize(
    ("others", "remedy"),
    [
        (["stop_stream"], "Export start_stream as well."),
        (["handle_command", "init"], "Export handle_stream_message as well."),
        (["prepare_stream"], "Export handle_stream_message as well."),
        (["strt_stream"], "Rename strt_stream to start_stream."),
    ],
)
def test_a_mark_that_is_no_function_is_lacking(read: Read, mark: str, others: list[str], remedy: str) -> None:
    for what in ("(global {} i32 (i32.const 0))", "(memory {} 1)", "(table {} 1 funcref)"):
        (found,) = findings(no_interface, read(others, extra=what.format(f'(export "{mark}")')))
        assert found.message.startswith(NO_PLUGIN)
        assert f"exports {mark}" not in found.message.removeprefix(NO_PLUGIN)
        assert found.remedy == remedy


@pytest.mark.parametrize(
    "extra",
    [
        '(func (export "__guest_call"))',
        '(func (export "cabi_realloc")) (func (export "start_streams"))',
        '(import "wbg" "__wbg_new" (func))',
        '(import "env" "emscripten_resize_heap" (func)) (func (export "stop_stream"))',
    ],
)
def test_a_module_that_is_told_by_another_system_is_not_told_again(read: Read, extra: str) -> None:
    module = read(extra=extra)
    assert findings(no_interface, module) == []
    assert len(findings(foreign_abi, module)) == 1


def test_what_all_interfaces_have_makes_none_the_nearest(read: Read) -> None:
    (found,) = findings(no_interface, read(["meta"]))
    assert "Nearest" not in found.message


@pytest.mark.parametrize(
    "name", ["start_strea\x1b", "start_stream\n", "start_stream\u202e"], ids=["escape", "line end", "direction"]
)
def test_a_misspelt_name_is_shown_on_one_printable_line(read: Read, name: str) -> None:
    module = attrs.evolve(read(), exports=(Export(name, EXPORT_TYPE),))
    (found,) = findings(no_interface, module)
    assert "looks like start_stream" in found.message
    assert (found.message + found.remedy).isprintable()


def _exporting(read: Read, *names: str) -> ModuleInterface:
    return attrs.evolve(read(), exports=tuple(Export(name, EXPORT_TYPE) for name in names))


def test_the_first_thousand_exports_may_be_misspelt(read: Read) -> None:
    others = [f"{n}" for n in range(999)]
    (last,) = findings(no_interface, _exporting(read, *others, "start_streams"))
    assert last.remedy == "Rename start_streams to start_stream."
    (beyond,) = findings(no_interface, _exporting(read, *others, "helper", "start_streams"))
    assert "Rename" not in beyond.remedy


@pytest.mark.parametrize(
    ("name", "most"),
    [("start_strea" + "\x1b" * 40, 500_000), ("start_strea" + "\x1b" * 60, 90_000), ("s" * 1_000_000, 90_000)],
    ids=["51 letters", "more than 64", "a million"],
)
def test_very_many_and_very_long_exports_are_judged_for_bounded_work(read: Read, name: str, most: int) -> None:
    module = _exporting(read, *[name] * 5_000)
    with counted_lines() as lines:
        (found,) = findings(no_interface, module)
    assert lines() < most
    assert found.message == f"{NO_PLUGIN}."


def test_an_interface_more_is_one_more_to_choose_from(read: Read) -> None:
    table = (*INTERFACES, Interface(PluginKind("third"), None, marks=("poll",), required=("poll_end",), precedence=40))
    (found,) = findings(no_interface, read(["helper"]), interfaces=table)
    assert "none of start_stream, handle_stream_message and poll" in found.message
    assert ", or poll and poll_end" in found.remedy
    (near,) = findings(no_interface, read(["poll_end"]), interfaces=table)
    assert "Nearest is the third interface, of which it exports poll_end." in near.message


# An incomplete one.


@pytest.mark.parametrize(
    ("exports", "message", "remedy"),
    [
        (
            ["start_stream"],
            "The generic interface is incomplete: the module exports start_stream but no stop_stream.",
            "Export stop_stream as well; ",
        ),
        (
            ["handle_stream_message"],
            (
                "The legacy interface is incomplete: the module exports handle_stream_message but neither "
                "handle_command nor prepare_stream."
            ),
            "Export handle_command or prepare_stream as well; ",
        ),
        (
            ["start_stream", "stopStream"],
            (
                "The generic interface is incomplete: the module exports start_stream but no stop_stream (stopStream "
                "looks like stop_stream)."
            ),
            "Rename stopStream to stop_stream; ",
        ),
        (
            ["handle_stream_message", "prepare_streams"],
            (
                "The legacy interface is incomplete: the module exports handle_stream_message but neither "
                "handle_command nor prepare_stream (prepare_streams looks like prepare_stream)."
            ),
            "Rename prepare_streams to prepare_stream; ",
        ),
    ],
)
def test_an_incomplete_interface(read: Read, exports: list[str], message: str, remedy: str) -> None:
    (found,) = findings(incomplete_interface, read(exports))
    assert (found.subject, found.message) == ("module", message)
    assert found.remedy.startswith(remedy)
    assert "() -> i32" in found.remedy
    (told,) = findings(incomplete_interface, read(exports), "Zig")
    assert told.remedy.startswith(remedy.removesuffix("; "))
    assert "write export fn " in told.remedy


@pytest.mark.parametrize(("what", "kind"), [("(memory {} 1)", "memory"), ("(global {} i32 (i32.const 0))", "global")])
def test_a_companion_that_is_no_function_is_told_what_it_is(read: Read, what: str, kind: str) -> None:
    extra = what.format('(export "stop_stream")')
    (found,) = findings(incomplete_interface, read(["start_stream"], extra=extra))
    assert f"(stop_stream is a {kind}, not a function)" in found.message
    assert found.remedy.startswith("Export stop_stream as well")


@pytest.mark.parametrize("exports", [[], ["meta"], GENERIC, COMMAND, CALLBACK, [*COMMAND, "start_stream"]])
def test_an_interface_that_is_complete_or_not_there_is_not_incomplete(read: Read, exports: list[str]) -> None:
    assert findings(incomplete_interface, read(exports)) == []
