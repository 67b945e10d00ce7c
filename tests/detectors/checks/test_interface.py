from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.catalogue import CATALOGUE
from detectors.checks.imports import foreign_abi
from detectors.checks.interface import (
    both_interfaces,
    command_module,
    go_command_module,
    incomplete_interface,
    legacy_deprecated,
    misspelt_export,
    no_interface,
    wrong_export_signature,
)
from detectors.classify import classify
from detectors.diagnostics import Case, Finding, Severity
from detectors.module import Export
from detectors.rules import EXPORT_TYPE, INTERFACES, Interface, PluginKind
from detectors.toolchain import Toolchain
from tests.support.timing import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from detectors.diagnostics import Check
    from detectors.module import ModuleInterface
    from tests.detectors.conftest import Read

GENERIC = ("start_stream", "stop_stream")
COMMAND = ("handle_stream_message", "handle_command")
CALLBACK = ("handle_stream_message", "prepare_stream")
START, INITIALIZE = '(func (export "_start"))', '(func (export "_initialize"))'
NO_PLUGIN = "The module is no plugin of a known kind: it exports neither start_stream nor handle_stream_message"


def _found(
    check: Check,
    module: ModuleInterface,
    toolchain: str | None = None,
    interfaces: Sequence[Interface] = INTERFACES,
) -> list[Finding]:
    if toolchain is not None:
        module = attrs.evolve(module, toolchain=Toolchain(toolchain))
    return list(check(Case(module, classify(module, interfaces), interfaces)))


# No interface.


@pytest.mark.parametrize("exports", [GENERIC, COMMAND, CALLBACK, ["start_stream"], ["handle_stream_message"]])
def test_a_module_that_is_recognised_has_an_interface(read: Read, exports: list[str]) -> None:
    assert _found(no_interface, read(exports)) == []


def test_a_module_that_is_nothing_is_told_all_the_interfaces(read: Read) -> None:
    (found,) = _found(no_interface, read(["helper", "meta"]))
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
    (found,) = _found(no_interface, read(exports))
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
    (found,) = _found(no_interface, read(exports, extra=extra))
    assert "looks like" not in found.message
    assert "Rename" not in found.remedy


def test_two_misspellings_of_one_name_are_told_as_one(read: Read) -> None:
    (found,) = _found(no_interface, read(["start_streams", "startstream"]))
    assert found.message.count("looks like") == 1


def test_a_known_name_is_never_taken_for_another(read: Read) -> None:
    (found,) = _found(no_interface, read(["stop_stream"]))
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
        (found,) = _found(no_interface, read(exports), toolchain)
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
    (found,) = _found(no_interface, read(exports))
    assert found.message == f"{NO_PLUGIN}. {nearest}"
    assert found.remedy == remedy


@pytest.mark.parametrize("mark", ["start_stream", "handle_stream_message"])
@pytest.mark.parametrize(
    "what", ['(global (export "{}") i32 (i32.const 0))', '(memory (export "{}") 1)', '(table (export "{}") 1 funcref)']
)
@pytest.mark.parametrize("others", [["stop_stream"], ["handle_command", "init"], ["prepare_stream"], ["strt_stream"]])
def test_a_mark_that_is_no_function_is_lacking(read: Read, mark: str, what: str, others: list[str]) -> None:
    (found,) = _found(no_interface, read(others, extra=what.format(mark)))
    assert found.message.startswith(NO_PLUGIN)
    assert f"of which it exports {mark}" not in found.message
    assert found.remedy


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
    assert _found(no_interface, module) == []
    assert len(_found(foreign_abi, module)) == 1


def test_what_all_interfaces_have_makes_none_the_nearest(read: Read) -> None:
    (found,) = _found(no_interface, read(["meta"]))
    assert "Nearest" not in found.message


@pytest.mark.parametrize(
    "name", ["start_strea\x1b", "start_stream\n", "start_stream\u202e"], ids=["escape", "line end", "direction"]
)
def test_a_misspelt_name_is_shown_on_one_printable_line(read: Read, name: str) -> None:
    module = attrs.evolve(read(), exports=(Export(name, EXPORT_TYPE),))
    (found,) = _found(no_interface, module)
    assert "looks like start_stream" in found.message
    assert (found.message + found.remedy).isprintable()


