"""``plugin-compat run`` with real plugins against a real exchange: what it prints, and what it tells meanwhile."""

from __future__ import annotations

import asyncio
import json
import math
import re
import signal
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from compat import StreamData, StreamKey
from compat.cli.run import _ndjson, _text
from compat.demo.exchange import Exchange
from tests.support.plugins import PluginFixture, candle_key
from tests.support.processes import end_of
from tests.support.rogue.certificates import Authority, serving
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Start
from tests.support.plugins import BOTH_KINDS, LEGACY
from tests.support.runs import KEY, events, redirected, run, told


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of ndjson: exactly these fields."""

    key: str
    timestamp: int
    dataType: str  # noqa: N815 - the field's name on the wire
    sequence: int
    data: msgspec.Raw

    def item(self) -> StreamData:
        return StreamData(StreamKey.parse(self.key), self.timestamp, self.dataType, bytes(self.data), self.sequence)


@BOTH_KINDS
async def test_ndjson_is_one_exact_json_object_a_line(command: Command, fixture: PluginFixture) -> None:
    async with Exchange(seed=4, mode="replay", rate=math.inf, limit=7) as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", "--count", 7, "--format", "ndjson")
    assert outcome.code == 0
    assert [event.state or event.event for event in events(outcome.err)] == ["starting", "streaming", "stopped", "end"]
    assert outcome.out.endswith(b"\n")
    lines = outcome.out.splitlines()
    assert [list(json.loads(line)) for line in lines] == [["key", "timestamp", "dataType", "sequence", "data"]] * 7
    items = [msgspec.json.decode(line, type=Line).item() for line in lines]
    assert [candle_of(item) for item in items] == candles(exchange, range(7))
    assert [item.sequence for item in items] == list(range(7))
    assert {(str(item.key), item.data_type) for item in items} == {(KEY, "ohlcv")}
    assert [item.timestamp for item in items] == sorted(item.timestamp for item in items)


@pytest.mark.parametrize("count", [1, 3])
async def test_json_is_one_document(command: Command, count: int) -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=3) as exchange:
        outcome = await run(command, exchange, LEGACY, "--allow-private", "--count", count, "--format", "json")
    assert (outcome.code, told(outcome.err)) == (0, ["1 item, 0 gaps" if count == 1 else "3 items, 0 gaps"])
    document = json.loads(outcome.out)
    assert (document["schemaVersion"], len(document["items"])) == (1, count)
    assert [list(item) for item in document["items"]] == [["key", "timestamp", "dataType", "sequence", "data"]] * count


async def test_json_is_whole_even_if_the_run_fails_or_is_interrupted(command: Command, start: Start) -> None:
    async with Exchange(rate=100) as exchange:
        outcome = await run(command, exchange, LEGACY, "--format", "json")
        assert (outcome.code, json.loads(outcome.out)) == (1, {"schemaVersion": 1, "items": []})
        process = await start("run", LEGACY.path, KEY, *redirected(exchange), "--allow-private", "--format", "json")
        await until(lambda: exchange.journal.klines > 3, "candles are sent")
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert end.code == 130
    assert "items" in json.loads(end.out)


async def test_tls_by_files_reaches_an_exchange_that_asks_for_a_certificate(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority()
    own = authority.identity("client.example")
    ca, certificate, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    ca.write_bytes(authority.certificate)
    certificate.write_bytes(own.certificate)
    key.write_bytes(own.encrypted("correct-horse"))
    monkeypatch.setenv("KEY_PASSWORD", "correct-horse")
    files = ("--ca-file", ca, "--client-cert", certificate, "--client-key", key)
    context = authority.trusting(serving(authority.identity(), tmp_path))
    async with Exchange(mode="replay", limit=1, ssl=context) as exchange:
        options = ("--allow-private", "--count", 1, *files, "--client-key-password-env", "KEY_PASSWORD")
        outcome = await run(command, exchange, LEGACY, *options)
        assert (outcome.code, told(outcome.err)) == (0, ["1 item, 0 gaps"])
        outcome = await run(command, exchange, LEGACY, *options[:3], *files[:2])
        assert outcome.code == 1
        assert "could not connect" in outcome.err


def test_a_tls_file_that_is_at_fault_is_told_under_its_option(command: Command, tmp_path: Path) -> None:
    own = Authority().identity("client.example")
    certificate, nothing = tmp_path / "c.pem", tmp_path / "nothing.pem"
    certificate.write_bytes(own.certificate)
    nothing.write_bytes(b"")
    options = ("run", LEGACY.path, KEY, "--client-cert", certificate)
    outcome = command(*options)
    assert (outcome.code, outcome.err.splitlines()) == (
        2,
        [
            f"error: Invalid value for '--client-cert': '{certificate}' holds no key.",
            "  Give it by --client-key, or Tls(key=...)",
        ],
    )
    for option in ("--ca-file", "--client-cert", "--client-key"):
        outcome = command(*options, option, nothing)
        assert outcome.code == 2
        assert outcome.err.startswith(f"error: Invalid value for '{option}': the file of the ")
        assert f"'{nothing}', holds no " in outcome.err
    outcome = command(*options[:3], "--client-key", certificate)
    assert outcome.err.startswith("error: Invalid value for '--client-key': there is a key and no certificate.")


def test_tls_files_that_cannot_be_used_are_told_as_wrong_usage(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Authority().identity("client.example")
    both = tmp_path / "both.pem"
    both.write_bytes(own.certificate + own.encrypted("horse"))
    monkeypatch.setenv("KEY_PASSWORD", "s3cret")
    options = ("run", LEGACY.path, KEY, "--client-cert", both, "--client-key-password-env")
    outcome = command(*options, "KEY_PASSWORD")
    assert (outcome.code, outcome.err.splitlines()) == (
        2,
        [
            f"error: Invalid value for '--client-key-password-env': the password does not open the key in '{both}'.",
            "  Check the password, and whether it is that of this file",
        ],
    )
    outcome = command(*options, "s3cret")
    assert outcome.code == 2
    assert "the environment has no such variable" in outcome.err
    assert "s3cret" not in outcome.err


async def test_a_configuration_file_is_read_and_single_values_go_before_it(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "simex.toml"
    path.write_text('api_key = { env = "SIMEX_KEY" }\npassphrase = "staple"\n')
    monkeypatch.setenv("SIMEX_KEY", "correct-horse")
    options = ("--allow-private", "--count", 1, "--config-file", path)
    for extra, sent in (((), "correct-horse"), (("--config", "api_key=battery"), "battery")):
        async with Exchange(mode="replay", limit=1) as exchange:
            outcome = await run(command, exchange, LEGACY, *options, *extra)
        assert outcome.code == 0
        assert dict(exchange.journal.connections[0].headers)["X-Api-Key"] == sent
        assert not any(word in outcome.out.decode() + outcome.err for word in ("horse", "battery", "staple"))


def test_a_configuration_file_that_refers_to_nothing_is_told(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "simex.toml"
    path.write_text('api_key = { env = "SIMEX_KEY_THAT_IS_NOT_SET" }')
    outcome = command("run", LEGACY.path, KEY, "--config-file", path)
    assert (outcome.code, outcome.out) == (2, b"")
    what, remedy = outcome.err.splitlines()
    assert what == (
        f"error: Invalid value for '--config-file': '{path}': api_key comes from the environment variable "
        "SIMEX_KEY_THAT_IS_NOT_SET, which is not set."
    )
    assert remedy == "  Set SIMEX_KEY_THAT_IS_NOT_SET"


def test_a_kind_that_the_plugin_is_not_is_told_with_those_that_it_is(command: Command) -> None:
    outcome = command("run", LEGACY.path, KEY, "--kind", "generic")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.splitlines() == [
        "error: plugin 'legacy' cannot run as generic: it offers legacy",
        "  Choose one of legacy",
    ]


def test_a_rewrite_that_fits_nothing_is_told(command: Command) -> None:
    outcome = command("run", LEGACY.path, KEY, "--rewrite", "wss://stream.semix.example=ws://127.0.0.1:1")
    assert outcome.code == 1
    what, remedy = outcome.err.splitlines()
    assert "1m: could not connect to wss://stream.simex.example/ws: stream.simex.example cannot be resolved" in what
    assert remedy.startswith("  No rewrite fits this address; there is one for wss://stream.semix.example. Check the")


SEVERAL_LINES = (b'{\n  "close": 1.50,\r\n  "note": "a\\nb"\n}', b"[1,\r2.50]", b'{"note":\n"\\ud83d"}')
ONE_LINE = (b'{"close": 1.50,"note": "a\\nb"}', b'"text"', b"1e400", b"null")


@pytest.mark.parametrize("data", [*SEVERAL_LINES, *ONE_LINE])
def test_a_payload_that_a_plugin_wrote_over_several_lines_is_still_one_line(data: bytes) -> None:
    item = StreamData(candle_key(), 1_700_000_000_000_000_001, "ohlcv", data, 3)
    line = _ndjson(item)
    assert (line.count(b"\n"), line[-1:], line.count(b"\r")) == (1, b"\n", 0)
    text = _text(item)
    assert (text.count(b"\n"), text[-1:], text.count(b"\r")) == (1, b"\n", 0)
    if data in ONE_LINE:
        assert line.endswith(data + b"}\n")
        assert text.endswith(data + b"\n")
    exactly: dict[str, Any] = {"parse_float": str, "parse_int": str}
    assert json.loads(line, **exactly) == {
        "key": KEY,
        "timestamp": "1700000000000000001",
        "dataType": "ohlcv",
        "sequence": "3",
        "data": json.loads(data, **exactly),
    }


@BOTH_KINDS
async def test_text_shows_time_key_and_payload(command: Command, fixture: PluginFixture) -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=3) as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", "--count", 3)
    assert (outcome.code, told(outcome.err)) == (0, ["3 items, 0 gaps"])
    lines = [line.split(" ", 2) for line in outcome.out.decode().splitlines()]
    assert [key for _, key, _ in lines] == [KEY] * 3
    items = [StreamData(candle_key(), 0, "ohlcv", payload.encode(), n) for n, (_, _, payload) in enumerate(lines)]
    assert [candle_of(item) for item in items] == candles(exchange, range(3))
    assert all(datetime.fromisoformat(time).utcoffset() is not None for time, _, _ in lines)


async def test_no_more_items_are_taken_than_were_asked_for(command: Command) -> None:
    async with Exchange(rate=200) as exchange:
        outcome = await run(command, exchange, LEGACY, "--allow-private", "--count", 1)
        assert outcome.out.count(b"\n") == 1
        await until(lambda: not exchange.connections, "it is gone")


SENT = 20  # over each connection of an exchange that is going to be cut


def cut_once() -> Exchange:
    return Exchange(mode="replay", rate=math.inf, limit=SENT, ping_interval=0.01, pong_deadline=HANG)


async def cut(exchange: Exchange) -> None:
    """End the connection once all that was sent over it has been read."""
    await until(lambda: exchange.journal.klines == SENT, "the candles are sent")
    received = exchange.journal.connections[0].received
    known = len(received)
    # Each pong answers a ping, and no ping is sent before the one before was answered: the second that comes from now
    # on answers one that was sent after the candles, and messages are read in their order.
    await until(lambda: len(received) >= known + 2, "the candles are read")
    await exchange.drop_all()


async def test_events_are_told_on_stderr_with_their_time_and_place(command: Command) -> None:
    async with cut_once() as exchange:
        options = ("--allow-private", "--count", SENT + 5)
        outcome, _ = await asyncio.gather(run(command, exchange, LEGACY, *options), cut(exchange))
        assert len(exchange.journal.connections) == 2
    assert (outcome.code, len(outcome.out.splitlines())) == (0, SENT + 5)
    reconnect, gap, back, end = told(outcome.err)
    assert reconnect.startswith("reconnect: ")
    assert gap.startswith(f"gap before item {SENT}: items may be missing: ")
    assert re.fullmatch(r"back after \d+\.\d s", back)
    assert end == f"{SENT + 5} items, 1 gap"


async def test_a_machine_can_place_a_gap_among_the_items(command: Command) -> None:
    async with cut_once() as exchange:
        options = ("--allow-private", "--count", SENT + 5, "--format", "ndjson")
        outcome, _ = await asyncio.gather(run(command, exchange, LEGACY, *options), cut(exchange))
    assert outcome.code == 0
    items = [msgspec.json.decode(line, type=Line) for line in outcome.out.splitlines()]
    assert [candle_of(item.item()) for item in items] == candles(exchange, [*range(SENT), *range(5)])
    found = events(outcome.err)
    assert [event.state or event.event for event in found] == [
        *("starting", "streaming", "recovering", "reconnect", "gap", "streaming", "stopped", "end"),
    ]
    gap, end = found[4], found[-1]
    assert gap.sequence == SENT
    before, after = items[gap.sequence - 1], items[gap.sequence]
    assert before.timestamp <= gap.timestamp <= after.timestamp
    assert (gap.lost, end.items, end.gaps) == (None, SENT + 5, 1)
    assert end.message == f"{SENT + 5} items, 1 gap"
