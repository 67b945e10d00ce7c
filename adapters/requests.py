"""Requests: what is asked of a plugin that is no stream, in the same words whatever the plugin's kind and dialect.

A plugin that exports ``handle_command`` takes every command by it. The others answer a few commands by exports of their
own, and the table ``EXPORTS`` says which. All runs on the control guest, one request after the other; streams have
guests of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs
import msgspec

from adapters.arguments import MAPPING, TEXT, Rule, at_least
from adapters.contract import Reply
from adapters.errors import (
    PluginCallError,
    PluginProtocolError,
    RequestFailedError,
    StreamUsageError,
    UnknownCommandError,
)
from adapters.lenient import Lenient
from adapters.replies import KeptReplies, Question, lifetime
from adapters.runtime.errors import PluginTimeoutError
from detectors.wording import shown

if TYPE_CHECKING:
    from adapters.host import PluginHost

__all__ = ["COMMANDS_EXPORT", "EXPORTS", "Requests", "Route", "route"]

COMMANDS_EXPORT = "handle_command"

#: The commands that have an export of their own, in the callback dialect and in generic plugins.
EXPORTS: dict[str, str] = {
    "getMarkets": "list_markets",
    "getTimeframes": "get_timeframes",
    "getOHLCV": "get_ohlcv",
}

_ARGUMENTS: dict[str, Rule] = {
    "name": TEXT,
    "params": MAPPING.or_none(),
    "timeout": at_least(0, "seconds", endless=True),
}

_BUSY = "Other calls to the plugin came first; give it a longer timeout"


@attrs.frozen
class _Answer:
    """What a plugin answered, read.

    Attributes:
        data: The payload, raw JSON.
        response_type: What it is called.
        keep_for: What it says of how long it holds.
        refused: Why the plugin refused, if it did; its reason may be empty.
    """

    data: bytes = b""
    response_type: str = ""
    keep_for: object = None
    refused: str | None = None


@attrs.frozen
class Route:
    """The way by which a plugin takes a command.

    Attributes:
        export: The export to call.
        write: Makes its input of the command's name and params.
        read: Reads its output; raises ``ValueError`` if it is not what the interface asks for.
    """

    export: str
    write: Callable[[str, Mapping[str, Any]], bytes]
    read: Callable[[bytes], _Answer]


def route(plugin: str, command: str, exports: tuple[str, ...]) -> Route:
    """The way by which a plugin takes a command.

    Args:
        plugin: The plugin's name.
        command: The command's name.
        exports: The functions that the module exports.

    Raises:
        UnknownCommandError: There is none.
    """
    if COMMANDS_EXPORT in exports:
        return Route(COMMANDS_EXPORT, _write_command, _read_response)
    export = EXPORTS.get(command)
    if export is None or export not in exports:
        raise UnknownCommandError(plugin, command, tuple(name for name, own in EXPORTS.items() if own in exports))
    return Route(export, _write_params, _read_output)


def _write_command(name: str, params: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode({"name": name, "params": dict(params)})


def _write_params(_: str, params: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(dict(params))


class _Response(msgspec.Struct, rename="camel"):
    """``{"result": bool, "responseType"?, "data"?, "error"?, "cacheForSeconds"?}``; the payload stays undecoded."""

    result: Any = None
    success: Any = None
    response_type: Any = None
    data: msgspec.Raw = msgspec.Raw()
    error: Any = None
    cache_for_seconds: Any = None


class _Marker(msgspec.Struct):
    """As much of a StreamMarker as tells that it is one."""

    stream: Any = msgspec.field(name="_stream", default=None)


_decode_response = Lenient(_Response).decode
_decode_marker = Lenient(_Marker).decode
_decode_raw = Lenient(msgspec.Raw).decode


def _read_response(output: bytes) -> _Answer:
    """Read the answer of ``handle_command``."""
    response = _decode_response(output)
    if response.result is False or response.success is False:
        return _Answer(refused=_text(response.error))
    data = bytes(response.data)
    if response.result is not True and response.success is not True and not data:
        msg = "it has neither a result nor data"
        raise ValueError(msg)
    kind = response.response_type if isinstance(response.response_type, str) else ""
    return _Answer(data or b"null", kind, response.cache_for_seconds)


def _read_output(output: bytes) -> _Answer:
    """Read the answer of an export of its own: the payload itself, or an object around it as in a response."""
    data = bytes(_decode_raw(output)).strip()
    if data.startswith(b"{"):
        response = _decode_response(data)
        if response.result is False or response.success is False:
            return _Answer(refused=_text(response.error))
        if bytes(response.data) and (response.result is True or response.success is True):
            return _Answer(bytes(response.data), keep_for=response.cache_for_seconds)
    return _Answer(data)


def _text(error: object) -> str:
    return error if isinstance(error, str) else "" if error is None else msgspec.json.encode(error).decode()


def _opens_stream(answer: _Answer) -> bool:
    """Whether it is a StreamMarker. ``responseType`` is missing in older plugins; ``_stream`` is the mark."""
    if answer.response_type == "StreamMarker":
        return True
    if not answer.data.startswith(b"{"):
        return False
    return _decode_marker(answer.data).stream is True


class Requests:
    """The requests to one plugin: its rate limits obeyed, its answers kept for as long as it says.

    Args:
        host: The plugin.
        kept: The answers that are kept.
    """

    def __init__(self, host: PluginHost, kept: KeptReplies | None = None) -> None:
        self._host = host
        self._kept = kept or KeptReplies()
        self._asking: dict[Question, _Turn] = {}
        self._told_of_lifetime = False

    async def request(self, name: str, params: Mapping[str, Any] | None, *, timeout: float, fresh: bool) -> Reply:
        """Ask the plugin; see ``contract.StreamAdapter.request``."""
        for (argument, rule), value in zip(_ARGUMENTS.items(), (name, params, timeout), strict=True):
            rule.check(value, "request", argument, of=f"plugin {self._host.name!r}", error=StreamUsageError)
        way = route(self._host.name, name, self._host.exports())
        question = self._question(name, params or {})
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        # The guest's own deadline holds for a call that runs; this one is for whoever waits before that.
        try:
            async with asyncio.timeout_at(deadline + self._host.settings.bounds.overdue_after), self._turn(question):
                kept = None if fresh else self._kept.get(question)
                if kept is not None:
                    return kept
                await self._host.limits.acquire(name, max(0.0, deadline - loop.time()))
                answer = await self._ask(way, name, params or {}, deadline - loop.time())
                return self._take(way, question, answer)
        except PluginTimeoutError as error:
            if error.export != way.export:
                raise
            # It was given what was left of the time, which is not what the caller knows.
            raise PluginTimeoutError(self._host.name, way.export, timeout) from error
        except TimeoutError:
            raise PluginTimeoutError(self._host.name, way.export, timeout, remedy=_BUSY) from None

    def _question(self, name: str, params: Mapping[str, Any]) -> Question:
        try:
            return Question(name, msgspec.json.encode(dict(params), order="sorted"))
        except (TypeError, ValueError, RecursionError) as error:
            msg = f"plugin {self._host.name!r}: the params of {name!r} cannot be written as JSON: {error}"
            raise StreamUsageError(msg, remedy="Give texts, numbers, lists and mappings with texts as names") from None

    @contextlib.asynccontextmanager
    async def _turn(self, question: Question) -> AsyncIterator[None]:
        """One after the other for those who ask the same at the same time: the first answer may serve them all.

        They do not share the call itself. An order that is given twice is meant twice.
        """
        turn = self._asking.setdefault(question, _Turn())
        turn.users += 1
        try:
            async with turn.lock:
                yield
        finally:
            turn.users -= 1
            if not turn.users:
                del self._asking[question]

    async def _ask(self, way: Route, name: str, params: Mapping[str, Any], timeout: float) -> _Answer:
        if timeout <= 0:  # a call that could not end in time would cost the guest
            raise TimeoutError
        live = await self._host.shared("control")
        try:
            answer = way.read(await live.guest.call(way.export, way.write(name, params), timeout=timeout))
        except PluginCallError as error:
            raise self._refused(name, error.reason) from error
        except (ValueError, RecursionError) as error:  # msgspec's errors are ValueErrors
            raise PluginProtocolError(self._host.name, way.export, self._host.redact(str(error))) from error
        if answer.refused is not None:
            raise self._refused(name, self._host.redact(answer.refused))
        return answer

    def _refused(self, name: str, reason: str) -> RequestFailedError:
        # Which commands a plugin takes by handle_command is not known; a slip of the finger in a common one is.
        close = [] if name in EXPORTS else difflib.get_close_matches(name, EXPORTS, n=1, cutoff=0.8)
        remedy = f"Did you mean {close[0]!r}?" if close else ""
        return RequestFailedError(self._host.name, name, reason, remedy=remedy)

    def _take(self, way: Route, question: Question, answer: _Answer) -> Reply:
        """Judge an answer, and keep it for as long as the plugin says."""
        if _opens_stream(answer):
            msg = f"the command {question.command!r} of plugin {self._host.name!r} opens a stream: it is no request"
            raise StreamUsageError(msg, remedy="Use plugin.stream(key), which connects and delivers what it carries")
        reply = Reply(answer.data, answer.response_type)
        seconds = lifetime(answer.keep_for)
        if seconds is None and not self._told_of_lifetime:
            self._told_of_lifetime = True
            said = shown(self._host.redact(repr(answer.keep_for)))
            self._host.logger.warning(
                "%s: cacheForSeconds of %s is no number of seconds and is ignored: %s",
                way.export,
                question.command,
                said,
            )
        self._kept.put(question, reply, seconds or 0.0)
        return reply


@attrs.define(eq=False)
class _Turn:
    """Those who ask one question at the same time."""

    lock: asyncio.Lock = attrs.field(factory=asyncio.Lock)
    users: int = 0
