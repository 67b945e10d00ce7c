"""Fresh guests of the plugin that parks, each brought to park with other message sizes: is any message lost?

A guest counts once it was entered again after parking and 200 more messages have come through. Go's scheduler decides
when it parks; a guest that has not done so after 4,000 messages is given up and counted apart. Ends with code 1 if a
message is lost.

    python -m benchmarks.parked_guests [--guests N]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time
from pathlib import Path

import attrs
import msgspec

import compat
from benchmarks.feed import PROFILES, Feed, FeedConnector
from benchmarks.long_stream import KEY, opened

PLUGIN = Path(__file__).parent.parent / "fixtures" / "plugins" / "generic-goroutine" / "plugin.wasm"
PATIENCE = 4_000  # messages
AFTERWARDS = 200  # messages


@attrs.define
class Entries:
    """Counts how often the parked guest was entered again."""

    started: bool = False
    again: int = 0

    def __call__(self, crossing: compat.Crossing) -> None:
        """See one crossing of the guest's border."""
        if crossing.direction is compat.Direction.CALL:
            self.again += self.started
            self.started = self.started or crossing.name == "start_stream"


async def one_guest(wasm: bytes, profile: str, seed: int) -> tuple[int, int, int]:
    """Run one guest. Returns how often it was entered again, how many messages came, and how many were wrong."""
    entries = Entries()
    settings = compat.AdapterSettings(
        connector=FeedConnector(Feed(profile, PATIENCE + AFTERWARDS, seed)),
        policy=compat.NetworkPolicy(allow_private=True),
        observer=entries,
    )
    decode = msgspec.json.Decoder().decode
    wrong = done = 0
    enough = PATIENCE
    async with (
        compat.open_plugin(wasm, settings=settings, name="goroutine") as plugin,
        plugin.stream(KEY) as stream,
    ):
        async for item in stream:
            wrong += decode(item.data)["timestamp"] != opened(done)
            done += 1
            if entries.again and enough == PATIENCE:
                enough = done + AFTERWARDS
            if done >= enough:
                break
        wrong += stream.stats.gaps
    return entries.again, done, wrong


async def main(guests: int) -> int:
    """Run guests until so many have parked, and print what was found. Returns the exit code."""
    wasm = PLUGIN.read_bytes()
    parked = entered = messages = wrong = never = 0
    began = time.perf_counter()
    for seed, profile in zip(itertools.count(), itertools.cycle(PROFILES), strict=False):
        again, done, bad = await one_guest(wasm, profile, seed)
        messages += done
        wrong += bad
        entered += again
        parked += again > 0
        never += again == 0
        if parked >= guests:
            break
    seconds = time.perf_counter() - began
    print(f"{parked} guests parked and were entered {entered} times again; {never} never parked")
    print(f"{messages:,} messages, {wrong} lost or out of order, {seconds:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=200, help="guests that must have parked")
    sys.exit(asyncio.run(main(parser.parse_args().guests)))
