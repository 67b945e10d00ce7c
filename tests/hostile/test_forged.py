"""Handles that a plugin was never given, passed to every function that takes one."""

from __future__ import annotations

import json

import attrs
import pytest

from compat import GuestFaultError, StreamManager
from tests.hostile.guests import generic, legacy
from tests.hostile.rows import Row
from tests.hostile.scene import Place, opened
from tests.support.waiting import until

pytestmark = pytest.mark.usefixtures("all_given_back")

_BLOCK = "(call $block <<0123456789abcdef>>)"  # 16 bytes

#: By what they are, and the fault that the use of eight bytes there is.
FORGED = {
    "the first number": ("(i64.const 1)", "unknown-block"),
    "an address of the guest's memory": ("(i64.const 0x8000)", "unknown-block"),
    "a large number": ("(i64.const 0x10000000000)", "unknown-block"),
    "the smallest number": ("(i64.const 0x8000000000000000)", "unknown-block"),
    "minus one": ("(i64.const -1)", "unknown-block"),
    "the byte before a block": (f"(i64.sub {_BLOCK} (i64.const 1))", "unknown-block"),
    "a block, one bit changed": (f"(i64.xor {_BLOCK} (i64.const 0x4000000000000000))", "unknown-block"),
    "a block of the next generation": (f"(i64.add {_BLOCK} (i64.const 0x100000000))", "unknown-block"),
    "the byte after a block": (f"(i64.add {_BLOCK} (i64.const 16))", "out-of-bounds"),
    "the last four bytes of a block": (f"(i64.add {_BLOCK} (i64.const 12))", "out-of-bounds"),
}


@attrs.frozen
class Use:
    """A function that takes a handle.

    Attributes:
        call: Calls it with the handle ``{}``.
        whole: Whether it takes a block from its beginning only, so that all other handles are unknown.
    """

    call: str
    whole: bool = False


#: Those that reach into a block.
REACHING = {
    "load_u64": Use("(drop (call $load_u64 {}))"),
    "store_u64": Use("(call $store_u64 {} (i64.const -1))"),
    "output_set": Use("(call $output_set {} (i64.const 8))"),
    "error_set": Use("(call $error_set {})", whole=True),
    "config_get": Use("(drop (call $config_get {}))", whole=True),
    "var_get": Use("(drop (call $var_get {}))", whole=True),
    "var_set, name": Use("(call $var_set {} (i64.const 0))", whole=True),
    "var_set, value": Use(f"(call $var_set {_BLOCK} {{}})", whole=True),
    "log_info": Use("(call $log_info {})", whole=True),
    "ws_connect": Use("(drop (call $ws_connect {}))", whole=True),
    "ws_send": Use("(drop (call $ws_send {}))", whole=True),
    "ws_receive": Use("(drop (call $ws_receive {}))", whole=True),
    "ws_close": Use("(drop (call $ws_close {}))", whole=True),
    "publish_stream_data": Use("(drop (call $publish_stream_data {}))", whole=True),
    "http_request": Use("(drop (call $http_request {}))", whole=True),
    "log_record": Use("(drop (call $log_record {}))", whole=True),
}
#: Those that answer nothing instead, as Extism's own do, or take no handle at all.
HARMLESS = {
    "length": "(if (i64.ne (call $length {}) (i64.const 0)) (then unreachable))",
    "length_unsafe": "(drop (call $length_unsafe {}))",
    "free": "(call $free {})",
    "input_load_u8": "(drop (call $input_load_u8 {}))",
    "input_load_u64": "(drop (call $input_load_u64 {}))",
    "time_now": "(drop (call $time_now {}))",
}

_reaching = pytest.mark.parametrize("use", REACHING.values(), ids=REACHING)
_forged = pytest.mark.parametrize(("handle", "fault"), FORGED.values(), ids=FORGED)


@_reaching
@_forged
async def test_a_forged_handle_is_a_fault_of_the_plugin(use: Use, handle: str, fault: str) -> None:
    row = Row("forges", generic(start_stream=use.call.format(handle)))
    async with StreamManager() as manager, opened(row, Place.ALONE, manager) as hostile:
        await hostile.read()
        assert isinstance(hostile.error, GuestFaultError)
        assert hostile.error.fault == ("unknown-block" if use.whole else fault)
        assert hostile.error.export == "start_stream"
        assert "'hostile'" in hostile.error.message
        assert "tell its author" in hostile.error.remedy
        # And the next guest is none the worse for it.
        assert json.loads(await hostile.plugin.call("plugin_info"))["name"] == "Hostile"


@_reaching
async def test_so_it_is_in_the_shared_guest_of_legacy_streams(use: Use) -> None:
    row = Row("forges", legacy(message=use.call.format("(i64.const -1)")))
    async with StreamManager() as manager, opened(row, Place.MANAGED, manager) as hostile:
        await hostile.read()
        assert isinstance(hostile.error, GuestFaultError)
        assert (hostile.error.fault, hostile.error.export) == ("unknown-block", "handle_stream_message")


async def test_a_request_of_extisms_own_http_client_is_a_fault_whatever_is_passed() -> None:
    row = Row("forges", generic(start_stream=f"(drop (call $kernel_http (i64.const -1) {_BLOCK}))"))
    async with StreamManager() as manager, opened(row, Place.ALONE, manager) as hostile:
        await hostile.read()
        assert isinstance(hostile.error, GuestFaultError)
        assert hostile.error.fault == "kernel-http"


@pytest.mark.parametrize("use", HARMLESS.values(), ids=HARMLESS)
async def test_where_a_forged_handle_can_do_no_harm_the_plugin_goes_on(use: str) -> None:
    forged = "".join(use.format(handle) for handle, _ in FORGED.values())
    row = Row("forges", generic(start_stream=forged))
    async with StreamManager() as manager, opened(row, Place.ALONE, manager) as hostile:
        await hostile.read(3)
        assert hostile.delivered == 3
        await until(lambda: hostile.crossed["ws_receive"] == 4, "it asks for the next message")
