"""The demo's plot with the real exchange and both plugins, and verdicts that go against it."""

from __future__ import annotations

import gc
import logging
import re
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from adapters.contract import Candle
from compat import StreamData, StreamRejectedError, StreamState
from compat.demo.exchange import Exchange
from compat.demo.plot import Pace, perform
from compat.demo.show import Phase, Show
from tests.support.waiting import HANG

QUICK = Pace(rate=50.0, outage=0.2, patience=HANG, farewell=HANG)
SILENT = logging.getLogger("tests.silent")
SILENT.propagate = False
SILENT.addHandler(logging.NullHandler())

pytestmark = pytest.mark.usefixtures("nothing_left")
read = StreamData.candle


class Onlooker:
    """Notes what it could see."""

    def __init__(self) -> None:
        self.phases: list[Phase] = []
        self.states: dict[str, list[StreamState]] = {"legacy": [], "generic": []}

    def show(self, show: Show) -> None:
        if show.phase not in self.phases:
            self.phases.append(show.phase)
        for name, feed in show.feeds.items():
            self.states[name].append(feed.state)


async def run(candles: int = 3, view: Onlooker | None = None, **pace: Any) -> Show:
    return await perform(candles, 7, attrs.evolve(QUICK, **pace), view or Onlooker(), logger=SILENT)


async def given_up_after(has_come_so_far: Callable[[Show], object], candles: int) -> Show:
    """A show that can never be over is given up; on a slow machine it needs more time to come so far at all."""
    for patience in (0.3 * 2**turn for turn in range(9)):
        show = await run(candles, patience=patience)
        told = [happening.text for happening in show.happenings if happening.who == "demo"][-1]
        match = re.match(r"given up after ([\d.]+) s, while ", told)
        assert match is not None
        assert float(match[1]) >= round(patience + QUICK.outage, 1)
        if has_come_so_far(show):
            return show
    pytest.fail("it never came so far")


def failed(show: Show) -> list[str]:
    return [check.text for check in show.checks if not check.passed]


async def test_both_plugins_deliver_the_same_are_interrupted_and_come_back() -> None:
    view = Onlooker()
    show = await run(10, view)
    assert failed(show) == []
    assert show.passed
    assert len(show.common) >= 20
    # It looks every now and then, and may miss any but the first and the last.
    assert view.phases == [phase for phase in Phase if phase in view.phases]
    assert (view.phases[0], view.phases[-1]) == (Phase.STARTING, Phase.OVER)
    for name, feed in show.feeds.items():
        assert view.states[name][-1] is StreamState.STOPPED
        assert len(feed.gaps) == 1
        assert feed.rate > 0
        for arrival in feed.arrivals:
            assert arrival.latency is not None
            assert 0 < arrival.latency < arrival.at  # the exchange sent it, after the show had begun
        texts = [happening.text for happening in show.happenings if happening.who == name and not happening.routine]
        assert [text.split()[0] for text in texts] == ["recovering:", "gap", "back"]
    told = [happening.text for happening in show.happenings if happening.who == "exchange"]
    assert told[1:] == ["drops both connections, and turns callers away for 0.2 s", "lets callers in again"]


async def test_a_difference_in_one_price_is_found_and_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, set[int]] = {"legacy": set(), "generic": set()}
    changed: dict[str, int] = {}

    def read_with_a_difference(item: StreamData) -> Candle | None:
        candle = read(item)
        if candle is None:
            return None
        source, other = item.key.source, "legacy" if item.key.source == "generic" else "generic"
        seen[source].add(candle.opened)
        if not changed and candle.opened in seen[other]:  # it must be one that both deliver
            changed[source] = candle.opened
        if changed.get(source) != candle.opened:
            return candle
        return attrs.evolve(candle, close=candle.close.next_plus())

    monkeypatch.setattr(StreamData, "candle", read_with_a_difference)
    show = await run()
    same, true, *others = show.checks
    assert not same.passed
    assert same.text.endswith(" wanted, 1 of them different")
    assert [detail.split(":")[0] for detail in same.details] == ["legacy", "generic"]
    assert not true.passed
    assert [detail.split(":")[0] for detail in true.details] == [*changed, "exchange"]
    assert all(check.passed for check in others)


async def test_candles_that_only_one_plugin_delivers_are_not_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    def read_another_time(item: StreamData) -> Candle | None:
        candle = read(item)
        if candle is None or item.key.source == "legacy":
            return candle
        return attrs.evolve(candle, opened=candle.opened + 1)

    monkeypatch.setattr(StreamData, "candle", read_another_time)
    show = await given_up_after(lambda show: all(feed.arrivals for feed in show.feeds.values()), candles=1)
    assert show.checks[0].text.startswith("0 candles from both plugins of 11 wanted, 0 of them different")
    assert [check.passed for check in show.checks] == [False, False, False, False, False, True]


async def test_an_exchange_that_stays_down_is_given_up_with_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    reject = Exchange.reject
    monkeypatch.setattr(Exchange, "reject", lambda self, count: reject(self, count or 10_000))
    show = await given_up_after(
        lambda show: any("lets callers in again" in happening.text for happening in show.happenings), candles=3
    )
    assert "back by themselves: legacy is not, generic is not" in failed(show)
    assert len(failed(show)) == 2


async def test_a_failure_is_raised_even_if_both_plugins_fail_and_nothing_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def read_with_a_failure(item: StreamData) -> Candle | None:
        raise StreamRejectedError(item.key.source, str(item.key), "no more")

    monkeypatch.setattr(StreamData, "candle", read_with_a_failure)
    with pytest.raises(StreamRejectedError, match="no more"):
        await run()
    gc.collect()  # a task whose exception nobody has looked at complains when it is collected
    assert not [record for record in caplog.records if record.name == "asyncio"]


async def test_a_view_that_fails_ends_the_show() -> None:
    class Blind(Onlooker):
        def show(self, show: Show) -> None:
            if show.common:
                raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        await run(view=Blind())


async def test_for_many_candles_the_exchange_sends_faster() -> None:
    show = await run(40, longest=0.25)
    assert show.rate == 160 > QUICK.rate
    assert failed(show) == []
