"""Exports that answer garbage: each of those that are read, with everything that is no answer."""

from __future__ import annotations

import asyncio
import enum
import json
from collections.abc import Callable

import attrs
import pytest

from compat import CompatError, EventKind, StreamManager
from tests.hostile.guests import generic, legacy, put_out
from tests.hostile.rows import Row, hasty, impatient
from tests.hostile.scene import Hostile, Place, opened
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("all_given_back")

_NAMES = ("success", "error", "action", "data", "dataType", "sendMessage", "websocketUrl", "headers", "subprotocol",
          "initialMessages", "streamContext", "name", "version", "author", "streamTypes", "networkTargets", "resources",
          "fields")  # fmt: skip

#: What no export may answer.
UNUSABLE = {
    "no JSON": "neither here nor there",
    "zeros": "\0" * 10,
    "a number": "17",
    "a text": '"text"',
    "half an object": '{"success": true, "na',
    "a hundred thousand brackets": "[" * 100_000,
    "NaN": '{"success": NaN}',
}
#: What some read as nothing, or in part, and others refuse.
ODD = {
    "nothing": "",
    "null": "null",
    "a list": '[1, null, "a", {}, []]',
    "a number of 400 digits": "1" + "0" * 400,
    "an object in an object, and so on": '{"success":' * 20_000 + "1" + "}" * 20_000,
    "invalid UTF-8": '{"success": true, "name": "\xff\xfe"}',
    "half a surrogate pair": r'{"success": true, "error": "\ud800", "name": "\ud800"}',
    "objects for everything": json.dumps({name: {"a": [1]} for name in _NAMES}),
    "numbers for everything": json.dumps(dict.fromkeys(_NAMES, 17)),
    "lists of objects for everything": json.dumps({name: [{"a": 1}] for name in _NAMES}),
    "a field twice": '{"success": true, "success": false, "action": "send"}',
    "orders to a terminal": r'{"success": false, "error": "\u001b[2J\u0007"}',
}


class Follows(enum.Enum):
    """What follows if an export answers what it may not."""

    FAILURE = enum.auto()  # the stream fails, and the error names the export
    ERRORS = enum.auto()  # the stream goes on, and an event names the export each time
    PROBLEM = enum.auto()  # the plugin's metadata names it, and the stream goes on
    NOTHING = enum.auto()  # nobody needs its answer


@attrs.frozen
class Reader:
    """An export that is read.

    Attributes:
        make: Makes a plugin that has it.
        place: Where its body stands there.
        follows: What follows.
        export: Its name, if the place has another.
    """

    make: Callable[..., bytes]
    place: str
    follows: Follows
    export: str = attrs.Factory(lambda self: self.place, takes_self=True)

    def answering(self, text: str, code: int) -> Row:
        """A plugin whose export answers this, with this return code."""
        wasm = self.make(**{self.place: put_out(text) + f"(return (i32.const {code}))"})
        return Row(
            self.export,
            wasm,
            bounds=hasty(),
            progress=impatient(returned_after=0.05),
            config={"a": "b"},
        )


READERS = [
    Reader(generic, "meta", Follows.PROBLEM),
    Reader(generic, "get_configuration_fields", Follows.PROBLEM),
    Reader(generic, "get_rate_limits", Follows.PROBLEM),
    Reader(generic, "plugin_configure", Follows.NOTHING),
    Reader(generic, "start_stream", Follows.FAILURE),
    Reader(generic, "stop_stream", Follows.NOTHING),
    Reader(legacy, "get_credential_fields", Follows.PROBLEM),
    Reader(legacy, "get_rate_limits", Follows.PROBLEM),
    Reader(legacy, "set_credentials", Follows.NOTHING),
    Reader(legacy, "prepare", Follows.FAILURE, "prepare_stream"),
    Reader(legacy, "message", Follows.ERRORS, "handle_stream_message"),
    Reader(legacy, "stream_connection_event", Follows.ERRORS),
]
#: Without their answer nobody knows what the plugin may reach.
TARGETS = [Reader(generic, "plugin_info", Follows.FAILURE), Reader(legacy, "meta", Follows.FAILURE)]

_each = pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.make.__name__}:{reader.export}")


async def _read(hostile: Hostile, reader: Reader) -> None:
    """Read all that comes of three messages; the plugin fails on each of them if its answers to them are garbage."""

    def through() -> bool:
        asked = hostile.crossed["handle_stream_message"] if reader.place == "message" else 0
        return hostile.ended or hostile.delivered == 3 or asked == 3

    reading = asyncio.create_task(hostile.read())
    await until(through, "three messages are through")
    await hostile.close()
    await reading


@_each
@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
async def test_what_is_no_answer_is_told_with_the_export(reader: Reader, text: str) -> None:
    row = reader.answering(text, 0)
    async with StreamManager() as manager, opened(row, Place.ALONE, manager) as hostile:
        problems = (await hostile.plugin.info()).problems
        await _read(hostile, reader)
    if reader.follows is Follows.FAILURE:
        assert isinstance(hostile.error, CompatError)
        assert f"'hostile': the answer of {reader.export} is unusable" in hostile.error.message
        return
    assert hostile.error is None
    errors = [event.message for event in hostile.events if event.kind is EventKind.PLUGIN_ERROR]
    assert bool(errors) == (reader.follows is Follows.ERRORS)
    assert all(message.startswith(f"{reader.export}: ") for message in errors)
    assert bool(problems) == (reader.follows is Follows.PROBLEM)
    assert all(problem.startswith(f"{reader.export}: ") for problem in problems)
    assert hostile.delivered == (0 if reader.place == "message" else 3)


@_each
@pytest.mark.parametrize("code", [0, pytest.param(1, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
async def test_an_odd_answer_is_read_or_told_as_the_plugins_fault(reader: Reader, text: str, code: int) -> None:
    row = reader.answering(text, code)
    async with StreamManager() as manager, opened(row, Place.ALONE, manager) as hostile:
        await hostile.plugin.info()
        await _read(hostile, reader)
    assert hostile.error is None or "'hostile'" in hostile.error.args[0]
    assert all(line.isprintable() for line in hostile.log.lines)


@pytest.mark.parametrize("reader", TARGETS, ids=lambda reader: reader.export)
@pytest.mark.parametrize("text", UNUSABLE.values(), ids=UNUSABLE)
async def test_without_metadata_nothing_is_reached(reader: Reader, text: str) -> None:
    async with StreamManager() as manager, opened(reader.answering(text, 0), Place.ALONE, manager) as hostile:
        (problem,) = (await hostile.plugin.info()).problems
        await _read(hostile, reader)
    assert problem.startswith(f"{reader.export}: ")
    assert hostile.error is not None
    assert "may not reach wss://hostile.example/ws" in hostile.error.args[0]
    assert hostile.connector.asked == 0
