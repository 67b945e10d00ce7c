"""The documents keep step with the code: the catalogue of findings, and every link from one document to another."""

from __future__ import annotations

import re
from pathlib import Path

from detectors.catalogue import CATALOGUE
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


# "Error for one thing, warning for another" is a cause too. An example may be code, of at least ten letters.
EXPLANATION = re.compile(
    r"\*\*(?P<severity>Error|Warning|Info)(?:\.\*\*|\*\*) (?P<cause>\S+\s\S.*?\.)\n"
    r"\*Example:\* (?P<example>\S.{10,}?\.)\n"
    r"\*Remedy:\* (?P<remedy>\S+\s\S.*?\.)\n*",
    re.DOTALL,
)
MARKS = ("*Example:*", "*Remedy:*")


def test_an_explanation_has_a_severity_a_cause_an_example_and_a_remedy_and_nothing_else() -> None:
    read = {slug: EXPLANATION.fullmatch(text) for slug, text in EXPLAINED.items()}
    explained = {slug: found.groupdict() for slug, found in read.items() if found is not None}
    assert sorted(read.keys() - explained.keys()) == []
    assert [slug for slug, text in EXPLAINED.items() if [text.count(mark) for mark in MARKS] != [1, 1]] == []
    told = {slug: parts["severity"].lower() for slug, parts in explained.items()}
    assert told == {rule.slug: rule.severity.value for rule in CATALOGUE}
    for part in ("cause", "example"):
        texts = [parts[part] for parts in explained.values()]
        assert [text for text in texts if texts.count(text) > 1] == []


def test_all_foreign_systems_are_named() -> None:
    text = " ".join(EXPLAINED["foreign-abi"].split())
    names = [abi.name.partition(" (")[0] for abi in FOREIGN_ABIS]
    assert [name for name in names if name not in text] == []


def anchors(document: Path) -> set[str]:
    """What a link to a heading of the document is called, as GitHub makes it from the heading."""
    headings = re.findall(r"^#+ (.*)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    found = (document.parent / path).resolve() if path else document
    return found.exists() and (not anchor or found.suffix != ".md" or anchor in anchors(found))


def test_links_between_documents_lead_somewhere() -> None:
    links = [
        (document, target)
        for document in DOCUMENTS
        for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8"))
        if not re.match(r"[a-z]+:", target)
    ]
    assert len(links) > len(DOCUMENTS)  # they are found at all
    broken = [
        f"{document.relative_to(ROOT)}: {target}" for document, target in links if not leads_somewhere(document, target)
    ]
    assert broken == []


def test_a_link_that_leads_nowhere_is_found() -> None:
    readme = ROOT / "README.md"
    assert leads_somewhere(readme, "docs/diagnostics.md#not-wasm")
    assert not leads_somewhere(readme, "docs/diagnostics.md#not-there")
    assert not leads_somewhere(readme, "docs/not-there.md")
    assert not leads_somewhere(readme, "#not-there")
