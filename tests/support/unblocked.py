"""What blocks an event loop, found where it is called: reading files, sleeping, waiting for threads, resolving names.

Every loop of the process is watched, also one on a thread of its own, as the blocking facade has.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from blockbuster import BlockBuster, BlockBusterFunction, BlockingError

__all__ = ["ALLOWED", "unblocked"]

#: Where it may be blocked: the end of a file's name, and a function in it. Everything that is called from there may.
ALLOWED = (
    # After a TLS handshake has failed: two looks at whether the file that the environment names is there.
    ("adapters/net/problems.py", "_unreadable"),
    # What a handler of the standard library's logging does is its owner's business. Here it is pytest's.
    ("logging/__init__.py", "emit"),
    # A traceback is formatted, with its lines.
    ("linecache.py", "updatecache"),
    # A loop that ends waits for its pool.
    ("asyncio/base_events.py", "shutdown_default_executor"),
    # A process that is started by asyncio; what it says is waited for without blocking.
    ("asyncio/unix_events.py", "_start"),
    # The measurement of coverage, whose lock is held for a moment by whichever thread enters a file first.
    ("coverage/collector.py", "lock_data"),
    ("coverage/collector.py", "unlock_data"),
    # An import; which modules are imported on the loop depends on which tests came before.
    ("<frozen importlib._bootstrap>", "acquire"),
    ("<frozen importlib._bootstrap_external>", "get_data"),
    # These tests themselves: they call the blocking facade, and list what the process holds.
    ("tests/support/flavours.py", "_open_on_threads"),
    ("tests/support/flavours.py", "stream"),
    ("tests/support/flavours.py", "events"),
    ("tests/support/resources.py", "_sockets"),
)


def _never(*_: object, **__: object) -> bool:
    return False


def _does_not_wait(_: object, block: bool = True, timeout: float | None = None) -> bool:
    return not block or timeout == 0


def _has_ended(thread: Any, *_: object, **__: object) -> bool:
    return not thread.is_alive()


#: What blocks and the library does not look for, by what says that a call does not block after all.
MORE: dict[str, Callable[..., bool]] = {
    "io.FileIO.read": _never,
    "io.FileIO.readall": _never,
    "io.FileIO.readinto": _never,
    "io.FileIO.write": _never,
    "queue.SimpleQueue.get": _does_not_wait,
    "socket.getaddrinfo": _never,
    "socket.gethostbyname": _never,
    "ssl.SSLContext.load_cert_chain": _never,
    "ssl.SSLContext.load_default_certs": _never,
    "ssl.SSLContext.load_verify_locations": _never,
    "ssl.SSLContext.set_default_verify_paths": _never,
    "subprocess.Popen.__init__": _never,
    "threading.Thread.join": _has_ended,
}


def _watch() -> BlockBuster:
    watch = BlockBuster()
    for name, harmless in MORE.items():
        watch.functions[name] = BlockBusterFunction(None, name, can_block_predicate=harmless)
    for function in watch.functions.values():
        for file, name in ALLOWED:
            function.can_block_in(file, name)
    return watch


@contextlib.contextmanager
def unblocked() -> Iterator[list[str]]:
    """Let every call fail that blocks an event loop within; fail at the end for one whose failure was swallowed.

    Yields:
        What was called, and from where; whoever takes one out forgives it.
    """
    found: list[str] = []
    make = BlockingError.__init__

    def note(error: BlockingError, function: str) -> None:
        make(error, function)
        found.append(f"{function}\n{''.join(traceback.format_list(traceback.extract_stack()[:-2]))}")

    watch = _watch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BlockingError, "__init__", note)
        watch.activate()
        try:
            yield found
        finally:
            watch.deactivate()
    assert not found, "an event loop was blocked by " + "\nand by ".join(found)
