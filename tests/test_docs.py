"""The documents keep step with the code: the catalogue of findings, and every link from one document to another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from detectors.catalogue import CATALOGUE
from detectors.diagnostics import Rule
from detectors.foreign import FOREIGN_ABIS

ROOT = Path(__file__).parents[1]
DIAGNOSTICS = (ROOT / "docs" / "diagnostics.md").read_text(encoding="utf-8")
EXPLAINED = {
    part.partition("\n")[0]: part.partition("\n")[2].partition("\n## ")[0] for part in DIAGNOSTICS.split("\n### ")[1:]
}
DOCUMENTS = sorted(
    path for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")) if path.is_file()
)


def test_every_finding_is_explained_and_nothing_else_is() -> None:
    assert sorted(EXPLAINED) == sorted(rule.slug for rule in CATALOGUE)


@pytest.mark.parametrize("rule", CATALOGUE, ids=lambda rule: rule.slug)
def test_an_explanation_has_a_severity_a_cause_an_example_and_a_remedy(rule: Rule) -> None:
    text = EXPLAINED[rule.slug]
    severity, rest = re.match(r"\*\*(Error|Warning|Info)", text), text.partition("*Example:*")
    assert severity is not None
    assert severity[1].lower() == rule.severity.value
    cause, _, example_and_remedy = rest
    assert len(cause) > 20
    example, mark, remedy = example_and_remedy.partition("*Remedy:*")
    assert mark
    assert len(example.strip()) > 10
    assert len(remedy.strip()) > 8


def test_all_foreign_systems_are_named() -> None:
    text = " ".join(EXPLAINED["foreign-abi"].split())
    for abi in FOREIGN_ABIS:
        name = abi.name.partition(" (")[0].replace("pre-1.0 Extism", "Extism before 1.0")
        assert name in text


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        found = (document.parent / path).resolve() if path else document
        assert found.exists(), target
        if anchor and found.suffix == ".md":
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
            assert anchor in anchors
