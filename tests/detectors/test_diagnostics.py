from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest

from detectors.advice import ADVICE, Advice
from detectors.catalogue import CATALOGUE
from detectors.classify import classify
from detectors.diagnostics import MAX_FINDINGS, Case, Diagnostic, Finding, Rule, Severity, diagnose, unreadable
from detectors.formats import ModuleError
from detectors.rules import HOST_FUNCTIONS, INTERFACES, KERNEL_NAMESPACE, NAMESPACES, Interface, PluginKind
from detectors.toolchain import Toolchain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectors.module import ModuleInterface
    from tests.detectors.conftest import Read

GENERIC = ("start_stream", "stop_stream")
COMMAND = ("handle_stream_message", "handle_command")
CALLBACK = ("handle_stream_message", "prepare_stream")


def _found(module: ModuleInterface, *rules: Rule) -> list[Diagnostic]:
    return list(diagnose(module, classify(module), rules))


def _many(number: int, severity: Severity | None = None) -> Rule:
    def check(_: Case) -> Iterator[Finding]:
        return (Finding(f"export f{n}", f"Export {n}.", "Look.", severity) for n in range(number))

    return Rule("many", Severity.ERROR, "many of them", check)


@pytest.mark.parametrize(
    ("exports", "infos"), [(GENERIC, []), (COMMAND, ["legacy-deprecated"]), (CALLBACK, ["legacy-deprecated"])]
)
@pytest.mark.parametrize("namespace", NAMESPACES)
def test_a_good_plugin_has_no_findings_but_what_is_worth_knowing(
    read: Read, exports: tuple[str, ...], infos: list[str], namespace: str
) -> None:
    imports = [(namespace, function.name) for function in HOST_FUNCTIONS] + [(KERNEL_NAMESPACE, "alloc")]
    extra = '(func (export "_initialize")) (memory (export "memory") 1)'
    found = _found(read([*exports, "meta"], imports, extra), *CATALOGUE)
    assert [item.slug for item in found] == infos
    assert {item.severity for item in found} <= {Severity.INFO}


def test_all_that_is_wrong_with_a_module_is_told_together_in_the_order_of_the_rules(read: Read) -> None:
    module = read(
        (),
        [("env", "ws_recieve"), ("other", "ws_send"), (KERNEL_NAMESPACE, "nothing"), ("wasi_unstable", "fd_write")],
        """(import "env" "ws_close" (func (param i32)))
        (import "wasi_snapshot_preview1" "nothing" (func))
        (import "wapc" "__host_call" (func))
        (func (export "start_stream") (param i32) (result i32) i32.const 0)
        (func (export "stop_streams") (result i32) i32.const 0)
        (func $f (export "_start")) (func (export "_initialize")) (start $f)
        (memory 1 2 shared) (memory 1) (data (memory 1) (i32.const 65536) "x")""",
    )
    found = _found(module, *CATALOGUE)
    assert [item.slug for item in found if item.severity is Severity.ERROR] == [
        "foreign-abi",
        "incomplete-interface",
        "command-and-reactor",
        "wrong-export-signature",
        "wrong-import-signature",
        "unknown-host-function",
        "foreign-namespace",
        "unknown-kernel-function",
        "unknown-wasi-function",
        "wasi-unstable",
        "shared-memory",
        "segment-out-of-bounds",
    ]


def test_a_finding_becomes_a_diagnostic_of_its_rule(read: Read) -> None:
    def check(case: Case) -> Iterator[Finding]:
        yield Finding("module", f"It has {len(case.module.exports)} exports.")
        yield Finding("export meta", "It is there.", "Leave it out.", Severity.WARNING)

    assert _found(read(["meta"]), Rule("exports", Severity.INFO, "exports", check)) == [
        Diagnostic("exports", Severity.INFO, "module", "It has 1 exports.", ""),
        Diagnostic("exports", Severity.WARNING, "export meta", "It is there.", "Leave it out."),
    ]


def test_a_rule_without_a_check_finds_nothing(read: Read) -> None:
    assert _found(read(), Rule("html", Severity.ERROR, "a web page")) == []


def test_rules_are_applied_in_their_order(read: Read) -> None:
    one, two = attrs.evolve(_many(1), slug="one"), attrs.evolve(_many(1), slug="two")
    assert [found.slug for found in _found(read(), one, two)] == ["one", "two"]
    assert [found.slug for found in _found(read(), two, one)] == ["two", "one"]
    assert _found(read()) == []


