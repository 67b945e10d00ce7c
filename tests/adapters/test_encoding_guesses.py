"""Messages as text or in base64: plugins of both sides that are hard to tell apart."""

from __future__ import annotations

import pytest

from compat import Crossing, EventKind
from tests.support.echo import open_module
from tests.support.encodings import BASE64, IGNORED, ILLEGAL, TEXT, UNREADABLE, encoded, reads_base64, seen
from tests.support.guests import Answer
from tests.support.legacy import DATA, KEY, legacy, on
from tests.support.sockets import Connector
from tests.support.waiting import drain, told

pytestmark = pytest.mark.usefixtures("nothing_left")
OF_THE_SDK = Answer({"success": False, "action": "ignore", "error": "failed to parse stream message request"}, code=1)


async def test_a_plugin_that_wants_text_and_fails_once_is_told_to_have_failed_once() -> None:
    crossings: list[Crossing] = []
    odd = on("odd!", {"success": False, "error": "cannot read it"}, code=1)
    connector = Connector(lambda _: ["odd!", "tick!", "tick!"])
    wasm = legacy("command", odd, on("tick!", DATA))
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        assert (await plugin.info()).message_encoding is None
        await drain(stream, 2)
        assert (await plugin.info()).message_encoding is TEXT
    assert seen(crossings) == ["odd!", encoded("odd!"), "tick!", "tick!"]
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert event.message == "handle_stream_message: cannot read it"


@pytest.mark.parametrize("refusal", [UNREADABLE, ILLEGAL, OF_THE_SDK], ids=["no word", "base64", "the SDK's words"])
async def test_a_plugin_that_wants_base64_gets_the_message_it_refused_again(refusal: Answer) -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["tick!", "tick!", "hush!", b"\xff\xfe", "tick!"])
    wasm = reads_base64(refusal, on(encoded(b"\xff\xfe"), {"success": True, "action": "data", "data": "binary"}))
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 4)
        assert (await plugin.info()).message_encoding is BASE64
    assert seen(crossings) == [
        "tick!",
        *map(encoded, ("tick!", "tick!", "hush!")),
        encoded(b"\xff\xfe"),
        encoded("tick!"),
    ]
    assert [item.json() for item in items] == [*[DATA["data"]] * 2, "binary", DATA["data"]]
    assert stream.stats.plugin_errors == stream.stats.gaps == 0


async def test_a_refusal_that_is_only_ignored_in_base64_proves_nothing() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["hush!", "tick!", "tick!"])
    wasm = reads_base64(UNREADABLE)
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 2)
    assert seen(crossings) == ["hush!", encoded("hush!"), "tick!", *[encoded("tick!")] * 2]
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert "invalid request" in event.message


async def test_a_refusal_that_names_base64_proves_it_whatever_follows() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["hush!", "hush!", "bad!", "tick!"])
    wasm = reads_base64(ILLEGAL, on(encoded("bad!"), {"success": False, "error": "a bad message"}))
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        await drain(stream, 1)
    assert seen(crossings) == ["hush!", *map(encoded, ("hush!", "hush!", "bad!", "tick!"))]
    (event,) = await told(stream, EventKind.PLUGIN_ERROR)
    assert event.message.endswith("a bad message")


async def test_a_plugin_that_ignores_everything_wants_text_for_all_that_is_known() -> None:
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["one!", "two!", "end!"])
    wasm = legacy("command", on("end!", {"success": True, "action": "close"}))
    async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
        assert [item async for item in stream] == []
        assert (await plugin.info()).message_encoding is TEXT
    assert seen(crossings) == ["one!", "two!", "end!"]


async def test_a_message_that_is_valid_base64_itself_proves_nothing_and_is_not_lost() -> None:
    for wasm, forms in (
        (legacy("command", on("tick!", DATA)), ["data", "pong", encoded("pong"), "tick!", "pong"]),
        (
            reads_base64(UNREADABLE, on("pong", IGNORED), on("data", IGNORED), on(encoded("data"), DATA)),
            ["data", *map(encoded, ("data", "pong", "tick!", "pong"))],
        ),
    ):
        crossings: list[Crossing] = []
        connector = Connector(lambda _: ["data", "pong", "tick!", "pong"])
        async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
            items = await drain(stream, 2)
        assert [item.json() for item in items] == [DATA["data"]] * 2
        assert seen(crossings)[: len(forms) - 1] == forms[:-1]
        assert await told(stream, EventKind.GAP) == []


async def test_a_plugin_may_end_the_stream_by_the_message_that_it_refused_as_text() -> None:
    wasm = reads_base64(ILLEGAL, on(encoded("bye!"), {"success": True, "action": "close"}))
    connector = Connector(lambda _: ["bye!"])
    async with open_module(wasm, connector) as plugin, plugin.stream(KEY) as stream:
        assert [item async for item in stream] == []
    assert await told(stream, EventKind.PLUGIN_ERROR) == []


async def test_binary_messages_are_for_plugins_that_want_base64() -> None:
    binary = b"\xff\xfe"
    as_data = on(encoded(binary), DATA)
    # It is not known what it wants, and this message shows it.
    async with (
        open_module(reads_base64(UNREADABLE, as_data), Connector(lambda _: [binary, "tick!"])) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 2)
        assert stream.stats.gaps == 0
    # It is not known, and does not become so: whether something was lost cannot be known either.
    async with (
        open_module(legacy("command"), Connector(lambda _: [binary, "data"])) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
    (gap,) = await told(stream, EventKind.GAP)
    assert (gap.lost, gap.sequence) == (None, 0)
    # It wants text.
    async with (
        open_module(legacy("command"), Connector(lambda _: [binary, "data"]), message_encoding=TEXT) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
    (gap,) = await told(stream, EventKind.GAP)
    assert (gap.lost, gap.sequence) == (1, 0)
