"""``plugin-compat run`` with real plugins against a real exchange: what it prints, refuses, and how it ends."""

from __future__ import annotations

import asyncio
import json
import math
import os
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
from tests.support.plugins import FIXTURES, MISBUILT, PluginFixture, candle_key
from tests.support.processes import end_of, lines_until
from tests.support.rogue.certificates import Authority, serving
from tests.support.simex import candle_of, candles
from tests.support.waiting import HANG, until

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Outcome, Start

PLUGINS = {fixture.id: fixture for fixture in FIXTURES}
LEGACY, GENERIC, SLEEPING = (PLUGINS[name] for name in ("legacy-callback", "generic-blocking", "generic-sleeping"))
BOTH_KINDS = pytest.mark.parametrize("fixture", [LEGACY, GENERIC], ids=["legacy", "generic"])
KEY = str(candle_key())


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """A line of ndjson: exactly these fields."""

    key: str
    timestamp: int
    dataType: str  # noqa: N815 - the field's name on the wire
    sequence: int
    data: msgspec.Raw

    def item(self) -> StreamData:
        return StreamData(StreamKey.parse(self.key), self.timestamp, self.dataType, bytes(self.data), self.sequence)


def redirected(exchange: Exchange) -> list[str]:
    return [part for source, target in exchange.rewrites.items() for part in ("--rewrite", f"{source}={target}")]


async def run(
    command: Command, exchange: Exchange, fixture: PluginFixture, *options: object, key: str = KEY
) -> Outcome:
    """Run in a thread, while the exchange trades on the loop."""
    arguments = ("run", fixture.path, key, *redirected(exchange), *options)
    async with asyncio.timeout(HANG):
        return await asyncio.to_thread(command, *arguments)


def told(err: str) -> list[str]:
    """What is told on stderr, without the time of day that each line begins with."""
    lines = [line.partition(" ") for line in err.splitlines() if line.strip()]
    assert all(datetime.strptime(time, "%H:%M:%S") for time, _, _ in lines)  # noqa: DTZ007 - a time of day
    return [what for _, _, what in lines]


class Event(msgspec.Struct, forbid_unknown_fields=True):
    """An event of ndjson: exactly these fields."""

    event: str
    sequence: int
    timestamp: int
    message: str
    state: str = ""
    lost: int | None = None
    items: int | None = None
    gaps: int | None = None


def events(err: str) -> list[Event]:
    return [msgspec.json.decode(line, type=Event) for line in err.splitlines() if line]  # on Ctrl-C an empty one


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
    assert what.startswith("error: could not connect to wss://stream.simex.example/ws: stream.simex.example cannot be")
    assert remedy.startswith("  No rewrite fits this address; there is one for wss://stream.semix.example. Check the")


SEVERAL_LINES = (b'{\n  "close": 1.50,\r\n  "note": "a\\nb"\n}', b"[1,\r2.50]")
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


async def test_an_interruption_while_the_stream_recovers_is_told_as_such(start: Start) -> None:
    async with Exchange(rate=100) as exchange:
        process = await start("run", LEGACY.path, KEY, *redirected(exchange), "--allow-private", "--format", "ndjson")
        await until(lambda: exchange.journal.klines > 5, "candles are sent")
        exchange.reject(1_000_000)
        await exchange.drop_all()
        await lines_until(process.stderr, '"state":"recovering"')
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert end.code == 130
    assert re.fullmatch(r"\d+ items?, \d+ gaps?, interrupted while recovering", events(end.err)[-1].message)


@BOTH_KINDS
async def test_a_private_address_is_refused_with_the_remedy(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture)
        assert not exchange.journal.connections
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith("error: ")
    what, remedy = outcome.err.splitlines()
    assert exchange.ws_url in what
    assert "--allow-private" in remedy


