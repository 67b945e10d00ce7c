"""What a demo knows: candles in common, differences, gaps, and who is back."""

from __future__ import annotations

from adapters.contract import EventKind, StreamData, StreamEvent, StreamKey, StreamState
from compat.demo.show import Feed, Phase, Show, counted
from tests.support.shows import deliver, feed, gap, item_of, opened, recovered_show


def begun() -> Show:
    show = Show(wanted=3, encore=2, rate=5.0, market="BTC-USDT 1m")
    for name in ("legacy", "generic"):
        show.introduce(0.0, feed(name))
    return show


def texts(show: Show, who: str) -> list[str]:
    return [happening.text for happening in show.happenings if happening.who == who]


def test_a_candle_is_in_common_once_all_have_delivered_it() -> None:
    show = begun()
    deliver(show, "legacy", [0, 1, 2])
    assert show.common == []
    deliver(show, "generic", [1, 1, 3])
    assert show.common == [opened(1)]
    assert show.different == []


def test_a_difference_in_the_last_digit_is_one() -> None:
    show = begun()
    deliver(show, "legacy", [0, 1])
    item = item_of("generic", 1, 0)
    show.take(1.0, "generic", StreamData(item.key, 0, "ohlcv", item.data.replace(b"}", b"0000000001}"), 0), None)
    assert show.different == [opened(1)]


def test_what_is_no_candle_is_counted_and_told() -> None:
    show = begun()
    show.take(1.0, "legacy", StreamData(StreamKey("ohlcv", "legacy", "X"), 0, "ohlcv", b'{"open":"high"}', 0), None)
    assert show.feeds["legacy"].unreadable == 1
    assert texts(show, "legacy")[-1] == """item 0 is no candle: b'{"open":"high"}'"""


def test_a_gap_is_told_once_however_often_the_plugin_tries() -> None:
    show = begun()
    lost = StreamEvent(EventKind.STATE, 0, 1, "the connection was lost", StreamState.RECOVERING)
    anew = StreamEvent(EventKind.RECONNECT, 0, 1, "connecting anew")
    deliver(show, "legacy", [0])
    for event in (lost, anew, gap(1), anew, gap(1)):
        show.hear(1.0, "legacy", event)
    assert show.feeds["legacy"].gaps == [1]
    assert texts(show, "legacy")[-2:] == [
        "recovering: the connection was lost",
        "gap before item 1: items may be missing: the connection was interrupted",
    ]


def test_gaps_that_were_told_together_are_one_line_and_stand_at_each_place() -> None:
    show = begun()
    show.hear(1.0, "legacy", gap(2))
    show.hear(1.0, "legacy", StreamEvent(EventKind.GAP, 0, 1, "missing (and 3 more like it)", count=4, until=3))
    assert show.feeds["legacy"].gaps == [2, 1, 3]
    assert texts(show, "legacy")[-1] == "gap before items 1 to 3: missing (and 3 more like it)"


def test_what_else_a_stream_tells_is_part_of_the_story() -> None:
    show = begun()
    show.hear(1.0, "generic", StreamEvent(EventKind.PLUGIN_ERROR, 0, 0, "it stumbled"))
    assert texts(show, "generic")[-1] == "plugin-error: it stumbled"


def test_a_plugin_is_back_with_the_first_candle_after_its_gap() -> None:
    show = begun()
    for name in show.feeds:
        deliver(show, name, [0, 1])
    show.interrupt(2.0, "drops both connections")
    phases = [show.phase]
    show.hear(2.1, "generic", gap(3))
    deliver(show, "generic", [2], at=2.2)  # it was under way when the connection broke
    assert show.feeds["generic"].back is None
    deliver(show, "generic", [5], at=3.0)
    assert texts(show, "generic")[-2] == "back after 1.0 s; 2 candles missing"
    back = [show.all_back]
    show.hear(2.1, "legacy", gap(2))
    deliver(show, "legacy", [4, 5], at=3.5)
    assert [*back, show.all_back] == [False, True]
    assert [*phases, show.phase] == [Phase.INTERRUPTED, Phase.RECOVERED]
    assert show.common_since == 1


def test_candles_since_the_recovery_are_counted_apart() -> None:
    show = recovered_show()
    assert len(show.common) == 7
    assert show.common_since == 2


def test_latency_is_the_median_of_what_was_measured() -> None:
    quiet = Feed("legacy", "", "")
    assert (quiet.latency, quiet.summary) == (None, "0 candles")
    show = begun()
    for n, latency in enumerate((0.001, None, 0.002, 0.009)):
        show.take(1.0, "legacy", item_of("legacy", n, n), latency)
    assert show.feeds["legacy"].latency == 0.002
    summary = show.feeds["legacy"].summary
    assert summary == "4 candles, from socket to consumer in 2.0 ms (median), 9.0 ms (worst)"


def test_things_are_counted_in_words_that_fit() -> None:
    assert [counted(n, "gap") for n in (0, 1, 2)] == ["0 gaps", "1 gap", "2 gaps"]