def test_very_many_and_very_long_exports_are_judged_soon(read: Read) -> None:
    names = ["start_strea" + "\x1b" * 52] * 5_000 + ["s" * 1_000_000]
    module = attrs.evolve(read(), exports=tuple(Export(f"{n}{name}", EXPORT_TYPE) for n, name in enumerate(names)))
    with measured() as took:
        (found,) = _found(no_interface, module)
    assert took() < 5
    assert (found.message + found.remedy).isprintable()
    assert len(found.message) < 500


def test_an_interface_more_is_one_more_to_choose_from(read: Read) -> None:
    table = (*INTERFACES, Interface(PluginKind("third"), None, marks=("poll",), required=("poll_end",), precedence=40))
    (found,) = _found(no_interface, read(["helper"]), interfaces=table)
    assert "none of start_stream, handle_stream_message and poll" in found.message
    assert ", or poll and poll_end" in found.remedy
    (near,) = _found(no_interface, read(["poll_end"]), interfaces=table)
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
    (found,) = _found(incomplete_interface, read(exports))
    assert (found.subject, found.message) == ("module", message)
    assert found.remedy.startswith(remedy)
    assert "() -> i32" in found.remedy
    (told,) = _found(incomplete_interface, read(exports), "Zig")
    assert told.remedy.startswith(remedy.removesuffix("; "))
    assert "write export fn " in told.remedy


@pytest.mark.parametrize(("what", "kind"), [("(memory {} 1)", "memory"), ("(global {} i32 (i32.const 0))", "global")])
def test_a_companion_that_is_no_function_is_told_what_it_is(read: Read, what: str, kind: str) -> None:
    extra = what.format('(export "stop_stream")')
    (found,) = _found(incomplete_interface, read(["start_stream"], extra=extra))
    assert f"(stop_stream is a {kind}, not a function)" in found.message
    assert found.remedy.startswith("Export stop_stream as well")


@pytest.mark.parametrize("exports", [[], ["meta"], GENERIC, COMMAND, CALLBACK, [*COMMAND, "start_stream"]])
def test_an_interface_that_is_complete_or_not_there_is_not_incomplete(read: Read, exports: list[str]) -> None:
    assert _found(incomplete_interface, read(exports)) == []


# Several.


def test_both_interfaces_can_be_chosen_from(read: Read) -> None:
    (found,) = _found(both_interfaces, read([*GENERIC, *COMMAND]))
    assert (found.subject, found.severity) == ("module", None)
    assert found.message == (
        "The module offers the legacy interface (command dialect) as well as the generic interface, which is used."
    )
    assert found.remedy == 'Choose with kind="legacy" (on the command line: --kind legacy).'


def test_an_interface_that_is_offered_in_part_beside_a_whole_one_is_no_choice(read: Read) -> None:
    (found,) = _found(both_interfaces, read([*COMMAND, "start_stream"]))
    assert "generic interface in part (there is no stop_stream) as well as the legacy" in found.message
    assert found.remedy == ""


def test_an_interface_that_cannot_be_called_is_no_choice(read: Read) -> None:
    extra = (
        '(func (export "handle_stream_message") (result i32) i32.const 0) (func (export "handle_command") (param i32))'
    )
    (found,) = _found(both_interfaces, read(GENERIC, extra=extra))
    assert "legacy interface (command dialect) in part (handle_command cannot be called)" in found.message
    assert "as well as the generic interface, which is used." in found.message
    assert "--kind" not in found.remedy
    assert "kind=" not in found.remedy


@pytest.mark.parametrize("exports", [[], GENERIC, COMMAND, [*COMMAND, "prepare_stream"], [*GENERIC, "prepare_stream"]])
def test_one_interface_or_two_dialects_are_not_two_interfaces(read: Read, exports: list[str]) -> None:
    assert _found(both_interfaces, read(exports)) == []


