from __future__ import annotations

import functools
import re

import pytest

from detectors.catalogue import CATALOGUE
from detectors.checks import build as built
from detectors.checks import imports, instantiation, interface
from detectors.diagnostics import Diagnostic, Rule, Severity
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


@pytest.mark.parametrize("slug", RULES)
def test_a_finding_names_its_subject_and_what_to_do_about_it(slug: str) -> None:
    (found,) = _findings(slug)
    assert SUBJECT.fullmatch(found.subject)
    assert found.remedy or found.severity is Severity.INFO


@pytest.mark.parametrize("slug", RULES)
def test_everything_that_is_said_of_either_module_is_short_and_made_of_sentences(slug: str) -> None:
    said = [*_raised(slug).diagnostics, *_missed(slug).diagnostics]
    assert said
    for found in said:
        for text in (found.message, found.remedy):
            assert text.isprintable()
            assert not text or text.endswith(".")
            assert ".." not in text
            assert len(text) <= 500
        assert found.message


@pytest.mark.parametrize("slug", RULES)
def test_every_finding_is_of_a_rule_and_in_the_order_of_the_rules(slug: str) -> None:
    order = list(RULES)
    for report in (_raised(slug), _missed(slug)):
        places = [order.index(found.slug) for found in report.diagnostics]
        assert places == sorted(places)


@pytest.mark.parametrize("slug", [slug for slug, rule in RULES.items() if rule.check is None])
def test_what_is_found_while_the_bytes_are_read_is_found_alone(slug: str) -> None:
    assert [found.slug for found in _raised(slug).diagnostics] == [slug]
    assert RULES[slug].severity is Severity.ERROR
    assert not _raised(slug).runnable


@pytest.mark.parametrize("slug", RULES)
def test_an_error_and_only_an_error_keeps_a_module_from_running(slug: str) -> None:
    is_error = RULES[slug].severity is Severity.ERROR
    assert _raised(slug).runnable is not is_error


def test_whatever_the_bytes_may_be_instead_is_a_rule_without_a_check() -> None:
    assert {row.slug for row in FORMATS} <= {slug for slug, rule in RULES.items() if rule.check is None}


def test_every_check_is_in_the_catalogue_once() -> None:
    checks = {f"{room.__name__}.{name}": getattr(room, name) for room in ROOMS for name in room.__all__}
    in_rules = [rule.check for rule in CATALOGUE if rule.check is not None]
    assert sorted(checks) == sorted(f"{check.__module__}.{check.__name__}" for check in in_rules)
    assert set(checks.values()) == set(in_rules)


ROOMS = (built, imports, instantiation, interface)


@pytest.mark.parametrize("rule", CATALOGUE, ids=lambda rule: rule.slug)
def test_what_a_rule_finds_is_a_clause(rule: Rule) -> None:
    assert rule.finds
    assert rule.finds.isprintable()
    assert not rule.finds.endswith(".")
