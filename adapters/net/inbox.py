"""The messages of one connection that have come and were not read yet, put together of their fragments.

It stands in for the library's ``Assembler``, which queues frames: here a reader takes as many messages as there are,
and is woken once for all of them. Used on the event loop only.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from websockets.exceptions import ConcurrencyError, TooManyFragments
from websockets.frames import Frame, Opcode

__all__ = ["Inbox"]

_FRAGMENTS = 4096  # that one message may have


class Inbox:
    """A queue of messages, bounded by whoever fills it.

    Args:
        room: Called when messages were taken.

    Attributes:
        messages: Those that have come, in order; an exception where the next one cannot be read, as the last.
        size: Bytes of binary messages and characters of texts among them.
        broken: That exception, once it is in: what comes after it is dropped.
    """

    def __init__(self, room: Callable[[], None]) -> None:
        self.messages: deque[str | bytes | Exception] = deque()
        self.size = 0
        self.broken: Exception | None = None
        self._room = room
        self._closed = False
        self._waiter: asyncio.Future[None] | None = None
        self._fragments: list[Frame] = []

    def put(self, frame: Frame) -> None:
        """Add a data frame that the library has checked."""
        if self.broken is not None:
            return
        fragments = self._fragments
        fragments.append(frame)
        if len(fragments) > _FRAGMENTS:
            self.break_off(TooManyFragments(_FRAGMENTS))
        elif frame.fin:
            data = b"".join(fragment.data for fragment in fragments)
            is_text = fragments[0].opcode is Opcode.TEXT
            fragments.clear()
            try:
                message = data.decode() if is_text else data
            except UnicodeDecodeError as error:
                self.break_off(error)
            else:
                self.messages.append(message)
                self.size += len(message)
        self.wake()

    def break_off(self, error: Exception) -> None:
        """End the messages with an exception, which the reader meets after those that came before."""
        self.broken = error
        self._fragments.clear()
        self.messages.append(error)

    def wake(self) -> None:
        """Let the reader look, if one waits and there is anything."""
        waiter = self._waiter
        if waiter is not None and self.messages and not waiter.done():
            waiter.set_result(None)

    async def get(self, _: None = None) -> str | bytes:
        """The next message, as the library's ``recv`` wants it.

        Raises:
            EOFError: There is none to come.
            TooManyFragments, UnicodeDecodeError: It cannot be read.
            ConcurrencyError: Somebody waits already.
        """
        while not self.messages:
            if self._closed:
                raise EOFError
            if self._waiter is not None:
                raise ConcurrencyError("get() is already running")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self.messages.popleft()
        if isinstance(message, Exception):
            raise message
        self.size -= len(message)
        self._room()
        return message

    def take(self, most: int) -> list[str | bytes]:
        """The next messages, ``most`` at most, and none that would have to be waited for."""
        messages = self.messages
        taken: list[str | bytes] = []
        for _ in range(min(most, len(messages))):
            message = messages[0]
            if isinstance(message, Exception):
                break
            taken.append(message)
            messages.popleft()
        self.size -= sum(map(len, taken))
        if taken:
            self._room()
        return taken

    def close(self) -> None:
        """No more messages come; those that are there may still be taken."""
        self._closed = True
        self._room = _nothing  # for the connection, which is not needed any more
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _nothing() -> None:
    return None
