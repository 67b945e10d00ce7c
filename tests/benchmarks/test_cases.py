"""Every case of the benchmarks with very few messages: what it measures is there, and every message came. No times."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import attrs
import pytest

from benchmarks.case import CASES
from benchmarks.cases import Case, CaseError, run_apart
from benchmarks.go_host import build_go_host
from benchmarks.payloads import number_and_time, problems_of
from benchmarks.rows import GROUPS
from benchmarks.where import PARTS
from compat.demo.market import GENESIS

STREAMED = {"rate", "cpu", "core", "voluntary", "involuntary", "wakeups", "threads", "flat"}
LATE = {"p50", "p99"}
TINY: dict[str, tuple[Case, set[str]]] = {
    "product, generic": (Case("product", count=20), STREAMED),
    "product, legacy, counted": (Case("product", "legacy", count=20, counted=True), STREAMED),
    "product, two in Rust, one by one": (Case("product", "rust", streams=2, count=20, by="items"), STREAMED),
    "bare, generic": (Case("bare", count=20), STREAMED),
    "bare, legacy": (Case("bare", "legacy", count=20), STREAMED),
    "bare, one at a time": (Case("bare", count=5, rate=1_000), STREAMED | LATE),
    "plain SDK, generic": (Case("plain-sdk", count=20), STREAMED),
    "plain SDK, legacy": (Case("plain-sdk", "legacy", count=20), STREAMED),
    "sockets at full speed": (Case("sockets", count=20), STREAMED | LATE),
    "sockets at a rate": (Case("sockets", "legacy", streams=3, count=20, rate=100, counted=True), STREAMED | LATE),
    "a slow consumer": (Case("sockets", "legacy", streams=3, count=20, rate=100, trouble="slow"), STREAMED | LATE),
    "a flood": (Case("sockets", "legacy", streams=3, count=20, rate=100, trouble="flood"), STREAMED | LATE),
    "plain consumer": (Case("plain-consumer", streams=3, count=20, rate=100), STREAMED | LATE),
    "opening": (Case("opening"), {"cold", "warm"}),
    "bare opening": (Case("bare-opening"), {"cold", "warm"}),
    "memory": (Case("guest-memory", streams=2, count=20), {"each", "resident", "open"}),
    "bare memory": (Case("bare-memory", streams=2, count=20), {"each", "resident"}),
    "many": (Case("many", "legacy", streams=5, count=2), {"each", "resident", "open", "block"}),
    "starting": (Case("starting", count=1), {"pass", "import", "version"}),
    "inspecting": (Case("inspecting", count=1), {"validate", "inspect"}),
    "where, generic": (Case("where", count=200), {*PARTS, "bare"}),
    "where, legacy": (Case("where", "legacy", count=200), {*PARTS, "bare"}),
}


@pytest.mark.ours
@pytest.mark.parametrize(("case", "measured"), TINY.values(), ids=TINY)
def test_a_case_measures_what_it_says_and_misses_no_message(case: Case, measured: set[str]) -> None:
    outcome = run_apart(case)
    assert outcome.problems == []
    assert {name for name in outcome.values if " loads " not in name} == measured
    assert all(value >= 0 for name, value in outcome.values.items() if name != "each")


@pytest.mark.nightly
@pytest.mark.parametrize("reclaiming", [False, True], ids=["plain", "reclaiming"])
@pytest.mark.parametrize("plugin", ["generic", "legacy"])
def test_a_plugin_runs_in_the_go_host(plugin: str, reclaiming: bool, tmp_path: Path) -> None:
    try:
        go_host = build_go_host(tmp_path)
    except CaseError as error:
        pytest.skip(str(error))
    outcome = run_apart(Case("go", plugin, count=20, reclaiming=reclaiming, go_host=str(go_host)))
    assert outcome.problems == []
    assert set(outcome.values) == {"rate", "cpu", "sent", "delivered"}


def test_every_case_of_the_table_is_tried_above() -> None:
    tried = {case.what for case, _ in TINY.values()} | {"go"}
    assert {case.what for group in GROUPS.values() for case in group.cases.values()} <= tried
    assert set(CASES) == tried


def test_a_case_that_fails_says_why() -> None:
    with pytest.raises(CaseError, match="nonsense"):
        run_apart(Case("nonsense"))


def test_a_case_has_an_end() -> None:
    with pytest.raises(CaseError, match="did not end within 0 s"):
        run_apart(attrs.evolve(TINY["a slow consumer"][0], limit=0.01))


@pytest.mark.parametrize(
    ("numbers", "problems"),
    [
        ([0, 1, 2, 3], []),
        ([0, 1, 3], ["1 of 4 messages are missing, the first is 2"]),
        ([0, 2, 1, 3], ["1 messages came twice or out of order"]),
        ([0, 1, 1, 3], ["1 of 4 messages are missing, the first is 2", "1 messages came twice or out of order"]),
        ([0, 1, 2, 3, 4], ["1 messages more came than were sent"]),
    ],
)
def test_whatever_did_not_come_once_and_in_order_is_told(numbers: list[int], problems: list[str]) -> None:
    assert problems_of(numbers, 4) == problems


@pytest.mark.parametrize(
    "payload",
    [
        f'{{"timestamp": {GENESIS + 120}, "volume": 1234567890123456789}}',
        '{"timestamp": "TIME", "volume": "1234567890123456789"}',
        f'{{"openTime": {GENESIS + 120}, "volume": "1234567890123456789"}}',
        f'{{"event": "kline", "t": {GENESIS + 120}, "v": "1234567890123456789"}}',
    ],
    ids=["callback", "generic", "Rust", "the exchange"],
)
def test_number_and_time_are_read_from_every_form_of_candle(payload: str) -> None:
    moment = dt.datetime.fromtimestamp(GENESIS + 120, dt.UTC).isoformat().replace("+00:00", "Z")
    assert number_and_time(payload.replace("TIME", moment).encode()) == (2, 1234567890123456789)
