"""What holds the event loops of this room to never being blocked is itself held to seeing what blocks."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from blockbuster import BlockingError

from compat.background import BackgroundLoop
from tests.support.unblocked import unblocked

HERE = Path(__file__)
SHORT = 0.001  # seconds: what blocks is found out before it does


@pytest.fixture(autouse=True)
def nothing_blocks_a_loop() -> None:
    """Here it is tested."""


def sleep() -> None:
    time.sleep(SHORT)


def read_unbuffered() -> None:
    with HERE.open("rb", buffering=0) as file:
        file.readall()


def wait_for_a_thread() -> None:
    go_on = threading.Event()
    thread = threading.Thread(target=go_on.wait)
    thread.start()
    try:
        thread.join(SHORT)
    finally:
        go_on.set()


BLOCKING: dict[str, Callable[[], object]] = {
    "a file is read": HERE.read_bytes,
    "a file is read as text": HERE.read_text,
    "a file is read past the buffer": read_unbuffered,
    "a folder is listed": lambda: list(HERE.parent.iterdir()),
    "a file is looked for": HERE.exists,
    "the thread sleeps": sleep,
    "an event of another thread": lambda: threading.Event().wait(SHORT),
    "the result of another thread": lambda: concurrent.futures.Future[None]().result(SHORT),
    "the end of another thread": wait_for_a_thread,
    "a queue": lambda: queue.SimpleQueue[None]().get(timeout=SHORT),
    "another process": lambda: subprocess.run([sys.executable, "--version"], check=True, capture_output=True),
    "a name is resolved": lambda: socket.getaddrinfo("localhost", 80),
    "a connection is opened": lambda: socket.create_connection(("127.0.0.1", 9), timeout=SHORT),
    "the authorities of the system": ssl.create_default_context,
}


async def call(block: Callable[[], object]) -> None:
    block()


@pytest.mark.parametrize("block", BLOCKING.values(), ids=BLOCKING.keys())
async def test_what_blocks_fails_where_it_is_called(block: Callable[[], object]) -> None:
    with unblocked() as found:
        with pytest.raises(BlockingError):
            await call(block)
        (place,) = found
        assert "in call" in place
        found.clear()


async def test_what_is_swallowed_fails_in_the_end() -> None:
    with pytest.raises(AssertionError, match=r"time\.sleep"), unblocked(), contextlib.suppress(Exception):
        await call(sleep)


def test_a_loop_on_a_thread_of_its_own_is_seen() -> None:
    loop = BackgroundLoop("a test")
    loop.start()
    with unblocked() as found:
        with pytest.raises(BlockingError):
            loop.run(lambda: call(sleep))
        assert len(found) == 1
        found.clear()
        sleep()  # this thread has none
    loop.stop(lambda: asyncio.sleep(0))


async def test_threads_without_a_loop_may_block() -> None:
    with unblocked() as found:
        await asyncio.to_thread(HERE.read_bytes)
        await asyncio.to_thread(sleep)
    assert found == []
    assert time.sleep.__module__ == "time"  # and all is as it was
