"""A process that lacks something, and what it is told: ``python -m tests.hostile.lacking files connect FOLDER``.

It prints what was raised as JSON: the class, and the facts of the error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import wasmtime

from adapters.net.gateway import Gateway
from adapters.net.http import http_client
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import WebSocketConnector
from compat import CompatError, ConnectFailedError, Plugin, blocking, open_plugin
from tests.support.waiting import guest_threads, until

__all__ = ["WASM", "no_files"]

WASM = bytes(
    wasmtime.wat2wasm(
        """(module (memory (export "memory") 1)
             (func (export "start_stream") (result i32) (i32.const 0))
             (func (export "stop_stream") (result i32) (i32.const 0))
             (func (export "take") (result i32) (i32.const 0)))"""
    )
)
_OTHER = WASM + b"\0\2\1x"  # another module, which no cache knows
_NOBODY = 65_534
FOLDER = Path()  # an empty one


# What may be lacking


@contextlib.contextmanager
def no_files() -> Iterator[None]:
    """Every file that may be open is."""
    kept = []
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, before[1]))
    try:
        with contextlib.suppress(OSError):
            while True:
                kept.append(os.dup(1))
        yield
    finally:
        for one in kept:
            os.close(one)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@contextlib.contextmanager
def _no_addresses() -> Iterator[None]:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 2**30  # a guest takes more than that
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))
    yield


@contextlib.contextmanager
def _no_threads() -> Iterator[None]:
    if os.getuid() == 0:  # who may have any number
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    yield


@contextlib.contextmanager
def _no_room() -> Iterator[None]:
    os.environ["XDG_CACHE_HOME"] = str(FOLDER)  # where nothing is cached yet
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # a write tells it as it tells a full disk
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@contextlib.contextmanager
def _no_cache() -> Iterator[None]:
    file = FOLDER / "a file"
    file.touch()
    os.environ["XDG_CACHE_HOME"] = str(file)
    yield


LACKS: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
    "files": no_files,
    "addresses": _no_addresses,
    "threads": _no_threads,
    "room": _no_room,
    "cache": _no_cache,
}

# What is done without it: each warms up first, so that nothing is imported any more when it is lacking


Lacking = Callable[[], contextlib.AbstractContextManager[None]]


async def _warm() -> Plugin:
    async with open_plugin(WASM, name="guest") as plugin:
        await plugin.call("take")
    await until(lambda: not guest_threads(), "the guest has given back what it had open")
    return await open_plugin(WASM, name="guest")


async def _open(lacking: Lacking) -> None:
    await _warm()
    file = FOLDER / "guest.wasm"
    file.write_bytes(WASM)
    with lacking():
        await open_plugin(file)


async def _call(lacking: Lacking) -> None:
    plugin = await _warm()
    with lacking():
        await plugin.call("take")


async def _call_first(lacking: Lacking) -> None:
    plugin = await open_plugin(_OTHER, name="guest")
    with lacking():
        await plugin.call("take")


async def _through_a_gateway(lacking: Lacking, use: Callable[[Gateway, int], Awaitable[object]]) -> None:
    with socket.socket() as nobody, socket.socket() as somebody:
        for one in (nobody, somebody):
            one.bind(("127.0.0.1", 0))
        somebody.listen()  # and never answers
        ports = [one.getsockname()[1] for one in (nobody, somebody)]
        targets = tuple(f"{scheme}://127.0.0.1:{port}/*" for scheme in ("ws", "http") for port in ports)
        for port, lack in zip(ports, (contextlib.nullcontext, lacking), strict=True):
            gateway = Gateway("guest", NetworkPolicy(allow_private=True), targets, WebSocketConnector(), http_client)
            with contextlib.suppress(ConnectFailedError), lack():
                await use(gateway, port)


async def _connect(lacking: Lacking) -> None:
    await _through_a_gateway(
        lacking,
        lambda gateway, port: gateway.connect(f"ws://127.0.0.1:{port}/?token=s3cret", headers={}, subprotocol=None),
    )


async def _request(lacking: Lacking) -> None:
    await _through_a_gateway(
        lacking, lambda gateway, port: gateway.request("GET", f"http://127.0.0.1:{port}/?token=s3cret", {}, b"")
    )


async def _block(lacking: Lacking) -> None:
    plugin = blocking.open_plugin(WASM, name="guest")
    with lacking(), plugin:
        pass


WORK: dict[str, Callable[[Lacking], Awaitable[None]]] = {
    "open": _open,
    "call": _call,
    "call first": _call_first,
    "connect": _connect,
    "request": _request,
    "block": _block,
}


async def _main(lack: str, work: str) -> None:
    told: dict[str, object] = {"error": None}
    try:
        await WORK[work](LACKS[lack])
    except CompatError as error:
        facts = {name: value for name, value in vars(error).items() if isinstance(value, str)}
        told = {"error": type(error).__name__, **facts}
    except Exception as error:  # noqa: BLE001 - the test says what it should have been
        told = {"error": type(error).__name__, "message": str(error)}
    sys.stdout.write(json.dumps(told))
    sys.stdout.flush()
    os._exit(0)  # what is lacking may keep the interpreter from ending in order


if __name__ == "__main__":
    FOLDER = Path(sys.argv[3])
    asyncio.run(_main(*sys.argv[1:3]))
