"""Streams with very many messages: is every message there, and is the last as cheap as the first?

Each case (host, guest, profile of message sizes) runs in a process of its own, and has a row: messages a second in the
second fifth and in the last; processor time for each message in the last fifth against the second (`cpu`); by how many
MB resident memory grew from the one to the other; the most blocks, and bytes of them, that the companion kept for the
guest in either fifth; gaps and restarts told. `meter.py` says which fifths.

A case fails, and the exit code is 1, where
- a message is missing, comes twice or is damaged, and no gap was told in its place;
- processor time for each message grew by more than 10 %, three times in a row;
- resident memory grew by more than 10 MB, or the companion's blocks or their bytes are not flat;
- a guest was restarted. Those that come back to a block that is long gone may be, if the restart says so and a gap is
  told; the feed then begins anew, and what is measured begins behind the latest restart.

    python -m benchmarks.long_stream [--messages N] [--guests N] [--plain N] [--case HOST/GUEST/PROFILE]
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import subprocess
import sys
from collections.abc import Iterator

import attrs
import msgspec

import compat
from adapters.candles import read_candle
from benchmarks.feed import PROFILES, Feed, FeedConnector
from benchmarks.guests import GUESTS, KEY, Guest
from benchmarks.ledger import Ledger
from benchmarks.meter import PARTS, Costs, Heap, Meter
from benchmarks.plain_sdk import stream_through_plain_sdk

STALLED = 60.0  # seconds without a message
AHEAD = 256  # items that a guest may be ahead of their consumer: few beside a part, whose costs both make
ATTEMPTS = 3  # of a case in which nothing is wrong but the processor time
HEAD = (
    f"{'case':<46} {'2nd fifth':>10} {'last fifth':>10} {'cpu':>5} {'grown':>9} {'blocks':>15} {'KiB':>15} "
    f"{'gaps':>4} {'restarts':>8}"
)


@attrs.frozen
class Result:
    """What one case came to.

    Attributes:
        costs: What its messages cost.
        problems: What is wrong with the messages and the restarts.
        gaps: How many were told.
        restarts: Likewise.
    """

    costs: Costs
    problems: list[str]
    gaps: int
    restarts: int

    def row(self, case: str) -> str:
        """One row of the table."""
        costs = self.costs
        if not costs.comparable:
            return f"{case:<46}"
        second, last = (len(part) / sum(part) for part in (costs.second(costs.seconds), costs.last(costs.seconds)))
        blocks = " → ".join(f"{max(part(costs.blocks)):,.0f}" for part in (costs.second, costs.last))
        kept = " → ".join(f"{max(part(costs.bytes_used)) / 1024:,.0f}" for part in (costs.second, costs.last))
        return (
            f"{case:<46} {second:>8,.0f}/s {last:>8,.0f}/s {costs.cpu_ratio:>5.2f} {costs.growth:>+6.1f} MB "
            f"{blocks:>15} {kept:>15} {self.gaps:>4} {self.restarts:>8}"
        )


class StalledError(Exception):
    """No message came for ``STALLED`` seconds."""


async def through_compat(guest: Guest, feed: Feed, meter: Meter, ledger: Ledger) -> None:
    """Stream from the feed through this project's host until so many items have come as it has messages."""
    settings = compat.AdapterSettings(
        connector=FeedConnector(feed), policy=compat.NetworkPolicy(allow_private=True), buffer=AHEAD
    )

    async def read(stream: compat.Stream) -> None:
        async for item in stream:
            ledger.note_item(item.sequence, guest.number(item, feed))
            meter.tick()
            if meter.done == feed.count:
                return

    async with (
        compat.open_plugin(guest.wasm(), settings=settings, name="guest") as plugin,
        plugin.stream(compat.StreamKey.parse(KEY)) as stream,
    ):
        stream.follow(ledger.note_event)
        reading = asyncio.create_task(read(stream))
        while not reading.done():
            before = meter.done
            await asyncio.wait([reading], timeout=STALLED)
            if not reading.done() and meter.done == before:
                reading.cancel()
                raise StalledError(f"no message came for {STALLED:.0f} s after {before}; state: {stream.state}")
        await reading
    if meter.done < feed.count:
        raise StalledError(f"the stream ended after {meter.done} messages")


def note(feed: Feed, meter: Meter, ledger: Ledger, request: str) -> None:
    """The plain host was given this to publish."""
    candle = read_candle(msgspec.json.encode(msgspec.json.decode(request)["data"]))
    ledger.note_item(meter.done, feed.number_of(candle))
    meter.tick()


def run_case(case: str, count: int) -> Result:
    """Run one case in this process. A case is named host/guest/profile."""
    host, name, profile = case.split("/")
    guest, heap = GUESTS[name], Heap()
    count = max(count - count % PARTS, PARTS)
    feed = Feed(profile, count, period=count // PARTS, **({"largest": guest.largest} if guest.largest else {}))
    ledger = Ledger(guest.first, comes_back=guest.comes_back)
    with heap.watched():
        meter = Meter(feed, heap)
        if host == "plain":
            stream_through_plain_sdk(guest.wasm(), feed, functools.partial(note, feed, meter, ledger))
        else:
            asyncio.run(through_compat(guest, feed, meter, ledger))
    return Result(meter.costs(ledger.restarts), ledger.problems, len(ledger.gaps), len(ledger.restarts))


def cases(messages: int, guests: int, plain: int) -> Iterator[tuple[str, int]]:
    """Every case, with how many messages it is given."""
    for profile in PROFILES if plain else ():
        yield f"plain/generic-blocking/{profile}", plain
    for name, guest in GUESTS.items():
        for profile in PROFILES:
            yield f"compat/{name}/{profile}", messages if guest.long else guests


def run_apart(case: str, count: int) -> bool:
    """Run one case in a process of its own and print its row. Returns whether it passed."""
    command = [sys.executable, "-m", "benchmarks.long_stream", "--case", case, "--count", str(count)]
    failures: list[str] = []
    for _ in range(ATTEMPTS):
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            print(f"{case:<46} FAILED: {(finished.stderr.strip() or 'without a word').splitlines()[-1]}", flush=True)
            return False
        result = msgspec.json.decode(finished.stdout, type=Result)
        print(result.row(case), flush=True)
        if case.startswith("plain/"):
            return True  # it is there to be compared with
        failures = result.problems + result.costs.problems + result.costs.dearer
        if not failures or failures != result.costs.dearer:
            break  # otherwise it may have been other work on the machine: then not again
    for failure in failures:
        print(f"    FAILED: {failure}", flush=True)
    return not failures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000, help="through the guests that are worth most")
    parser.add_argument("--guests", type=int, default=20_000, help="through each of the other guests")
    parser.add_argument("--plain", type=int, default=20_000, help="through the plain host, which slows down; 0: none")
    parser.add_argument("--case", help="run one case in this process and print its result as JSON")
    parser.add_argument("--count", type=int, default=20_000, help="messages for --case")
    arguments = parser.parse_args()
    if arguments.case:
        print(msgspec.json.encode(run_case(arguments.case, arguments.count)).decode())
        return 0
    print(HEAD)
    passed = [run_apart(*case) for case in cases(arguments.messages, arguments.guests, arguments.plain)]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
