"""Fresh guests of the plugins that park, each brought to park with other message sizes: is any message lost?

A guest counts once it was entered again after parking and 200 more messages have come through. When `generic-goroutine`
parks is up to Go's scheduler; one that has not done so after 4,000 messages is given up and counted apart. Guests of
`generic-parking` always park, and soon. Ends with code 1 if a message is lost, or one of these does not park.

    python -m benchmarks.parked_guests [--guests N]
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
import time

import attrs

import compat
from benchmarks.feed import PROFILES, Feed, FeedConnector
from benchmarks.guests import GUESTS, KEY, Guest
from benchmarks.ledger import Ledger

PARKING = {"generic-parking": True, "generic-goroutine": False}  # whether all of its guests do
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


@attrs.frozen
class Life:
    """What came of one guest: how often it was entered again, how many messages came, and what was wrong."""

    again: int
    messages: int
    problems: list[str]


async def one_guest(guest: Guest, wasm: bytes, profile: str, seed: int) -> Life:
    """Run one guest until it has parked and gone on, or patience is at its end."""
    entries, ledger = Entries(), Ledger(guest.first, comes_back=False)
    feed = Feed(profile, PATIENCE + AFTERWARDS, seed)
    settings = compat.AdapterSettings(
        connector=FeedConnector(feed), policy=compat.NetworkPolicy(allow_private=True), observer=entries
    )
    done, enough = 0, PATIENCE
    async with (
        compat.open_plugin(wasm, settings=settings, name=guest.name) as plugin,
        plugin.stream(compat.StreamKey.parse(KEY)) as stream,
    ):
        stream.follow(ledger.note_event)
        async for item in stream:
            ledger.note_item(item.sequence, guest.number(item, feed))
            done += 1
            if entries.again and enough == PATIENCE:
                enough = done + AFTERWARDS
            if done >= enough:
                break
    gaps = [f"a gap was told before item {place}" for place in sorted(ledger.gaps)]
    return Life(entries.again, done, ledger.problems + gaps)


async def run(name: str, guests: int, *, always: bool) -> bool:
    """Run guests of a plugin until so many have parked, and print what was found. Returns whether all is well."""
    guest = GUESTS[name]
    wasm = guest.wasm()
    lives: list[Life] = []
    parked = 0
    began = time.perf_counter()
    for seed, profile in zip(itertools.count(), itertools.cycle(PROFILES), strict=False):
        lives.append(await one_guest(guest, wasm, profile, seed))
        parked = sum(life.again > 0 for life in lives)
        if parked >= guests or (always and parked < len(lives)):
            break
    problems = [problem for life in lives for problem in life.problems]
    never = sum(life.again == 0 for life in lives)
    entered, messages = sum(life.again for life in lives), sum(life.messages for life in lives)
    print(f"{name}: {parked} guests parked and were entered {entered} times again; {never} never parked")
    print(f"    {messages:,} messages, {len(problems)} problems, {time.perf_counter() - began:.0f} s", flush=True)
    for problem in problems[:5]:
        print(f"    FAILED: {problem}")
    if always and never:
        print(f"    FAILED: {never} guests did not park within {PATIENCE:,} messages, and always should")
    return not problems and not (always and never)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guests", type=int, default=200, help="guests that must have parked")
    guests = parser.parse_args().guests
    passed = [asyncio.run(run(name, guests, always=always)) for name, always in PARKING.items()]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
