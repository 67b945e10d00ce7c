"""The end of the process while a guest does what never ends by itself: clean, silent, and bounded."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tests.adapters.runtime.guests import guest_wasm
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from pathlib import Path

# What is registered first for the exit is called last.
SCRIPT = """
    import asyncio, atexit, logging, sys, threading
    from pathlib import Path

    atexit.register(lambda: print("stopped:", guest.stopping.is_set(), "ended:", guest.wait(0), flush=True))

    from adapters.channel import Channel
    from adapters.contract import StreamKey
    from adapters.feed import Feed
    from adapters.publisher import Publisher
    from adapters.companion.border import Border
    from adapters.runtime.guest import Guest
    from adapters.runtime.hostcalls import Publication
    from adapters.runtime.watch import PROCESS, Watch, lingering_guests
    from adapters.voice import Voice

    begun = threading.Event()
    stopping = threading.Event()
    publisher = Publisher(Feed(Channel(StreamKey("a", "b", "c"), capacity=10**9)))
    publication = Publication(b'{"type":"a","source":"b","identifier":"c"}', b"1", "")
    watch = PROCESS
    if sys.argv[3] == "patient":
        watch = Watch(linger_after=HANG, exit_grace=HANG)
        atexit.register(watch.stop_all)

    def publish(request):
        publisher.publish(publication)
        publisher.write()
        begun.set()
        return request

    def attentive(request):
        begun.set()
        stopping.wait()
        raise RuntimeError("stopped")

    def deaf(request):
        begun.set()
        threading.Event().wait()

    host = {"publish": publish, "attentive": attentive, "deaf": deaf}[sys.argv[2]]
    border = Border(
        guest="example",
        plugin="example",
        handlers={"ws_send": host},
        stopping=stopping,
        voice=Voice(logging.getLogger("compat.plugin.example")),
    )
    guest = Guest(
        Path(sys.argv[1]).read_bytes(),
        plugin="example",
        border=border,
        watch=watch,
    )

    async def after_the_loop():
        call = asyncio.ensure_future(guest.call(sys.argv[4], b"x"))
        assert await asyncio.to_thread(begun.wait, HANG)
        call.cancel()

    def without_waiting():
        guest.submit(lambda: guest.enter(sys.argv[4], b"x"), sys.argv[4])
        assert begun.wait(HANG)

    async def closed():
        call = asyncio.ensure_future(guest.call(sys.argv[4], b"x"))
        assert await asyncio.to_thread(begun.wait, HANG)
        await guest.aclose()
        print(repr((await asyncio.gather(call, return_exceptions=True))[0]))
        print("lingering:", lingering_guests())

"""
RUNS = {
    "after the loop": "asyncio.run(after_the_loop())",
    "without waiting": "without_waiting()",
    "closed": "asyncio.run(closed())",
}
LOG = "guest example does not stop (asleep, or being instantiated); it lingers until it wakes\n"


def run(folder: Path, host: str, watch: str, export: str, how: str) -> tuple[str, str]:
    """Run the script with one guest; what it wrote to stdout and stderr."""
    wasm = folder / "guest.wasm"
    wasm.write_bytes(guest_wasm())
    program = f"HANG = {HANG}\n{textwrap.dedent(SCRIPT)}\n{RUNS[how]}\nprint('end of the script', flush=True)"
    command = [sys.executable, "-c", program, str(wasm), host, watch, export]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=2 * HANG, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("host", "export", "how"),
    [
        pytest.param("publish", "loop", "after the loop", id="loops"),
        pytest.param("publish", "loop", "without waiting", id="loops, not waited for"),
        pytest.param("publish", "host_for_ever", "after the loop", id="publishes in a flood"),
        pytest.param("publish", "host_for_ever", "without waiting", id="publishes in a flood, not waited for"),
        pytest.param("attentive", "host", "after the loop", id="waits in a host function"),
        pytest.param("publish", "sleep", "without waiting", id="sleeps in WASI"),
    ],
)
def test_the_process_exits_cleanly_once_it_has_ended_a_guest_that(
    tmp_path: Path, host: str, export: str, how: str
) -> None:
    assert run(tmp_path, host, "patient", export, how) == ("end of the script\nstopped: True ended: True\n", "")


def test_the_process_exits_cleanly_in_spite_of_a_guest_that_hangs_in_a_host_function(tmp_path: Path) -> None:
    ended = run(tmp_path, "deaf", "its own", "host", "after the loop")
    assert ended == ("end of the script\nstopped: True ended: False\n", "")


def test_a_guest_that_cannot_be_stopped_lingers_and_releases_its_caller(tmp_path: Path) -> None:
    out, err = run(tmp_path, "deaf", "its own", "host", "closed")
    error = "GuestStoppedError(\"plugin 'example': host was not completed because its guest was stopped\")"
    assert out.splitlines() == [error, "lingering: 1", "end of the script", "stopped: True ended: False"]
    assert err == LOG