# Signatures.


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        (
            '(func (export "stop_stream") (param i32 i32) (result i64) unreachable)',
            "has the signature (i32, i32) -> i64",
        ),
        ('(func (export "stop_stream"))', "has the signature () -> ()"),
        ('(global (export "stop_stream") i32 (i32.const 0))', "is a global"),
    ],
)
def test_a_needed_export_of_another_signature_is_an_error(read: Read, extra: str, what: str) -> None:
    (found,) = _found(wrong_export_signature, read(["start_stream"], extra=extra), "Go")
    assert (found.subject, found.severity) == ("export stop_stream", None)
    assert found.message == f"The export stop_stream {what}; the interface calls a function () -> i32."
    assert "through the Extism PDK" in found.remedy
    assert found.remedy.endswith(": write //go:wasmexport stop_stream above a func() int32.")


def test_an_optional_export_of_another_signature_is_a_warning(read: Read) -> None:
    (found,) = _found(wrong_export_signature, read(GENERIC, extra='(func (export "meta") (result i64) unreachable)'))
    assert (found.subject, found.severity) == ("export meta", Severity.WARNING)
    assert found.message.endswith("the interface calls a function () -> i32 and will do without this one.")


def test_a_signature_without_end_is_cut(read: Read) -> None:
    extra = f'(func (export "stop_stream") (param {"i32 " * 900}))'
    (found,) = _found(wrong_export_signature, read(["start_stream"], extra=extra))
    assert "…" in found.message
    assert len(found.message) < 300


def test_exports_that_the_used_interface_does_not_know_are_free(read: Read) -> None:
    extra = '(func (export "helper") (param i32)) (func (export "handle_command") (param i32))'
    assert _found(wrong_export_signature, read(GENERIC, extra=extra)) == []


def test_of_a_module_that_is_no_plugin_the_marks_are_judged(read: Read) -> None:
    extra = '(global (export "start_stream") i32 (i32.const 0)) (func (export "meta") (param i32))'
    (found,) = _found(wrong_export_signature, read(extra=extra))
    assert (found.subject, found.severity) == ("export start_stream", None)
    assert found.message.startswith("The export start_stream is a global;")


def test_every_wrong_export_is_told(read: Read) -> None:
    extra = "".join(f'(func (export "{name}") (param i64))' for name in ("start_stream", "get_name", "stop_stream"))
    found = _found(wrong_export_signature, read(extra=extra))
    assert [(item.subject, item.severity) for item in found] == [
        ("export start_stream", None),
        ("export get_name", Severity.WARNING),
        ("export stop_stream", None),
    ]


# Optional exports that are misspelt.


@pytest.mark.parametrize(
    ("exports", "written", "meant"),
    [
        (GENERIC, "pluginInfo", "plugin_info"),
        (GENERIC, "plugin_inof", "plugin_info"),
        (GENERIC, "Meta", "meta"),
        (COMMAND, "handleConnectionEvent", "handle_connection_event"),
        (CALLBACK, "set-credentials", "set_credentials"),
        (["start_stream"], "list_market", "list_markets"),
    ],
)
def test_an_optional_export_that_is_misspelt(read: Read, exports: list[str], written: str, meant: str) -> None:
    module = read([*exports, written])
    (found,) = _found(misspelt_export, module)
    assert (found.subject, found.severity) == (f"export {written}", None)
    assert f"{written} looks like {meant}" in found.message
    assert found.remedy == f"Rename it to {meant}, if that is meant."
    (told,) = _found(misspelt_export, module, "Go")
    assert told.remedy == f"Rename it to {meant}, if that is meant: write //go:wasmexport {meant} above a func() int32."


def test_a_misspelt_export_is_a_warning() -> None:
    (severity,) = {rule.severity for rule in CATALOGUE if rule.check is misspelt_export}
    assert severity is Severity.WARNING


@pytest.mark.parametrize(
    "exports",
    [
        [*GENERIC, "plugin_info", "meta"],
        [*GENERIC, "plugin_info", "pluginInfo"],
        [*GENERIC, "helper", "memory", "_initialize"],
        [*GENERIC, "handleConnectionEvent"],
        [*COMMAND, "plugin_info", "get_rate_limits"],
        ["pluginInfo"],
    ],
    ids=[
        "all is right",
        "the right one is there too",
        "its own",
        "another interface's",
        "known elsewhere",
        "no plugin",
    ],
)
def test_an_export_that_nobody_meant_otherwise_is_not_misspelt(read: Read, exports: list[str]) -> None:
    assert _found(misspelt_export, read(exports)) == []


