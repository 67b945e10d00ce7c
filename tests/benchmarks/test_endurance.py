"""The endurance at full speed finds nothing wrong, and would."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks import endurance

if TYPE_CHECKING:
    import pytest


async def test_every_loss_is_told_at_its_place(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(endurance, "LONGEST_CONNECTION", 300)
    assert await endurance.main(600, 1) == 0
    told = capsys.readouterr().out
    assert "passed     every loss was told at its place" in told
    assert " 0 missing" not in told


async def test_what_is_missing_and_not_told_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    say = endurance.Dropping.say

    def swallow(exchange: endurance.Dropping, count: int) -> list[str | bytes]:
        messages = say(exchange, count)
        return messages if exchange._said < 100 else [*messages[:-1], *say(exchange, 2)[1:]]

    monkeypatch.setattr(endurance.Dropping, "say", swallow)
    [problem, *_] = await endurance.endure("legacy", "in batches", 500, 1)
    assert "missing before item" in problem
