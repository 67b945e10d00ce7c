"""The table of the benchmarks: how rounds become rows, what counts as reached, and how it is written."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import attrs
import pytest

from benchmarks.__main__ import chosen
from benchmarks.cases import Case, CaseError, Outcome
from benchmarks.picture import picture, words
from benchmarks.rows import GROUPS, ROWS, Group, Row
from benchmarks.running import Measured, Result, measure, quickened, read
from benchmarks.table import as_json, as_markdown, as_text, side_tables, write_between
from benchmarks.where import PARTS

PAIR = Group({"mine": Case("product", count=100), "theirs": Case("bare", count=100)}, rounds=3)
ROW = Row(
    "pair",
    "mine against theirs",
    "0.5",
    "≥ 1.2",
    lambda round_: round_["mine"]["rate"] / round_["theirs"]["rate"],
    lambda value: value >= 1.2,
    cpu=lambda round_: round_["theirs"]["cpu"] / round_["mine"]["cpu"],
)


def rates(*mine: float) -> Result:
    """Rounds with these rates against one of 10."""
    return Result([{"mine": {"rate": rate, "cpu": 1}, "theirs": {"rate": 10, "cpu": 2}} for rate in mine], {}, 0.01)


def test_cases_take_turns_round_after_round() -> None:
    ran = []

    def run(case: Case) -> Outcome:
        ran.append(case.what)
        return Outcome({"rate": float(len(ran)), "cpu": 1.0})

    result = measure(PAIR, go_host=None, run=run)
    assert ran == ["product", "bare"] * 3
    assert [round_["mine"]["rate"] for round_ in result.rounds] == [1, 3, 5]
    assert result.values()["theirs"]["rate"] == 4


def test_a_row_is_the_median_of_its_rounds_with_their_spread() -> None:
    measured = read(ROW, rates(11, 30, 13))
    assert (measured.value, measured.spread, measured.cpu) == (1.3, (1.1, 3.0), 2)
    assert measured.reached is True
    assert read(ROW, rates(11, 30, 11)).reached is False
    assert read(attrs.evolve(ROW, wanted=""), rates(1)).reached is None


def test_nothing_is_reached_where_messages_are_missing() -> None:
    measured = read(ROW, attrs.evolve(rates(30), problems={"mine": "3 messages are missing"}))
    assert measured.reached is False
    assert measured.problem == "mine: 3 messages are missing"
    others = attrs.evolve(ROW, uses=("theirs",))
    assert read(others, attrs.evolve(rates(30), problems={"mine": "3 messages are missing"})).reached is True


def test_a_case_that_fails_leaves_its_row_without_a_value() -> None:
    def run(case: Case) -> Outcome:
        if case.what == "product":
            raise CaseError("it did not end within 120 s")
        return Outcome({"rate": 1.0, "cpu": 1.0})

    measured = read(ROW, measure(PAIR, go_host=None, run=run))
    assert (measured.value, measured.reached) == (None, False)
    assert measured.problem == "mine: it did not end within 120 s"


def test_without_a_go_host_its_rows_are_not_measured() -> None:
    with_go = attrs.evolve(PAIR, cases={**PAIR.cases, "theirs": Case("go")})
    measured = read(ROW, measure(with_go, go_host=None, run=lambda _: Outcome({"rate": 1.0, "cpu": 1.0})))
    assert (measured.value, measured.problem) == (None, "not measured: theirs")
    hosts = set()

    def run(case: Case) -> Outcome:
        hosts.add(case.go_host)
        return Outcome({})

    measure(with_go, go_host="/there", run=run)
    assert hosts == {"/there"}


def test_a_machine_that_is_at_times_slower_is_told() -> None:
    assert not attrs.evolve(rates(1), noise=0.1).noisy
    measured = read(ROW, attrs.evolve(rates(13), noise=0.3))
    assert "~ 1.30 x" in as_text([measured], [], [])


def test_every_row_can_be_read_and_every_group_is() -> None:
    assert {row.group for row in ROWS} | {"lock"} == set(GROUPS)
    for row in ROWS:
        assert set(row.uses) <= set(GROUPS[row.group].cases), row.measure
        empty = Result([{case: {} for case in GROUPS[row.group].cases}], {}, 0)
        assert read(row, empty).problem.startswith("not measured: ") or row.value(empty.rounds[0]) == 0


def test_a_quick_run_has_fewer_rounds_of_fewer_messages_and_names_its_rows() -> None:
    for group in map(quickened, GROUPS.values()):
        assert group.rounds <= 2
        assert all(case.count >= 1 for case in group.cases.values())
    assert set(chosen(quick=True, pattern="")) < set(chosen(quick=False, pattern="")) == set(GROUPS)
    assert chosen(quick=False, pattern="memory of 500") == ("many-legacy",)


def test_the_table_is_written_as_text_markdown_and_json(tmp_path: Path) -> None:
    result = attrs.evolve(rates(13), problems={"theirs": "x"})
    rows = [read(ROW, rates(11, 13, 30)), Measured(ROW, None, problem="not measured: theirs")]
    side = side_tables({"lock": Result([{"generic": {"threads": 5, "voluntary": 0.123456}}], {}, 0)})
    text = as_text(rows, side, ["a note"])
    assert "1.30 x" in text
    assert "1.10 to 3.00" in text
    assert "NO (not measured: theirs)" in text
    markdown = as_markdown(rows, side, ["a note"])
    assert "| mine against theirs | 0.5 | 1.30 x | 1.10 to 3.00 | 2.00 x | ≥ 1.2 | yes |" in markdown
    assert "| lock: generic | 5 | 0.123 | - | - |" in markdown
    document = json.loads(as_json(rows, {"pair": result}, ["a note"]))
    assert document["rows"][0]["reached"] is True
    assert document["rows"][1]["value"] is None
    assert document["groups"]["pair"]["rounds"][0]["mine"]["rate"] == 13
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- table -->\nold\n<!-- end of table -->\nafter\n")
    write_between(page, "table", "new")
    assert page.read_text() == "before\n<!-- table -->\nnew\n<!-- end of table -->\nafter\n"
    with pytest.raises(ValueError, match="no place for profile"):
        write_between(page, "profile", "new")


def test_the_picture_has_a_bar_for_every_part_of_each_kind() -> None:
    profiles = {kind: {**dict.fromkeys(PARTS, 10.0), "bare": 50.0} for kind in ("generic", "legacy")}
    drawn = ET.fromstring(picture(profiles))
    titles = [title.text for title in drawn.iter("{http://www.w3.org/2000/svg}title")]
    assert titles.count("the consumer: 10.0 µs") == 2
    assert titles.count("bare loop: 50.0 µs") == 2
    assert len(words(profiles).splitlines()) == len(PARTS) + 3