@pytest.mark.parametrize("number", [0, 1, MAX_FINDINGS - 1, MAX_FINDINGS])
def test_findings_up_to_the_bound_are_all_told(read: Read, number: int) -> None:
    found = _found(read(), _many(number))
    assert [item.subject for item in found] == [f"export f{n}" for n in range(number)]


@pytest.mark.parametrize(
    ("more", "told"),
    [(1, "1 more"), (5, "5 more"), (999, "999 more"), (1_000, "more than 1,000"), (12_345, "more than 1,000")],
)
def test_findings_beyond_the_bound_are_counted(read: Read, more: int, told: str) -> None:
    found = _found(read(), _many(MAX_FINDINGS + more))
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].subject == "module"
    assert found[-1].message == f"There are {told} findings of this sort."
    assert {item.severity for item in found} == {Severity.ERROR}


def test_the_bound_is_that_of_each_rule(read: Read) -> None:
    assert len(_found(read(), _many(MAX_FINDINGS), _many(MAX_FINDINGS))) == 2 * MAX_FINDINGS


def test_a_module_that_cannot_be_read_has_one_diagnostic() -> None:
    assert unreadable(ModuleError("html", "Not a module but a page", "Look again")) == Diagnostic(
        "html", Severity.ERROR, "module", "Not a module but a page.", "Look again."
    )


@pytest.mark.parametrize(
    ("exports", "rows"),
    [
        (GENERIC, ["generic interface"]),
        (COMMAND, ["legacy interface (command dialect)"]),
        (CALLBACK, ["legacy interface (callback dialect)"]),
        (
            ["handle_stream_message"],
            ["legacy interface (command dialect)", "legacy interface (callback dialect)"],
        ),
        ([*GENERIC, *COMMAND], ["generic interface"]),
        (["meta"], []),
    ],
)
def test_a_case_has_the_rows_that_its_module_was_classified_by(read: Read, exports: list[str], rows: list[str]) -> None:
    module = read(exports)
    assert [str(row) for row in Case(module, classify(module), INTERFACES).rows] == rows


def test_a_case_has_the_advice_for_its_toolchain(read: Read) -> None:
    module = read(GENERIC)
    judged = classify(module)
    assert Case(module, judged, INTERFACES).advice == Advice()
    zig = attrs.evolve(module, toolchain=Toolchain("Zig", "0.14.1"))
    assert Case(zig, judged, INTERFACES).advice is ADVICE["Zig"]


def test_what_may_be_meant_is_the_name_that_is_nearest_and_only_if_one_is_near(read: Read) -> None:
    case = Case(read(), classify(read()), INTERFACES)
    assert case.near("ws_sent", ["ws_close", "ws_send", "ws_receive"]) == "ws_send"
    assert case.near("nothing", ["ws_close", "ws_send"]) is None
    assert case.near("ws_send", iter(())) is None


def test_a_name_of_more_than_64_characters_is_not_compared(read: Read) -> None:
    case = Case(read(), classify(read()), INTERFACES)
    assert case.near("x" * 64, ["x" * 65]) == "x" * 65
    assert case.near("x" * 65, ["x" * 65]) is None


def test_a_hundred_names_of_a_module_are_compared(read: Read) -> None:
    case = Case(read(), classify(read()), INTERFACES)
    assert [case.near("ws_sent", ["ws_send"]) for _ in range(100)] == ["ws_send"] * 100
    assert case.near("ws_sent", ["ws_send"]) is None
    assert Case(read(), classify(read()), INTERFACES).near("ws_sent", ["ws_send"]) == "ws_send"


def test_a_third_kind_is_checked_by_its_own_row(read: Read) -> None:
    table = (*INTERFACES, Interface(PluginKind("third"), None, marks=("poll",), optional=("peek",), precedence=40))
    module = read(["poll"], extra='(func (export "peek"))')
    found = diagnose(module, classify(module, table), CATALOGUE, table)
    assert [(item.slug, item.subject) for item in found] == [("wrong-export-signature", "export peek")]


def test_severities_read_as_their_names() -> None:
    assert [severity.value for severity in Severity] == ["error", "warning", "info"]