@BOTH_KINDS
async def test_a_rejected_stream_exits_with_1_and_the_plugin_s_words(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", key="ohlcv:simex:NOPE-USDT?timeframe=1m")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith(f"error: plugin '{fixture.path.stem}' refused stream ohlcv:simex:NOPE-USDT")
    assert "unknown_symbol: no market NOPE-USDT" in outcome.err


async def end_by(command: Command, fixture: PluginFixture, last_words: str) -> Outcome:
    """Run against an exchange that sends two candles and then this."""
    async with Exchange(mode="replay", rate=math.inf, limit=2) as exchange:

        async def say() -> None:
            await until(lambda: exchange.journal.klines == 2, "both candles are sent")
            await exchange.broadcast(last_words)

        outcome, _ = await asyncio.gather(run(command, exchange, fixture, "--allow-private"), say())
    return outcome


async def test_a_stream_that_the_plugin_ends_exits_with_0(command: Command) -> None:
    outcome = await end_by(command, PLUGINS["legacy-command"], '{"event":"goodbye"}')
    assert (outcome.code, outcome.out.count(b"\n"), told(outcome.err)) == (0, 2, ["2 items, 0 gaps"])


async def test_a_stream_that_fails_after_items_tells_what_it_came_to_and_then_the_error(command: Command) -> None:
    outcome = await end_by(command, LEGACY, '{"event":"error","code":"unknown_symbol","message":"it was delisted"}')
    assert (outcome.code, outcome.out.count(b"\n")) == (1, 2)
    end, error, remedy = outcome.err.splitlines()
    assert told(end) == ["2 items, 0 gaps"]
    assert error.startswith(f"error: plugin 'legacy' refused stream {KEY}: ")
    assert "it was delisted" in error
    assert remedy.startswith("  ")


def test_a_module_that_cannot_run_exits_with_1_and_the_finding(command: Command) -> None:
    outcome = command("run", MISBUILT, KEY)
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith(f"error: {MISBUILT}: go-command-module: ")
    assert "-buildmode=c-shared" in outcome.err


@BOTH_KINDS
async def test_a_configuration_reaches_the_plugin_and_is_never_printed(
    command: Command, fixture: PluginFixture
) -> None:
    async with Exchange(mode="replay", limit=2) as exchange:
        secrets = ("--config", "api_key=correct-horse", "--config", "passphrase=battery=staple")
        outcome = await run(command, exchange, fixture, "--allow-private", "--count", 2, *secrets)
    assert outcome.code == 0
    sent = dict(exchange.journal.connections[0].headers)
    assert sent.get("X-Api-Key") == ("correct-horse" if fixture.sends_credential else None)
    assert not any(word in outcome.out.decode() + outcome.err for word in ("horse", "staple"))


async def test_a_configuration_that_the_plugin_repeats_in_its_refusal_is_not_printed(command: Command) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, SLEEPING, "--allow-private", "--config", "nap_ms=correct-horse")
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith("error: ")
    assert "plugin_configure: nap_ms is not a number of milliseconds: ***" in outcome.err
    assert "horse" not in outcome.err


@BOTH_KINDS
async def test_a_refused_configuration_exits_with_1(command: Command, fixture: PluginFixture) -> None:
    async with Exchange() as exchange:
        outcome = await run(command, exchange, fixture, "--allow-private", "--config", "api_key=invalid")
    assert (outcome.code, outcome.out) == (1, b"")
    assert "the exchange refuses the API key" in outcome.err
    assert "invalid" not in outcome.err


async def test_a_reader_sees_an_item_as_soon_as_it_is_there(start: Start) -> None:
    async with Exchange(mode="replay", rate=math.inf, limit=1) as exchange:
        process = await start("run", LEGACY.path, KEY, *redirected(exchange), "--allow-private")
        await lines_until(process.stdout, re.escape(KEY))  # the exchange says nothing more
        assert process.returncode is None
        process.send_signal(signal.SIGINT)
        assert (await end_of(process)).code == 130


INTERRUPTED = {
    "legacy": (LEGACY, (), 5),
    "generic-blocking": (GENERIC, (), 5),
    "generic-goroutine": (PLUGINS["generic-goroutine"], (), 5),
    "generic-sleeping": (SLEEPING, (), 5),
    "generic-sleeping-asleep": (SLEEPING, ("--config", "nap_ms=3600000"), 1),
}


@pytest.mark.parametrize(("fixture", "options", "items"), INTERRUPTED.values(), ids=INTERRUPTED)
async def test_ctrl_c_ends_a_run_whatever_its_guest_does_and_without_noise(
    start: Start, fixture: PluginFixture, options: tuple[str, ...], items: int
) -> None:
    async with Exchange(rate=100) as exchange:
        arguments = ("run", fixture.path, KEY, *redirected(exchange), "--allow-private", *options)
        process = await start(*arguments)
        for _ in range(items):
            await lines_until(process.stdout, re.escape(KEY))
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
        assert end.code == 130
        # A guest that sleeps cannot be stopped, which is told; nothing else is. The plugin without a nap falls asleep
        # for a second when its connection ends, and may or may not wake in time.
        *before, last = end.err.strip().splitlines()
        assert re.fullmatch(r"\d\d:\d\d:\d\d \d+ items?, 0 gaps", last)
        lingering = ["lives on until it wakes" in line or "lingers until it wakes" in line for line in before]
        assert lingering in ([[True] * 2] if options else [[], [True] * 2] if fixture is SLEEPING else [[]])
        await until(lambda: not exchange.connections, "it is gone")


@BOTH_KINDS
async def test_ctrl_c_ends_a_run_that_waits_for_its_first_item(start: Start, fixture: PluginFixture) -> None:
    async with Exchange(mode="replay", limit=0) as exchange:
        process = await start("run", fixture.path, KEY, *redirected(exchange), "--allow-private")
        await until(lambda: exchange.connections, "it connects")
        await until(lambda: exchange.journal.connections[0].sent > 0, "the subscription is confirmed")
        process.send_signal(signal.SIGINT)
        end = await end_of(process)
    assert (end.code, end.out, told(end.err)) == (130, b"", ["0 items, 0 gaps"])


@BOTH_KINDS
async def test_a_run_whose_reader_has_gone_ends_cleanly(start: Start, fixture: PluginFixture) -> None:
    async with Exchange(rate=100) as exchange:
        reading, writing = os.pipe()
        process = await start("run", fixture.path, KEY, *redirected(exchange), "--allow-private", stdout=writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as output:
            first = await asyncio.to_thread(output.readline)
        end = await end_of(process)
        assert KEY.encode() in first
        assert (end.code, end.err.strip()) == (0, "")
        await until(lambda: not exchange.connections, "it is gone")
