"""The messages of one legacy connection on their way through the plugin's shared guest, batch by batch.

    socket ──read──▶ what waits ──▶ two batches at most on the guest's thread ──▶ answers, obeyed in order ──▶ feed

A batch has as many messages as the guest handles in about a millisecond: the streams that share it wait no longer for
each other. While one is being handled the next stands in line on the guest's thread, which so never waits for the event
loop. An answer that asks for something of the connection, and every failure, ends its batch where it stands: what comes
after it is given to the guest once it has been obeyed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import msgspec

from adapters.answers import Action, Answer, JudgedAnswer, judged
from adapters.bounds import Bounds
from adapters.channel import Channel, Item
from adapters.companion.pace import Pace
from adapters.contract import EventKind
from adapters.encoding import Encoder, encoded
from adapters.feed import Feed
from adapters.heartbeat import Heart
from adapters.plugin_info import MessageEncoding
from detectors.errors import CompatError

if TYPE_CHECKING:
    from adapters.runtime.guest import Guest

__all__ = ["MESSAGE", "Pump", "Requests"]

#: The export that takes messages.
MESSAGE = "handle_stream_message"

_IN_LINE = 2  # batches on the guest's thread: one that is handled, and the next
_READ = 64  # messages that are read at once
_MOST_WAITING = 2**20  # characters of messages, until the socket is not read any more
_LARGEST_BATCH = 2**18  # bytes of requests; a larger message is given alone


@attrs.frozen
class Requests:
    """What the messages of one connection are wrapped in for the plugin.

    Attributes:
        head: JSON up to the message.
        tail: JSON after it.
    """

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, names: dict[str, Any], context: Any) -> Requests:
        """Return them for these fields, and what the plugin wants to be given back with every message, if anything."""
        also = {"messageType": "data"} if context is None else {"messageType": "data", "streamContext": context}
        encode = msgspec.json.encode
        return cls(encode(names)[:-1] + b',"message":', b"," + encode(also)[1:])

    def wrap(self, text: str) -> bytes:
        """Return the request for one message."""
        return self.head + msgspec.json.encode(text) + self.tail


@attrs.frozen
class _Message:
    body: str | bytes  # bytes where it is no UTF-8
    received_at: int


@attrs.frozen
class _Batch:
    """Messages that stand in line on the guest's thread, and what will have become of them."""

    messages: Sequence[_Message]
    answers: Future[tuple[list[JudgedAnswer], CompatError | None]]
    since: float


