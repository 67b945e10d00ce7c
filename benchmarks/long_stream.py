"""One `start_stream` call with very many messages, beside a plain Extism SDK host.

Each case runs in a process of its own. A tenth's rate is messages per second; `last/2nd` compares the last tenth with
the second, `grown` is resident memory at the end against the end of the first tenth. `intact` says that every message
came through in order and unchanged. Ends with code 1 if one did not through this project's host, or if a case failed.

    python -m benchmarks.long_stream [--messages N] [--guests N] [--plain N] [--case NAME]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import extism
import msgspec
import wasmtime

import compat
from benchmarks.feed import ACKNOWLEDGEMENT, PROFILES, Feed, FeedConnector, resident_mib
from compat.demo import plugin_path
from compat.demo.market import GENESIS

WAT = Path(__file__).parent.parent / "fixtures" / "wat"
GUESTS = ("frees-late", "reuses-block", "reuses-every-1000", "reuses-late", "parks")
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


@attrs.frozen
class Result:
    """What one case came to: rate per tenth, resident MiB per tenth, and what went wrong."""

    rates: list[float]
    resident: list[float]
    wrong: int
    gaps: int
    restarts: int

    def line(self, case: str) -> str:
        """One row of the table."""
        ratio = self.rates[-1] / self.rates[1]
        grown = self.resident[-1] - self.resident[0]
        intact = "intact" if not self.wrong else f"{self.wrong} WRONG"
        told = f"  {self.gaps} gaps, {self.restarts} restarts told" if self.gaps or self.restarts else ""
        first, last = self.rates[1], self.rates[-1]
        return f"{case:<34} {first:>8,.0f}/s {last:>8,.0f}/s {ratio:>7.2f} {grown:>+8.1f} MiB  {intact}{told}"


class Meter:
    """Takes the time and the memory at every tenth."""

    def __init__(self, count: int) -> None:
        self._step = count // 10
        self._since = time.perf_counter()
        self.rates: list[float] = []
        self.resident: list[float] = []

    def tick(self, done: int) -> None:
        """Count one more message."""
        if done % self._step == 0:
            now = time.perf_counter()
            self.rates.append(self._step / (now - self._since))
            self.resident.append(resident_mib())
            self._since = now


async def through_compat(wasm: bytes, profile: str, count: int, echoes: bool) -> Result:
    """The case with this project's host: a Go plugin, or a guest that publishes what it received."""
    settings = compat.AdapterSettings(
        connector=FeedConnector(Feed(profile, count)), policy=compat.NetworkPolicy(allow_private=True)
    )
    expected: Iterator[object] = (
        itertools.chain([ACKNOWLEDGEMENT], Feed(profile, count)) if echoes else map(opened, range(count))
    )
    decode = msgspec.json.Decoder().decode
    meter, wrong, done = Meter(count), 0, 0
    async with (
        compat.open_plugin(wasm, settings=settings, name="guest") as plugin,
        plugin.stream(KEY) as stream,
    ):
        async for item in stream:
            payload = decode(item.data)
            got = payload["echo"]["message"] if echoes else payload["timestamp"]
            wrong += got != next(expected)
            done += 1
            meter.tick(done)
            if done == count:
                break
        return Result(meter.rates, meter.resident, wrong, stream.stats.gaps, stream.stats.restarts)


def opened(number: int) -> str:
    """The open time of candle ``number`` as the Go plugins write it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(GENESIS + 60 * number))


class _EnoughError(Exception):
    """The plain host has measured what it wanted."""


def through_plain_sdk(profile: str, count: int) -> Result:
    """The case with the plain Extism SDK: `host_fn` functions that answer, and nothing else."""
    messages = itertools.chain([ACKNOWLEDGEMENT], Feed(profile, count))
    meter, done, wrong = Meter(count), 0, 0
    expected = map(opened, range(count))
    success = json.dumps({"success": True})

    def function(name: str, answer: object) -> object:
        wrapped = extism.host_fn(name=name, namespace="env", signature=([extism.ValType.I64], [extism.ValType.I64]))
        return wrapped(answer)

    def returning(text: str) -> object:
        def answer(plugin: object, params: list[object], results: list[object]) -> None:  # noqa: ARG001
            plugin.return_string(results[0], text)  # type: ignore[attr-defined]

        return answer

    def ws_receive(plugin: object, params: list[object], results: list[object]) -> None:
        plugin.input_string(params[0])  # type: ignore[attr-defined]
        message = next(messages, None)
        reply = {"success": False, "error": "the end"} if message is None else {"success": True, "message": message}
        plugin.return_string(results[0], json.dumps(reply))  # type: ignore[attr-defined]

    def publish(plugin: object, params: list[object], results: list[object]) -> None:
        nonlocal done, wrong
        request = json.loads(plugin.input_string(params[0]))  # type: ignore[attr-defined]
        wrong += request["data"]["timestamp"] != next(expected)
        done += 1
        meter.tick(done)
        plugin.return_string(results[0], success)  # type: ignore[attr-defined]

    functions = [
        function("ws_connect", returning('{"success":true,"connectionId":"1"}')),
        function("ws_send", returning(success)),
        function("ws_close", returning(success)),
        function("http_request", returning(success)),
        function("log_record", returning("")),
        function("ws_receive", ws_receive),
        function("publish_stream_data", publish),
    ]
    plugin = extism.Plugin(plugin_path("generic").read_bytes(), wasi=True, functions=functions)
    key = compat.StreamKey.parse(KEY).to_wire()
    try:
        plugin.call("start_stream", json.dumps(key))
    except extism.Error as error:
        if done < count:
            raise SystemExit(str(error)) from error
    return Result(meter.rates, meter.resident, wrong, 0, 0)


def run_case(case: str, count: int) -> Result:
    """Run one case in this process. A case is named host/guest/profile."""
    host, guest, profile = case.split("/")
    if host == "plain":
        return through_plain_sdk(profile, count)
    wat = WAT / f"{guest}.wat"
    wasm = plugin_path("generic").read_bytes() if guest == "go" else bytes(wasmtime.wat2wasm(wat.read_text()))
    return asyncio.run(through_compat(wasm, profile, count, echoes=guest != "go"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=500_000, help="messages through this project's host")
    parser.add_argument("--guests", type=int, default=100_000, help="messages through each of the tricky guests")
    parser.add_argument("--plain", type=int, default=20_000, help="through the plain host, which slows down; 0: none")
    parser.add_argument("--case", help="run one case in this process and print its result as JSON")
    parser.add_argument("--count", type=int, help="messages for --case")
    arguments = parser.parse_args()
    if arguments.case:
        print(msgspec.json.encode(run_case(arguments.case, arguments.count)).decode())
        return 0
    cases = [(f"plain/go/{profile}", arguments.plain) for profile in PROFILES if arguments.plain]
    cases += [(f"compat/go/{profile}", arguments.messages) for profile in PROFILES]
    cases += [(f"compat/{guest}/{profile}", arguments.guests) for guest in GUESTS for profile in PROFILES]
    print(f"{'case':<34} {'2nd tenth':>10} {'last tenth':>10} {'last/2nd':>7} {'grown':>12}")
    bad = 0
    for case, count in cases:
        command = [sys.executable, "-m", "benchmarks.long_stream", "--case", case, "--count", str(count)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            print(f"{case:<34} failed: {(finished.stderr.strip() or 'without a word').splitlines()[-1]}", flush=True)
            bad += 1
        else:
            result = msgspec.json.decode(finished.stdout, type=Result)
            print(result.line(case), flush=True)
            bad += case.startswith("compat/") and bool(result.wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
