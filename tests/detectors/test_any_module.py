"""Valid modules that export and import whatever may be meant, or nearly: a report of each, and never an error."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings

from detectors.catalogue import CATALOGUE
from detectors.report import ModuleReport, inspect
from detectors.rules import INTERFACES, Interface
from tests.detectors.any_module import (
    ANY_EXPORTS,
    ANY_IMPORTS,
    MISSPELLINGS,
    USED,
    WHOLE,
    Foreign,
    Item,
    assembled,
)
from tests.detectors.examples import few_and_many

RULES = {rule.slug for rule in CATALOGUE}


def _sound(report: ModuleReport) -> None:
    """That a report says what it may say, and in which form."""
    assert report.runnable is (bool(report.offers) and not report.errors)
    assert not report.runnable or report.offers[0].usable
    assert report.reason.isprintable()
    for found in report.diagnostics:
        assert found.slug in RULES
        assert found.message.endswith(".")
        assert found.remedy.endswith(".") or not found.remedy
        assert (found.subject + found.text).isprintable()
        assert len(found.text) < 1_500
    usable = [offer.usable for offer in report.offers]
    assert usable == sorted(usable, reverse=True)
    assert report.to_dict()["runnable"] is report.runnable


@few_and_many(40, 1_000)
def test_a_module_of_any_exports_and_imports_has_a_report(examples: int) -> None:
    @settings(max_examples=examples)
    @given(ANY_EXPORTS, ANY_IMPORTS)
    @example([("start_stream", "(global {} i32 (i32.const 0))"), ("stop_stream", "(memory {} 1)")], [])
    @example([("handle_stream_message", "(memory {} 1)"), ("prepare_stream", "(func {} (result i32) i32.const 0)")], [])
    @example([("start_stream", "(table {} 1 funcref)"), ("startStream", "(func {} (param i32))")], [])
    def has_a_report(exports: list[Item], imports: list[Foreign]) -> None:
        report = inspect(assembled(exports, imports))
        assert {"invalid-module", "too-large"}.isdisjoint(found.slug for found in report.diagnostics)
        assert [item.name for item in report.exports] == [name for name, _ in exports]
        assert [(item.module, item.name) for item in report.imports] == [(space, name) for space, name, _ in imports]
        _sound(report)

    has_a_report()


@few_and_many(30, 500)
def test_what_a_plugin_exports_besides_never_raises(examples: int) -> None:
    @settings(max_examples=examples)
    @given(WHOLE, ANY_EXPORTS, USED)
    def has_a_report(whole: list[Item], others: list[Item], used: list[Foreign]) -> None:
        names = {name for name, _ in whole}
        report = inspect(assembled([*whole, *(item for item in others if item[0] not in names)], used))
        _sound(report)
        if whole:
            assert report.offers[0].usable

    has_a_report()


@pytest.mark.parametrize("row", INTERFACES, ids=str)
def test_a_mark_that_is_no_function_beside_misspelt_companions_has_a_report(row: Interface) -> None:
    whats = ("(global {} i32 (i32.const 0))", "(memory {} 1)", "(table {} 1 funcref)")
    for what, misspelt in itertools.product(whats, MISSPELLINGS):
        exports = [(mark, what) for mark in row.marks]
        names = [misspelt(name) for name in (*row.required, *row.optional)]
        exports += [(name, "(func {} (result i32) i32.const 0)") for name in names]
        report = inspect(assembled(exports, []))
        _sound(report)
        assert not report.runnable, (what, names)
        assert {found.slug for found in report.errors} == {"no-interface", "wrong-export-signature"}, (what, names)
