"""Blocking work on threads of its own."""

from __future__ import annotations

import asyncio
import threading

import pytest

from adapters.threads import on_thread
from tests.support.waiting import until


async def test_the_result_comes_back_and_the_loop_goes_on_meanwhile() -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        go.wait()
        return threading.current_thread().name

    waiting = asyncio.create_task(on_thread(work, "worker"))
    await until(begun.is_set, "the work has begun")
    go.set()
    assert await waiting == "worker"


async def test_what_the_work_raises_is_raised() -> None:
    def work() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await on_thread(work, "worker")


async def test_a_caller_who_is_cancelled_does_not_wait_for_the_work() -> None:
    begun, go, done = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait()
        done.set()

    waiting = asyncio.create_task(on_thread(work, "worker"))
    await until(begun.is_set, "the work has begun")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert not done.is_set()
    go.set()
    await until(done.is_set, "the work comes to its end")


def test_work_that_outlives_its_loop_ends_quietly() -> None:
    threads: list[threading.Thread] = []
    go = threading.Event()

    def work() -> None:
        threads.append(threading.current_thread())
        go.wait()

    async def begin() -> None:
        waiting = asyncio.create_task(on_thread(work, "worker"))
        await until(lambda: threads, "the work has begun")
        waiting.cancel()

    asyncio.run(begin())
    go.set()
    threads[0].join()  # pytest fails the test if the thread has raised
