from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.catalogue import CATALOGUE
from detectors.checks.interface import (
    both_interfaces,
    command_module,
    go_command_module,
    legacy_deprecated,
    misspelt_export,
    wrong_export_signature,
)
from detectors.diagnostics import Severity
from detectors.module import Export
from detectors.rules import EXPORT_TYPE
from tests.detectors.checks.finding import GENERIC, findings

if TYPE_CHECKING:
    from tests.detectors.conftest import Read

COMMAND = ("handle_stream_message", "handle_command")
CALLBACK = ("handle_stream_message", "prepare_stream")
START, INITIALIZE = '(func (export "_start"))', '(func (export "_initialize"))'
NO_PLUGIN = "The module is no plugin of a known kind: it exports neither start_stream nor handle_stream_message"


# Several.


def test_both_interfaces_can_be_chosen_from(read: Read) -> None:
    (found,) = findings(both_interfaces, read([*GENERIC, *COMMAND]))
    assert (found.subject, found.severity) == ("module", None)
    assert found.message == (
        "The module offers the legacy interface (command dialect) as well as the generic interface, which is used."
    )
    assert found.remedy == 'Choose with kind="legacy" (on the command line: --kind legacy).'


def test_an_interface_that_is_offered_in_part_beside_a_whole_one_is_no_choice(read: Read) -> None:
    (found,) = findings(both_interfaces, read([*COMMAND, "start_stream"]))
    assert "generic interface in part (there is no stop_stream) as well as the legacy" in found.message
    assert found.remedy == ""


def test_an_interface_that_cannot_be_called_is_no_choice(read: Read) -> None:
    extra = (
        '(func (export "handle_stream_message") (result i32) i32.const 0) (func (export "handle_command") (param i32))'
    )
    (found,) = findings(both_interfaces, read(GENERIC, extra=extra))
    assert "legacy interface (command dialect) in part (handle_command cannot be called)" in found.message
    assert "as well as the generic interface, which is used." in found.message
    assert "--kind" not in found.remedy
    assert "kind=" not in found.remedy


@pytest.mark.parametrize("exports", [[], GENERIC, COMMAND, [*COMMAND, "prepare_stream"], [*GENERIC, "prepare_stream"]])
def test_one_interface_or_two_dialects_are_not_two_interfaces(read: Read, exports: list[str]) -> None:
    assert findings(both_interfaces, read(exports)) == []


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
    (found,) = findings(wrong_export_signature, read(["start_stream"], extra=extra), "Go")
    assert (found.subject, found.severity) == ("export stop_stream", None)
    assert found.message == f"The export stop_stream {what}; the interface calls a function () -> i32."
    assert "through the Extism PDK" in found.remedy
    assert found.remedy.endswith(": write //go:wasmexport stop_stream above a func() int32.")


def test_an_optional_export_of_another_signature_is_a_warning(read: Read) -> None:
    (found,) = findings(wrong_export_signature, read(GENERIC, extra='(func (export "meta") (result i64) unreachable)'))
    assert (found.subject, found.severity) == ("export meta", Severity.WARNING)
    assert found.message.endswith("the interface calls a function () -> i32 and will do without this one.")


def test_a_signature_without_end_is_cut(read: Read) -> None:
    extra = f'(func (export "stop_stream") (param {"i32 " * 900}))'
    (found,) = findings(wrong_export_signature, read(["start_stream"], extra=extra))
    assert "…" in found.message
    assert len(found.message) < 300


def test_exports_that_the_used_interface_does_not_know_are_free(read: Read) -> None:
    extra = '(func (export "helper") (param i32)) (func (export "handle_command") (param i32))'
    assert findings(wrong_export_signature, read(GENERIC, extra=extra)) == []


def test_of_a_module_that_is_no_plugin_the_marks_are_judged(read: Read) -> None:
    extra = '(global (export "start_stream") i32 (i32.const 0)) (func (export "meta") (param i32))'
    (found,) = findings(wrong_export_signature, read(extra=extra))
    assert (found.subject, found.severity) == ("export start_stream", None)
    assert found.message.startswith("The export start_stream is a global;")


def test_every_wrong_export_is_told(read: Read) -> None:
    extra = "".join(f'(func (export "{name}") (param i64))' for name in ("start_stream", "get_name", "stop_stream"))
    found = findings(wrong_export_signature, read(extra=extra))
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
    (found,) = findings(misspelt_export, module)
    assert (found.subject, found.severity) == (f"export {written}", None)
    assert f"{written} looks like {meant}" in found.message
    assert found.remedy == f"Rename it to {meant}, if that is meant."
    (told,) = findings(misspelt_export, module, "Go")
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
    assert findings(misspelt_export, read(exports)) == []


def test_only_functions_are_misspelt(read: Read) -> None:
    assert findings(misspelt_export, read(GENERIC, extra='(memory (export "pluginInfo") 1)')) == []


def test_a_misspelt_optional_export_is_shown_on_one_printable_line(read: Read) -> None:
    module = read(GENERIC)
    module = attrs.evolve(module, exports=(*module.exports, Export("plugin_info\x1b", EXPORT_TYPE)))
    (found,) = findings(misspelt_export, module)
    assert (found.subject + found.message + found.remedy).isprintable()


# Programs.


@pytest.mark.parametrize("exports", [GENERIC, COMMAND, [], ["helper"]])
def test_a_go_command_is_told_the_build_mode_even_if_it_is_no_plugin(read: Read, exports: list[str]) -> None:
    module = read(exports, extra=START)
    (found,) = findings(go_command_module, module, "Go")
    assert (found.subject, found.severity) == ("export _start", None)
    assert "every other export traps (runtime.notInitialized)" in found.message
    assert "go build -buildmode=c-shared -o plugin.wasm" in found.remedy
    assert findings(command_module, module, "Go") == []


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
    (found,) = findings(command_module, module, toolchain)
    assert found.subject == "export _start"
    assert found.message.startswith(f"The module is a {what} built to run once from its _start;")
    assert found.remedy.startswith(remedy)
    assert findings(go_command_module, module, toolchain) == []


@pytest.mark.parametrize("toolchain", [None, "Go", "Rust"])
@pytest.mark.parametrize("extra", ["", INITIALIZE, START + INITIALIZE])
def test_a_reactor_is_no_command(read: Read, toolchain: str | None, extra: str) -> None:
    module = read(COMMAND, extra=extra)
    assert findings(go_command_module, module, toolchain) == findings(command_module, module, toolchain) == []


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
    assert len(findings(command_module, read(imports=imports, extra=START))) == count


# Successors.


@pytest.mark.parametrize(("exports", "dialect"), [(COMMAND, "command"), (CALLBACK, "callback")])
def test_a_legacy_plugin_is_told_what_follows(read: Read, exports: list[str], dialect: str) -> None:
    (found,) = findings(legacy_deprecated, read(exports))
    assert (found.subject, found.severity) == ("module", None)
    assert found.message.startswith(f"The legacy interface ({dialect} dialect) is deprecated: the plugin runs as it is")
    assert found.message.endswith("and new ones are written against the generic interface.")
    assert found.remedy.startswith("Nothing needs to be done. To move it: within start_stream, ")
    assert "docs/migrating.md" in found.remedy


@pytest.mark.parametrize("exports", [[], GENERIC, ["handle_stream_message"], [*GENERIC, *COMMAND]])
def test_nothing_else_is_deprecated(read: Read, exports: list[str]) -> None:
    assert findings(legacy_deprecated, read(exports)) == []
