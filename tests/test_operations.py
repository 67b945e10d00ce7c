"""docs/operations.md says what the code does: its table of failures, and the numbers in it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import attrs
import pytest

from adapters.bounds import Bounds
from adapters.event_rate import BURST, RATE
from adapters.progress import Progress
from adapters.recovery import RULES, Budget, Since
from adapters.settings import AdapterSettings, Backoff
from adapters.speech import Speech
from adapters.watchdog import ROWS as STANDING
from compat import EventKind, Overflow, Pacing, Plugin, WebSocketConnector
from compat.cli import cli

TEXT = (Path(__file__).parents[1] / "docs" / "operations.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in TEXT.splitlines() if line.startswith("| ")]
BEGINNINGS = {
    Since.EVER: "always",
    Since.CONNECTED: "once the stream has had",
    Since.DELIVERED: "once the stream has del",
}


def test_the_table_of_failures_is_that_of_the_code() -> None:
    table = [row for row in ROWS if row[0] in {rule.failure for rule in RULES}]
    assert [row[0] for row in table] == [rule.failure for rule in RULES]
    for row, rule in zip(table, RULES, strict=True):
        assert row[1].startswith(BEGINNINGS[rule.since]), rule
        assert row[2] == ("patience" if rule.budget is Budget.PATIENCE else "attempts")


def test_the_table_of_what_stands_still_is_that_of_the_code() -> None:
    table = [row for row in ROWS if row[0] in {known.seen for known in STANDING}]
    assert [row[0] for row in table] == [known.seen for known in STANDING]
    for (_, told, ends), known in zip(table, STANDING, strict=True):
        names = [word for cell in (told, ends) for word in re.findall(r"`(\w+)`", cell)]
        assert names == [name for name in (known.told, known.ends) if name]
        assert re.findall(r"(\d+) (?:s|answers) \(`(\w+)`\)", f"{told} {ends}") == [
            (f"{getattr(Progress(), name):.0f}", name) for name in names
        ]


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (Backoff().attempts, r"Backoff\(attempts=(\d+)\)"),
        (Backoff().patience, r"Backoff\(patience=([\d_]+)\)"),
        (Backoff().healthy_after, r"Backoff\(healthy_after=(\d+)\)"),
        (Backoff().first, r"between 0 and ([\d.]+) s \S 2"),
        (Backoff().highest, r"2\S+, (\d+) s at most"),
        (Pacing().rate, r"Pacing\(rate=(\d+), burst"),
        (Pacing().burst, r"burst=(\d+)"),
        (Pacing().connections, r"burst=\d+, connections=([\d_]+)"),
        (AdapterSettings().guests, r"AdapterSettings\(guests=(\d+)\)"),
        (WebSocketConnector().open_timeout, r"open_timeout=(\d+)\)"),
        (WebSocketConnector().keepalive, r"keepalive=(\d+)\)"),
        (WebSocketConnector().max_message, r"longer than (\d+) bytes"),
        (Bounds().compile_timeout, r"Bounds\(compile_timeout=(\d+)\)"),
        (Bounds().message_timeout, r"hangs \((\d+) s for a message"),
        (Bounds().prepare_timeout, r"(\d+) s for a set-up"),
        (Bounds().rate_limits_timeout, r"(\d+) s at most for the first connection"),
        (Bounds().failures_in_a_row, r"after (\d+) failures in a row"),
        (Progress().returned_after, r"for (\d+) s \(`returned_after`\)"),
        (Progress().lost_after, r"or (\d+) s \(`lost_after`\)"),
        (Progress().start_timeout, r"for (\d+) s \(`start_timeout`\)"),
        (BURST, r"Of each kind of event a stream tells (\d+) at once"),
        (RATE, r"at once, and (\d+) a second in the long run"),
        (Speech().burst, r"more than ([\d,]+) lines at once"),
        (Speech().rate, r"lines at once, (\d+) a second"),
    ],
)
def test_the_numbers_are_those_of_the_code(value: float, where: str) -> None:
    found = re.findall(where, TEXT)
    assert found, where
    assert {float(number.replace("_", "").replace(",", "")) for number in found} == {float(value)}


def test_every_event_and_policy_is_explained() -> None:
    told = {kind.value for kind in EventKind} - {"state", "memory", "heartbeat"}
    assert {word for word in told if f"`{word}`" not in TEXT} == set()
    assert {policy.value for policy in Overflow if f"`{policy.value}`" not in TEXT} == set()


def test_every_name_of_a_setting_is_one() -> None:
    classes = {cls.__name__: cls for cls in (Backoff, Pacing, AdapterSettings, Speech, WebSocketConnector)}
    used = re.findall(rf"({'|'.join(classes)})\((\w+)=", TEXT)
    assert len(used) > 8
    for name, argument in used:
        assert argument in {field.name for field in attrs.fields(classes[name])}, (name, argument)


def test_an_idle_limit_is_set_where_that_is_said() -> None:
    (arguments,) = re.findall(r"`plugin\.stream\(key, (\w+)=60\)`", TEXT)
    assert arguments in inspect.signature(Plugin.stream).parameters
    (option,) = re.findall(r"`plugin-compat run (--[\w-]+) 60`", TEXT)
    assert option in {name for parameter in cli.commands["run"].params for name in parameter.opts}
