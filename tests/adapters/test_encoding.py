"""Messages as text or in base64: the rules, the memory, and plugins of both sides that are hard to tell apart."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Callable
from itertools import product
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import encoding
from adapters.encoding import AFTER_BASE64, AFTER_TEXT, Encoder, Taken, declared, took
from adapters.legacy import legacy_adapter
from adapters.recent import Recent
from adapters.shared import PROCESS
from compat import AdapterSettings, Crossing, EventKind, MessageEncoding, NetworkPolicy, inspect
from compat.demo.exchange import Exchange
from detectors.toolchain import Sdk, Toolchain
from tests.support.echo import open_module
from tests.support.guests import Answer
from tests.support.legacy import DATA, KEY, asked, breaking, legacy, on
from tests.support.plugins import FIXTURES, PluginFixture, wat
from tests.support.simex import candle_of, candles, open_against
from tests.support.sockets import Connector
from tests.support.waiting import drain, told

pytestmark = pytest.mark.usefixtures("nothing_left")

TEXT, BASE64 = MessageEncoding.TEXT, MessageEncoding.BASE64
SDK = "github.com/plusev-terminal/go-plugin-common"
IGNORED = {"success": True, "action": "ignore"}
UNREADABLE = Answer({"success": False, "error": "invalid request"}, code=1)
ILLEGAL = Answer({"success": False, "error": "illegal base64 data at input byte 0"}, code=1)
OF_THE_SDK = Answer({"success": False, "action": "ignore", "error": "failed to parse stream message request"}, code=1)
COMMANDS = [fixture for fixture in FIXTURES if fixture.id.startswith("legacy-command")]


def encoded(message: str | bytes) -> str:
    return base64.b64encode(message.encode() if isinstance(message, str) else message).decode()


def reads_base64(refusal: Answer, *script: Answer) -> bytes:
    """A plugin that finds ``tick!`` and ``hush!`` in base64 only and refuses everything else in these words."""
    return legacy("command", *script, on(encoded("tick!"), DATA), on(encoded("hush!"), IGNORED), refusal)


def seen(crossings: list[Crossing]) -> list[str]:
    return [request["message"] for request in asked(crossings, "handle_stream_message")]


# The rules


def test_the_tables_say_what_follows_from_everything_that_can_happen() -> None:
    assert set(AFTER_TEXT) == set(product((False, True), Taken))
    assert set(AFTER_BASE64) == set(product((*Taken, None), Taken))
    assert {verdict.proven for verdict in AFTER_TEXT.values()} == {TEXT, None}
    assert {verdict.proven for verdict in AFTER_BASE64.values()} == {BASE64, None}
    assert not any(verdict.proven for (either, _), verdict in AFTER_TEXT.items() if either)
    for verdict in (*AFTER_TEXT.values(), *AFTER_BASE64.values()):
        assert verdict.counts or verdict.proven is None


@pytest.mark.parametrize(
    ("failed", "reason", "answered", "taken"),
    [
        (False, "", True, Taken.ANSWERED),
        (False, "", False, Taken.ACCEPTED),
        (True, "", False, Taken.REFUSED),
        (True, "no such market", True, Taken.REFUSED),
        (True, "illegal base64 data at input byte 0", False, Taken.MISREAD),
        (True, "Invalid Base-64", False, Taken.MISREAD),
        (True, "failed to parse stream message request", False, Taken.MISREAD),
    ],
)
def test_an_answer_is_judged_by_its_failure_and_its_words(
    failed: bool, reason: str, answered: bool, taken: Taken
) -> None:
    assert took(failed=failed, reason=reason, answered=answered) is taken


@pytest.mark.parametrize(
    ("version", "wanted"),
    [
        ("v0.0.0-20251225235959-abcdef012345", TEXT),
        ("v0.0.0-20251227000000-abcdef012345", BASE64),
        ("v0.0.0-20251226120000-abcdef012345", None),  # of the day itself: before or after?
        ("v1.2.4-0.20250901000000-abcdef012345", TEXT),
        ("v1.2.3-rc.1.0.20260301000000-abcdef012345", BASE64),
        ("v2.0.0-20260301000000-abcdef012345+incompatible", BASE64),
        ("v1.2.3", None),
        ("v1.2.3-20260301000000", None),
        ("v1.2.3-beta", None),
        ("(devel)", None),
        ("v0.0.0-20269901000000-abcdef012345", None),
        ("v0.0.0-20260301000000-abcdef012345 ", None),
        ("", None),
    ],
)
def test_only_the_time_of_a_pseudo_version_tells_what_the_sdk_expects(
    version: str, wanted: MessageEncoding | None
) -> None:
    report = inspect(wat("traps"))
    for name, expected in ((SDK, wanted), ("github.com/extism/go-pdk", None)):
        built = attrs.evolve(report, toolchain=Toolchain("Go", None, (Sdk(name, version),)))
        assert declared(built) is expected
    assert declared(attrs.evolve(report, toolchain=None)) is None


@pytest.mark.parametrize(
    ("text", "either"),
    [
        ("", True),
        ("data", True),
        ("1234", True),
        ("bnVsbA==", True),
        ("bnVs\r\nbA==", True),
        ("other", False),
        ("tick!", False),
        ("a-_b", False),
        ("{}", False),
        ('{"event":"ping"}', False),
        ("dätä", False),
    ],
)
def test_what_can_be_read_as_base64_is_known(text: str, either: bool) -> None:
    assert encoding._is_base64(text) is either


# The memory


_numbers = itertools.count()  # no two examples are about the same module


# Whatever a plugin does, it reads each message once


@attrs.define
class Model:
    """A plugin that reads one form, as plugins of that side do; what it makes of a message is drawn.

    Attributes:
        wants: The form.
        draw: Chooses one of several.
        read: What it read.
    """

    wants: MessageEncoding
    draw: Callable[[list[Taken]], Taken]
    message: str | bytes = ""
    read: list[str | bytes] = attrs.field(factory=list)

    async def take(self, form: str) -> Reply:
        if not form or (form == self.message) is (self.wants is TEXT):
            self.read.append(self.message)
            return Reply(self.draw([Taken.ANSWERED, Taken.ACCEPTED, Taken.REFUSED]), meant=True)
        if self.wants is TEXT:
            return Reply(self.draw([Taken.ACCEPTED, Taken.REFUSED]), meant=False)
        noise = [Taken.ACCEPTED, Taken.REFUSED] if encoding._is_base64(form) else [Taken.REFUSED, Taken.MISREAD]
        return Reply(self.draw(noise), meant=False)


@attrs.frozen
class Reply:
    taken: Taken
    meant: bool


MESSAGES = st.lists(
    st.sampled_from(["tick!", "{}", "data", "", "1234", b"\xff\xfe"]) | st.text(max_size=6), max_size=12
)


@given(st.sampled_from([TEXT, BASE64]), MESSAGES, st.data())
def test_a_plugin_reads_every_message_once_and_in_order_and_its_data_counts(
    wants: MessageEncoding, messages: list[str | bytes], data: st.DataObject
) -> None:
    async def scenario() -> None:
        encoder, model = (
            Encoder(f"{next(_numbers)}", None, Recent(1)),
            Model(wants, lambda choice: data.draw(st.sampled_from(choice))),
        )
        for message in messages:
            model.message = message
            counted, before = await encoder.deliver(message, model.take), len(model.read)
            assert counted is None or counted.taken is not Taken.ANSWERED or counted.meant
            assert before == len(model.read)
            assert encoder.known() in (wants, None)
        assert model.read == [m for m in messages if wants is BASE64 or isinstance(m, str)]

    asyncio.run(scenario())


@pytest.mark.parametrize(("shown", "counts"), [(TEXT, "odd!"), (BASE64, encoded("odd!"))])
async def test_what_another_stream_shows_meanwhile_is_believed(shown: MessageEncoding, counts: str) -> None:
    replies: dict[str, Reply] = {}
    proven = Recent[MessageEncoding](1)

    async def give(form: str) -> Reply:
        proven.put("digest", shown)
        taken = Taken.REFUSED if form == "odd!" else Taken.ACCEPTED
        return replies.setdefault(form, Reply(taken, meant=True))

    assert await Encoder("digest", None, proven).deliver("odd!", give) is replies[counts]
    assert list(replies) == list(dict.fromkeys(["odd!", counts]))


# Plugins that are hard to tell apart


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


# Who decides


async def test_what_was_proven_is_known_to_all_plugins_of_the_module_and_after_a_reconnect() -> None:
    crossings: list[Crossing] = []
    wasm = reads_base64(ILLEGAL)
    connector = Connector(lambda number: breaking("tick!") if number == 0 else ["tick!"])
    for _ in range(2):
        async with open_module(wasm, connector, observer=crossings.append) as plugin, plugin.stream(KEY) as stream:
            await drain(stream, 2 if connector.asked == 0 else 1)
    assert seen(crossings) == ["tick!", *[encoded("tick!")] * 3]


@pytest.mark.parametrize("chosen", MessageEncoding)
async def test_the_user_decides_over_everything_else(chosen: MessageEncoding) -> None:
    crossings: list[Crossing] = []
    messages = {TEXT: "tick!", BASE64: encoded("tick!")}
    wasm = legacy("command", *(on(form, DATA) for form in messages.values()))
    PROCESS.encodings.put(inspect(wasm).sha256, TEXT if chosen is BASE64 else BASE64)
    settings: dict[str, Any] = {"message_encoding": chosen, "observer": crossings.append}
    async with (
        open_module(wasm, Connector(lambda _: ["tick!"]), **settings) as plugin,
        plugin.stream(KEY) as stream,
    ):
        assert (await plugin.info()).message_encoding is chosen
        await drain(stream, 1)
    assert seen(crossings) == [messages[chosen]]


async def test_the_sdks_version_decides_before_the_first_message() -> None:
    wasm = reads_base64(UNREADABLE)
    built_with = Toolchain("Go", None, (Sdk(SDK, "v0.0.0-20260301000000-abcdef012345"),))
    report = attrs.evolve(inspect(wasm), toolchain=built_with)
    crossings: list[Crossing] = []
    connector = Connector(lambda _: ["hush!", "tick!"])
    policy = NetworkPolicy(allow_private=True)
    settings = AdapterSettings(connector=connector, observer=crossings.append, policy=policy)
    adapter = legacy_adapter("p", wasm, report, settings)
    try:
        assert (await adapter.info()).message_encoding is BASE64
        async with adapter.stream(KEY) as stream:
            await drain(stream, 1)
    finally:
        await adapter.aclose()
    assert seen(crossings) == [encoded("hush!"), encoded("tick!")]


async def test_other_kinds_of_plugins_have_no_encoding_to_tell() -> None:
    crossings: list[Crossing] = []
    settings: dict[str, Any] = {"message_encoding": BASE64, "observer": crossings.append}
    async with (
        open_module(legacy("callback"), Connector(lambda _: ["data"]), **settings) as plugin,
        plugin.stream(KEY) as stream,
    ):
        await drain(stream, 1)
        assert (await plugin.info()).message_encoding is None
    assert seen(crossings) == ["data"]
    generic = next(fixture for fixture in FIXTURES if fixture.id == "generic-zig")
    async with Exchange(mode="replay") as exchange, open_against(generic, exchange) as plugin:
        async with plugin.stream(KEY) as stream:
            await drain(stream, 1)
        assert (await plugin.info()).message_encoding is None


@pytest.mark.parametrize("fixture", COMMANDS, ids=lambda fixture: fixture.id)
async def test_the_plugins_from_go_show_what_they_want_by_their_first_message(fixture: PluginFixture) -> None:
    exchange = Exchange(mode="replay", rate=1_000)
    async with exchange, open_against(fixture, exchange) as plugin, plugin.stream(KEY) as stream:
        items = await drain(stream, 10)
        wanted = (await plugin.info()).message_encoding
    assert wanted is (BASE64 if fixture.id.endswith("base64") else TEXT)
    assert [candle_of(item) for item in items] == candles(exchange, range(10))
    assert stream.stats.plugin_errors == stream.stats.gaps == 0