def test_only_functions_are_misspelt(read: Read) -> None:
    assert _found(misspelt_export, read(GENERIC, extra='(memory (export "pluginInfo") 1)')) == []


def test_a_misspelt_optional_export_is_shown_on_one_printable_line(read: Read) -> None:
    module = read(GENERIC)
    module = attrs.evolve(module, exports=(*module.exports, Export("plugin_info\x1b", EXPORT_TYPE)))
    (found,) = _found(misspelt_export, module)
    assert (found.subject + found.message + found.remedy).isprintable()


# Programs.


@pytest.mark.parametrize("exports", [GENERIC, COMMAND, [], ["helper"]])
def test_a_go_command_is_told_the_build_mode_even_if_it_is_no_plugin(read: Read, exports: list[str]) -> None:
    module = read(exports, extra=START)
    (found,) = _found(go_command_module, module, "Go")
    assert (found.subject, found.severity) == ("export _start", None)
    assert "every other export traps (runtime.notInitialized)" in found.message
    assert "go build -buildmode=c-shared -o plugin.wasm" in found.remedy
    assert _found(command_module, module, "Go") == []


@pytest.mark.parametrize(
    ("toolchain", "what", "remedy"),
    [
        (None, "WASI command,", "Build it as a WASI reactor, which exports _initialize and no _start."),
        ("TinyGo", "WASI command (TinyGo),", "Build with tinygo build "),
        ("C/C++", "WASI command (C/C++),", "Link with -mexec-model=reactor."),
        ("Rust", "WASI command (Rust),", 'Build a library, crate-type = ["cdylib"] in Cargo.toml, for wasm32-wasip1'),
    ],
)
def test_the_command_of_another_compiler(read: Read, toolchain: str | None, what: str, remedy: str) -> None:
    module = read(COMMAND, extra=START)
    (found,) = _found(command_module, module, toolchain)
    assert found.subject == "export _start"
    assert found.message.startswith(f"The module is a {what} built to run once from its _start;")
    assert found.remedy.startswith(remedy)
    assert _found(go_command_module, module, toolchain) == []


@pytest.mark.parametrize("toolchain", [None, "Go", "Rust"])
@pytest.mark.parametrize("extra", ["", INITIALIZE, START + INITIALIZE])
def test_a_reactor_is_no_command(read: Read, toolchain: str | None, extra: str) -> None:
    module = read(COMMAND, extra=extra)
    assert _found(go_command_module, module, toolchain) == _found(command_module, module, toolchain) == []


@pytest.mark.parametrize(
    ("imports", "count"),
    [
        ([], 0),
        ([("wasi_snapshot_preview1", "proc_exit")], 0),
        ([("env", "ws_send")], 1),
        ([("extism:host/user", "ws_send")], 1),
        ([("extism:host/env", "alloc")], 1),
    ],
)
def test_a_command_that_is_no_plugin_is_told_so_if_it_was_meant_to_be_one(
    read: Read, imports: list[tuple[str, str]], count: int
) -> None:
    assert len(_found(command_module, read(imports=imports, extra=START))) == count


# Successors.


@pytest.mark.parametrize(("exports", "dialect"), [(COMMAND, "command"), (CALLBACK, "callback")])
def test_a_legacy_plugin_is_told_what_follows(read: Read, exports: list[str], dialect: str) -> None:
    (found,) = _found(legacy_deprecated, read(exports))
    assert (found.subject, found.severity) == ("module", None)
    assert found.message.startswith(f"The legacy interface ({dialect} dialect) is deprecated: the plugin runs as it is")
    assert "the generic interface" in found.message
    assert found.remedy


@pytest.mark.parametrize("exports", [[], GENERIC, ["handle_stream_message"], [*GENERIC, *COMMAND]])
def test_nothing_else_is_deprecated(read: Read, exports: list[str]) -> None:
    assert _found(legacy_deprecated, read(exports)) == []
