from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from detectors.classify import classify
from detectors.diagnostics import (
    MAX_FINDINGS,
    RULES,
    Case,
    Diagnostic,
    Finding,
    Rule,
    Severity,
    diagnose,
    unreadable,
)
from detectors.formats import ModuleError
from detectors.rules import (
    HOST_FUNCTIONS,
    INTERFACES,
    KERNEL_NAMESPACE,
    NAMESPACES,
    WASI_NAMESPACE,
    Interface,
    PluginKind,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.module import ModuleInterface
    from tests.detectors.conftest import Read

GENERIC = ("start_stream", "stop_stream")
COMMAND = ("handle_stream_message", "handle_command")
START = '(func (export "_start"))'
GO = '(@custom "go:buildid" "x")'


def _found(module: ModuleInterface) -> list[Diagnostic]:
    return list(diagnose(module, classify(module)))


def _slugs(module: ModuleInterface) -> list[tuple[str, str]]:
    return [(found.slug, found.severity.value) for found in _found(module)]


@pytest.mark.parametrize("exports", [GENERIC, COMMAND, ("handle_stream_message", "prepare_stream")])
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_good_plugin_has_no_findings(read: Read, exports: tuple[str, ...], namespace: str) -> None:
    imports = [(namespace, function.name) for function in HOST_FUNCTIONS]
    imports += [(WASI_NAMESPACE, "fd_write"), (KERNEL_NAMESPACE, "alloc")]
    extra = '(func (export "_initialize")) (memory (export "memory") 1)'
    assert _found(read([*exports, "meta"], imports, extra)) == []


def test_a_module_without_an_interface(read: Read) -> None:
    (found,) = _found(read(["meta"]))
    assert (found.slug, found.severity, found.subject) == ("no-interface", Severity.ERROR, "module")
    assert found.message == (
        "The module is no plugin of a known kind: it exports neither start_stream nor handle_stream_message."
    )
    assert "start_stream or handle_stream_message" in found.remedy


@pytest.mark.parametrize(
    ("exports", "message", "remedy"),
    [
        (
            ["start_stream"],
            "The generic interface is incomplete: the module exports start_stream but no stop_stream.",
            "Export stop_stream as well and build the plugin again.",
        ),
        (
            ["handle_stream_message"],
            (
                "The legacy interface is incomplete: the module exports handle_stream_message but neither "
                "handle_command nor prepare_stream."
            ),
            "Export handle_command or prepare_stream as well and build the plugin again.",
        ),
    ],
)
def test_an_incomplete_interface(read: Read, exports: list[str], message: str, remedy: str) -> None:
    (found,) = _found(read(exports))
    assert (found.slug, found.severity) == ("incomplete-interface", Severity.ERROR)
    assert (found.message, found.remedy) == (message, remedy)


def test_both_interfaces_are_worth_knowing_but_no_error(read: Read) -> None:
    (found,) = _found(read([*GENERIC, *COMMAND]))
    assert (found.slug, found.severity, found.remedy) == ("both-interfaces", Severity.INFO, "")
    assert found.message == (
        "The module offers the legacy interface (command dialect) as well as the generic interface, which is used."
    )


def test_an_interface_that_is_offered_in_part_beside_a_whole_one(read: Read) -> None:
    (found,) = _found(read([*COMMAND, "start_stream"]))
    assert found.slug == "both-interfaces"
    assert "generic interface in part (there is no stop_stream) as well as the legacy" in found.message


def test_two_dialects_are_not_two_interfaces(read: Read) -> None:
    assert _found(read([*COMMAND, "prepare_stream"])) == []


@pytest.mark.parametrize(
    ("extra", "what"),
    [
        ('(func (export "stop_stream") (param i32 i32) (result i64) unreachable)', "the signature (i32, i32) -> i64"),
        ('(func (export "stop_stream"))', "the signature () -> ()"),
    ],
)
def test_a_needed_export_of_another_signature_is_an_error(read: Read, extra: str, what: str) -> None:
    (found,) = _found(read(["start_stream"], extra=extra))
    assert (found.slug, found.severity, found.subject) == (
        "wrong-export-signature",
        Severity.ERROR,
        "export stop_stream",
    )
    assert f"stop_stream has {what};" in found.message
    assert "() -> i32" in found.remedy


def test_an_optional_export_of_another_signature_is_a_warning(read: Read) -> None:
    assert _slugs(read(GENERIC, extra='(func (export "meta") (result i64) unreachable)')) == [
        ("wrong-export-signature", "warning")
    ]


def test_exports_that_the_used_interface_does_not_know_are_free(read: Read) -> None:
    extra = '(func (export "helper") (param i32)) (func (export "handle_command") (param i32))'
    assert _found(read(GENERIC, extra=extra)) == []


def test_a_mark_that_is_no_function_is_told_beside_the_missing_interface(read: Read) -> None:
    first, second = _found(read(extra='(global (export "start_stream") i32 (i32.const 0)) (func (export "meta"))'))
    assert (first.slug, second.slug, second.severity) == ("no-interface", "wrong-export-signature", Severity.ERROR)
    assert "start_stream is a global" in second.message


def test_a_go_command_is_an_error_with_the_build_flag_as_remedy(read: Read) -> None:
    (found,) = _found(read(COMMAND, extra=f"{START} {GO}"))
    assert (found.slug, found.severity) == ("go-command-module", Severity.ERROR)
    assert "-buildmode=c-shared" in found.remedy


def test_the_command_of_another_compiler_is_a_warning(read: Read) -> None:
    assert _slugs(read(COMMAND, extra=START)) == [("command-module", "warning")]
    rust = '(@custom "producers" "\\01\\0cprocessed-by\\01\\05rustc\\041.80")'
    assert _slugs(read(COMMAND, extra=START + rust)) == [("command-module", "warning")]


def test_a_reactor_is_no_command(read: Read) -> None:
    assert _found(read(COMMAND, extra=f'{START} {GO} (func (export "_initialize"))')) == []


def test_a_command_that_is_no_plugin_is_only_that(read: Read) -> None:
    assert _slugs(read(extra=f"{START} {GO}")) == [("no-interface", "error")]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_an_import_that_no_host_function_answers(read: Read, namespace: str) -> None:
    (found,) = _found(read(GENERIC, [(namespace, "read_disk")]))
    assert (found.slug, found.severity, found.subject) == (
        "unknown-host-function",
        Severity.ERROR,
        f"import {namespace} read_disk",
    )
    assert "(i64) -> i64" in found.message
    assert all(function.name in found.remedy for function in HOST_FUNCTIONS)


def test_a_misspelt_host_function_is_recognised(read: Read) -> None:
    (found,) = _found(read(GENERIC, [("env", "ws_recieve")]))
    assert found.remedy == "Import ws_receive if that is meant."


def test_an_import_of_a_memory_from_a_served_namespace_is_answered_by_nothing(read: Read) -> None:
    first, second = _found(read(extra='(import "env" "memory" (memory 1))'))
    assert (first.slug, second.slug, second.subject) == ("no-interface", "unknown-host-function", "import env memory")


def test_an_import_from_a_foreign_namespace(read: Read) -> None:
    (found,) = _found(read(GENERIC, [("wasi_unstable", "fd_write")]))
    assert (found.slug, found.severity) == ("foreign-namespace", Severity.ERROR)
    assert found.subject == "import wasi_unstable fd_write"
    assert "env or extism:host/user" in found.remedy


def test_an_import_from_a_namespace_without_a_name(read: Read) -> None:
    (found,) = _found(read(GENERIC, [("", "f")]))
    assert "from a namespace without a name" in found.message


def test_the_other_abi_of_the_same_names_is_told_and_not_guessed(read: Read) -> None:
    module = read(extra='(import "env" "ws_send" (func (param i32 i32) (result i64)))')
    first, second = _found(module)
    assert (first.slug, second.slug, second.severity) == ("no-interface", "wrong-import-signature", Severity.ERROR)
    assert second.message == ("The module imports env ws_send as (i32, i32) -> i64; the host function is (i64) -> i64.")


def test_the_log_without_a_result_is_accepted_but_another_function_is_not(read: Read) -> None:
    log = read(extra='(import "env" "log_record" (func (param i64)))')
    assert _slugs(log) == [("no-interface", "error")]
    send = read(extra='(import "env" "ws_send" (func (param i64)))')
    assert _slugs(send) == [("no-interface", "error"), ("wrong-import-signature", "error")]


def test_names_from_the_module_are_escaped_and_cut(read: Read) -> None:
    found = _found(read(GENERIC, [("env", "\\1b[2J" + "x" * 200), ("a\\nb", "f")]))
    assert [item.slug for item in found] == ["unknown-host-function", "foreign-namespace"]
    for item in found:
        assert (item.subject + item.message + item.remedy).isprintable()
        assert len(item.subject) < 120


def test_the_same_finding_is_told_once_and_many_findings_are_counted(read: Read) -> None:
    imports = [("env", f"f{n}") for n in range(MAX_FINDINGS + 5)] * 2
    found = _found(read(GENERIC, imports))
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].message == "There are 5 more findings of this sort."
    assert {item.severity for item in found} == {Severity.ERROR}


def test_a_module_that_cannot_be_read_has_one_diagnostic() -> None:
    assert unreadable(ModuleError("html", "Not a module but a page", "Look again")) == Diagnostic(
        "html", Severity.ERROR, "module", "Not a module but a page.", "Look again."
    )


def test_slugs_are_unique() -> None:
    assert len({rule.slug for rule in RULES}) == len(RULES)


def test_a_rule_is_one_more_row(read: Read) -> None:
    def check(case: Case) -> Iterator[Finding]:
        yield Finding("module", f"It has {len(case.module.exports)} exports.")

    module = read(["meta"])
    found = diagnose(module, classify(module), rules=[Rule("many-exports", Severity.INFO, check)])
    assert found == (Diagnostic("many-exports", Severity.INFO, "module", "It has 1 exports.", ""),)


def test_a_third_kind_is_checked_by_its_own_row(read: Read) -> None:
    table = (*INTERFACES, Interface(PluginKind("third"), None, marks=("poll",), optional=("peek",), precedence=40))
    module = read(["poll"], extra='(func (export "peek"))')
    found = diagnose(module, classify(module, table), interfaces=table)
    assert [(item.slug, item.subject) for item in found] == [("wrong-export-signature", "export peek")]
