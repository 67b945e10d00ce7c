"""What the journal keeps, and at what price."""

from __future__ import annotations

import sys
import time

from compat.demo.journal import ConnectionRecord, Journal, SentKlines

BTC, ETH = ("BTC-USDT", "1m"), ("ETH-USDT", "5m")


def test_sent_candles_are_kept_in_order() -> None:
    sent = SentKlines((BTC, ETH))
    for pair, n in [(BTC, 0), (ETH, 7), (BTC, 1), (ETH, 8), (BTC, 0)]:
        sent.add(pair, n)
    assert list(sent) == [(*BTC, 0), (*ETH, 7), (*BTC, 1), (*ETH, 8), (*BTC, 0)]
    assert len(sent) == 5
    assert sent.numbers(*BTC) == [0, 1, 0]
    assert sent.counts() == {BTC: 3, ETH: 2}


def test_markets_without_candles_are_not_counted() -> None:
    sent = SentKlines((BTC, ETH))
    assert sent.numbers(*BTC) == []
    assert sent.counts() == {}


def test_half_a_million_candles_take_a_few_megabytes() -> None:
    sent = SentKlines((BTC, ETH))
    for n in range(500_000):
        sent.add(BTC, n)
    assert sum(map(sys.getsizeof, (sent._markets, sent._numbers, sent._times))) < 8_000_000


def test_it_is_known_when_a_candle_was_sent_last() -> None:
    sent = SentKlines((BTC, ETH))
    began = time.monotonic()
    for pair, n in [(BTC, 0), (ETH, 1), (BTC, 1), (BTC, 0)]:
        sent.add(pair, n)
    first, again = sent.sent_at(*BTC, 1), sent.sent_at(*BTC, 0)
    assert first is not None
    assert again is not None
    assert began <= first <= again <= time.monotonic()
    assert sent.sent_at(*BTC, 2) is None
    assert sent.sent_at(*ETH, 0) is None


def test_the_journal_adds_up_its_connections() -> None:
    journal = Journal()
    for number in range(2):
        record = ConnectionRecord(id=number, headers=(), opened=0.0, klines=SentKlines((BTC,)))
        record.klines.add(BTC, 1)
        journal.connections.append(record)
    assert journal.klines == 2
