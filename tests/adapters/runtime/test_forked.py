"""A process that was forked from one that has guests."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.waiting import HANG

FORKED = """
import asyncio, os, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of newer Pythons, at a fork beside threads
from adapters.runtime.errors import PluginTimeoutError
from adapters.runtime.guest import Guest
from adapters.runtime.watch import PROCESS
from tests.adapters.runtime.guests import border_of, guest_wasm

async def timed_out():
    guest = Guest(guest_wasm(), plugin="example", border=border_of())
    assert await guest.call("echo", b"here") == b"here"
    try:
        await guest.call("nap_for_ever", b"", timeout=0.05)
    except PluginTimeoutError:
        return True
    finally:
        await guest.aclose()

async def parent():
    guest = Guest(guest_wasm(), plugin="example", border=border_of())
    await guest.call("echo", b"here", timeout=1)
    guest.stop()
    child = os.fork()
    if child:
        await guest.aclose()
        return child
    return None

child = asyncio.run(parent())
if child is None:
    try:
        os.write(1, b"timed out" if asyncio.run(timed_out()) else b"went on")
        PROCESS.stop_all()
    finally:
        os._exit(0)  # as multiprocessing does: Extism ends its threads at exit, which are not here
os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_ends_its_own_guests_and_waits_for_none_of_its_parents() -> None:
    ended = subprocess.run([sys.executable, "-c", FORKED], capture_output=True, text=True, timeout=HANG, check=False)
    assert (ended.returncode, ended.stdout) == (0, "timed out"), ended.stderr
