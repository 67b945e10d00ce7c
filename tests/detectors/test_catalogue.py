from __future__ import annotations

import functools
import re

import pytest

from detectors.catalogue import CATALOGUE
from detectors.checks import build as built
from detectors.checks import companion, imports, instantiation, interface
from detectors.diagnostics import Diagnostic, Severity
from detectors.formats import FORMATS
from detectors.report import ModuleReport, inspect
from fixtures.diagnostics import SLUGS, near_miss, raises

RULES = {rule.slug: rule for rule in CATALOGUE}
SUBJECT = re.compile(r"module|section \S+|export \S+|import \S+ \S+")


@functools.cache
def _raised(slug: str) -> ModuleReport:
    return inspect(raises(slug))


@functools.cache
def _missed(slug: str) -> ModuleReport:
    return inspect(near_miss(slug))


def _findings(slug: str) -> list[Diagnostic]:
    return [found for found in _raised(slug).diagnostics if found.slug == slug]


def test_every_rule_has_its_fixtures_and_every_fixture_its_rule() -> None:
    assert sorted(RULES) == sorted(SLUGS)
    assert len(RULES) == len(CATALOGUE) > 30


def test_every_slug_is_in_kebab_case() -> None:
    assert [slug for slug in RULES if re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", slug) is None] == []


@pytest.mark.parametrize("slug", RULES)
def test_the_one_module_raises_it_and_the_near_miss_does_not(slug: str) -> None:
    assert [found.severity for found in _findings(slug)] == [RULES[slug].severity]
    assert slug not in {found.slug for found in _missed(slug).diagnostics}


def test_a_finding_names_its_subject_and_what_to_do_about_it() -> None:
    every = [found for slug in RULES for found in _findings(slug)]
    assert [found for found in every if not SUBJECT.fullmatch(found.subject)] == []
    assert [found for found in every if not found.remedy and found.severity is not Severity.INFO] == []


def test_everything_that_is_said_of_either_module_is_short_and_made_of_sentences() -> None:
    said = [found for slug in RULES for report in (_raised(slug), _missed(slug)) for found in report.diagnostics]
    assert len(said) > len(RULES)
    assert [found for found in said if not found.message] == []
    texts = [text for found in said for text in (found.message, found.remedy) if text]
    for text in texts:
        assert text.isprintable()
        assert text.endswith(".")
        assert ".." not in text
        assert len(text) <= 500


def test_every_finding_is_of_a_rule_and_in_the_order_of_the_rules() -> None:
    order = list(RULES)
    for slug in RULES:
        for report in (_raised(slug), _missed(slug)):
            places = [order.index(found.slug) for found in report.diagnostics]
            assert places == sorted(places), slug


def test_what_is_found_while_the_bytes_are_read_is_found_alone() -> None:
    unread = [slug for slug, rule in RULES.items() if rule.check is None]
    assert len(unread) == 8
    assert {slug: [found.slug for found in _raised(slug).diagnostics] for slug in unread} == {
        slug: [slug] for slug in unread
    }
    assert {RULES[slug].severity for slug in unread} == {Severity.ERROR}


def test_an_error_and_only_an_error_keeps_a_module_from_running() -> None:
    runnable = {slug for slug in RULES if _raised(slug).runnable}
    assert runnable == {slug for slug, rule in RULES.items() if rule.severity is not Severity.ERROR}


def test_whatever_the_bytes_may_be_instead_is_a_rule_without_a_check() -> None:
    assert {row.slug for row in FORMATS} <= {slug for slug, rule in RULES.items() if rule.check is None}


def test_every_check_is_in_the_catalogue_once() -> None:
    checks = {f"{room.__name__}.{name}": getattr(room, name) for room in ROOMS for name in room.__all__}
    in_rules = [rule.check for rule in CATALOGUE if rule.check is not None]
    assert sorted(checks) == sorted(f"{check.__module__}.{check.__name__}" for check in in_rules)
    assert set(checks.values()) == set(in_rules)


ROOMS = (built, companion, imports, instantiation, interface)


def test_what_a_rule_finds_is_a_clause() -> None:
    clauses = [rule.finds for rule in CATALOGUE]
    assert [clause for clause in clauses if not clause or not clause.isprintable() or clause.endswith(".")] == []
    assert len(set(clauses)) == len(clauses)