class Pump:
    """Reads one connection, and pushes what comes.

    Args:
        channel: The stream's.
        feed: Where items go.
        heart: The connection.
        guest: What messages are given to.
        encoder: Says in which form.
        requests: What they are wrapped in.
        bounds: How long the guest may take for one.
        obey: Does what an answer asks of the connection, and tells its failure: see ``LegacyDriver``.
        redact: Takes secrets out of what the plugin says.

    Attributes:
        heart: As given.
        taken: Messages that have come, but for heartbeats.
    """

    def __init__(
        self,
        *,
        channel: Channel,
        feed: Feed,
        heart: Heart,
        guest: Guest,
        encoder: Encoder,
        requests: Requests,
        bounds: Bounds,
        obey: Callable[[str, JudgedAnswer], Answer | None],
        redact: Callable[[str], str],
    ) -> None:
        self.taken = 0
        self._channel = channel
        self._feed = feed
        self.heart = heart
        self._guest = guest
        self._encoder = encoder
        self._requests = requests
        self._bounds = bounds
        self._obey = obey
        self._redact = redact
        self._pace = Pace()
        self._waiting: deque[_Message] = deque()
        self._characters = 0  # of what waits
        self._alone_since: float | None = None  # one message is given that cannot be one of a batch
        self._in_line: deque[_Batch] = deque()
        self._halted = False  # the guest's thread passes over what stands in line
        self._lost: CompatError | None = None
        self._news = asyncio.Event()  # something waits, or nothing will come any more
        self._room = asyncio.Event()

    @property
    def busy(self) -> float:
        """Seconds for which the oldest message that was given to the guest has been dealt with; 0: there is none."""
        since = self._in_line[0].since if self._in_line else self._alone_since
        return 0.0 if since is None else self._channel.monotonic() - since

    async def read(self) -> None:
        """Read the connection until it is lost, or the heartbeat is."""
        try:
            while True:
                received = await self.heart.receive_many(_READ)
                received_at = self._channel.clock()
                for message in received:
                    body = message
                    with contextlib.suppress(UnicodeDecodeError):
                        body = message if isinstance(message, str) else message.decode()
                    if isinstance(body, bytes) or not await self.heart.takes(body):
                        self._waiting.append(_Message(body, received_at))
                        self._characters += len(body)
                        self.taken += 1
                self._fill()
                self._news.set()
                while self._is_full():
                    self._room.clear()
                    await self._room.wait()
        except CompatError as error:
            self._lost = error
            self._news.set()

    async def push(self) -> NoReturn:
        """Push what comes, and obey the answers.

        Raises:
            CompatError: The connection was lost, and all that had come was pushed; or the guest broke.

        And what ``obey`` raises.
        """
        try:
            while True:
                if self._in_line:
                    await self._take()
                elif self._waiting:
                    await self._give_alone(self._next())
                elif self._lost is not None:
                    raise self._lost
                else:
                    self._news.clear()
                    await self._news.wait()
                self._fill()
                if not self._is_full():
                    self._room.set()
        finally:
            self._halted = True

    def _is_full(self) -> bool:
        """Whether another batch waits already, so that the socket is not read any more."""
        return len(self._waiting) >= self._pace.most or self._characters >= _MOST_WAITING

    def _next(self) -> _Message:
        message = self._waiting.popleft()
        self._characters -= len(message.body)
        return message

    def _fill(self) -> None:
        """Let batches stand in line; messages of which it is not known how to give them are not among them."""
        form = self._form() if self._alone_since is None else None
        while form is not None and self._waiting and len(self._in_line) < _IN_LINE and not self._halted:
            messages: list[_Message] = []
            requests: list[bytes] = []
            size = 0
            while self._waiting and len(messages) < self._pace.most and size < _LARGEST_BATCH:
                request = form(self._waiting[0].body)
                if request is None:
                    break
                messages.append(self._next())
                requests.append(request)
                size += len(request)
            if not messages:
                return
            answers = self._guest.submit(
                functools.partial(self._give, requests), MESSAGE, timeout=self._bounds.message_timeout
            )
            self._in_line.append(_Batch(messages, answers, self._channel.monotonic()))

    def _form(self) -> Callable[[str | bytes], bytes | None] | None:
        """How a message is written; ``None``: that is not known yet. What cannot be written is ``None``, too."""
        known = self._encoder.known()
        if known == MessageEncoding.TEXT:
            return lambda body: self._requests.wrap(body) if isinstance(body, str) else None
        if known == MessageEncoding.BASE64:
            return lambda body: self._requests.wrap(encoded(body) if body != "" else "")
        return None

    def _give(self, requests: list[bytes]) -> tuple[list[JudgedAnswer], CompatError | None]:
        """Give messages to the guest, on its thread. Returns what it answered, and what broke it."""
        answers: list[JudgedAnswer] = []
        if self._halted:
            return answers, None
        begun, guest, broken = time.perf_counter(), self._guest, None
        try:
            while len(answers) < len(requests) and (not answers or answers[-1].plain):
                for outcome in guest.enter_many(MESSAGE, requests[len(answers) :]):
                    guest.require_whole(MESSAGE, outcome)
                    answers.append(judged(outcome, guest.reason_of, self._redact, silence_fails=True))
        except CompatError as error:
            broken = error
        self._pace.took(len(answers), time.perf_counter() - begun)
        if not _goes_on(requests, answers):
            self._halted = True
        return answers, broken

    async def _take(self) -> None:
        """Take what has become of the batch that was first in line."""
        batch = self._in_line[0]
        answers, broken = await asyncio.wrap_future(batch.answers)
        self._in_line.popleft()
        self._fill()  # before anything else: the guest goes on
        await self._take_answers(batch.messages, answers)
        if broken is not None:
            raise broken
        if not _goes_on(batch.messages, answers):
            await self._take_back(batch.messages[len(answers) :])

    async def _take_back(self, left: Sequence[_Message]) -> None:
        """Let messages that a batch has left wait again, and those of the batches behind it, which were passed over."""
        passed_over = list(self._in_line)
        self._in_line.clear()
        if passed_over:
            await asyncio.wait([asyncio.wrap_future(batch.answers) for batch in passed_over])
        left = [*left, *(message for batch in passed_over for message in batch.messages)]
        self._waiting.extendleft(reversed(left))
        self._characters += sum(len(message.body) for message in left)
        self._halted = False

    async def _take_answers(self, messages: Iterable[_Message], answers: Iterable[JudgedAnswer]) -> None:
        items: list[Item] = []
        plain: JudgedAnswer | None = None
        for message, reply in zip(messages, answers, strict=False):
            if reply.plain:
                plain = reply
                if reply.answer.action == Action.DATA:
                    items.append(self._item(reply.answer, message))
                continue
            await self._write(items, plain)  # what is told now stands behind them
            items, plain = [], None
            await self._obeyed(reply)
        await self._write(items, plain)

    async def _write(self, items: Sequence[Item], plain: JudgedAnswer | None) -> None:
        if plain is not None:
            self._obey(MESSAGE, plain)  # one of them says that the plugin works
        if items:
            await self._feed.write_here(items)

    def _item(self, answer: Answer, message: _Message) -> Item:
        key = self._channel.key
        return Item(key, answer.data_type or key.type, bytes(answer.data), message.received_at)

    async def _obeyed(self, reply: JudgedAnswer) -> None:
        answer = self._obey(MESSAGE, reply)
        if answer is None and reply.silent:  # it may not even have looked at it
            self._feed.tell(EventKind.GAP, "an item may be missing: the plugin answered nothing to a message")
        if answer is not None and answer.action == Action.SEND:
            await self.heart.send(answer.send_message)

    async def _give_alone(self, message: _Message) -> None:
        """Give one message of which it is not known how, in one form or both; or one that cannot be given at all."""
        self._alone_since = self._channel.monotonic()
        try:
            reply = await self._encoder.deliver(message.body, self._ask)
            if reply is None:
                self._tell_unreadable()
            else:
                await self._take_answers([message], [reply])
        finally:
            self._alone_since = None

    async def _ask(self, text: str) -> JudgedAnswer:
        request = self._requests.wrap(text)
        outcome = await self._guest.attempt(MESSAGE, request, timeout=self._bounds.message_timeout)
        return judged(outcome, self._guest.reason_of, self._redact, silence_fails=True)

    def _tell_unreadable(self) -> None:
        if self._encoder.known() == MessageEncoding.TEXT:
            self._feed.tell(EventKind.GAP, "a binary message is no UTF-8 text and was dropped", lost=1)
        else:
            problem = "a binary message is no UTF-8 text, and it is not known whether the plugin reads base64"
            self._feed.tell(EventKind.GAP, problem)


def _goes_on(batch: Sequence[object], answers: Sequence[JudgedAnswer]) -> bool:
    """Whether a batch was handled to its end, and nothing has to be done before the next one."""
    return len(answers) == len(batch) and answers[-1].plain
