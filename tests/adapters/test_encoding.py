"""Messages as text or in base64: the rules, the memory, and who decides."""

from __future__ import annotations

import asyncio
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
from compat import AdapterSettings, Crossing, MessageEncoding, NetworkPolicy, inspect
from compat.demo.exchange import Exchange
from detectors.toolchain import Sdk, Toolchain
from tests.support.echo import open_module
from tests.support.encodings import BASE64, ILLEGAL, TEXT, UNREADABLE, encoded, reads_base64, seen
from tests.support.legacy import DATA, KEY, breaking, legacy, on
from tests.support.plugins import FIXTURES, PluginFixture, wat
from tests.support.simex import candle_of, candles, open_against
from tests.support.sockets import Connector
from tests.support.waiting import drain

pytestmark = pytest.mark.usefixtures("nothing_left")
SDK = "github.com/plusev-terminal/go-plugin-common"
COMMANDS = [fixture for fixture in FIXTURES if fixture.id.startswith("legacy-command")]


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
