"""What a host function, or anything else of the host, raises: it ends the guest's call there, and surfaces there."""

from __future__ import annotations

import asyncio
import errno
import logging
from typing import TYPE_CHECKING

import pytest

from adapters.observe import Crossing, Direction
from adapters.runtime.errors import GuestStoppedError, PluginTimeoutError, PluginTrapError
from detectors.errors import MachineError
from tests.adapters.runtime.guests import AN_HOUR, Turnstile, echo, module
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from adapters.runtime.guest import Guest
    from tests.adapters.runtime.conftest import MakeGuest

# Each of them would go on for ever if it were not ended where the host raises.
ENDLESS = f"""
  (data (i32.const 0) "a line\\n")
  (func $line (param $fd i32) (call $print (local.get $fd) (i32.const 0) (i32.const 7)))
  (func (export "ask") (result i32)
    (drop (call $host (call $input_offset)))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "ask_as_user") (result i32)
    (drop (call $host_user (call $input_offset)))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "print_and_sleep") (result i32)
    (call $line (i32.const 1))
    (call $sleep (i64.const {AN_HOUR}))
    (unreachable))
  (func (export "complain") (result i32)
    (call $line (i32.const 2))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "log_and_read_configuration") (result i32)
    (call $log_info (call $block (i32.const 0) (i32.const 6)))
    (drop (call $config_get (call $block (i32.const 0) (i32.const 6))))
    (loop $for_ever (br $for_ever))
    (unreachable))
  (func (export "print") (result i32) (call $line (i32.const 1)) (i32.const 0))
  (func (export "print_and_trap") (result i32) (call $line (i32.const 1)) (unreachable))
"""


class Broken(logging.Filter):
    """A logger's filter with a bug; unlike what a handler raises, that reaches whoever logs."""

    def filter(self, record: logging.LogRecord) -> bool:
        raise KeyError(record.getMessage())


@pytest.fixture
def broken_logger() -> Iterator[logging.Logger]:
    """The logger of these guests, which takes everything and raises."""
    logger, broken = logging.getLogger("compat.plugin.example"), Broken()
    logger.addFilter(broken)
    logger.setLevel(logging.DEBUG)
    yield logger
    logger.removeFilter(broken)
    logger.setLevel(logging.NOTSET)


async def failed(guest: Guest, use: str, export: str, expected: type[BaseException]) -> BaseException:
    """What a call of an export raises; the guest is of no use after it."""
    with pytest.raises(expected) as caught:
        await asyncio.wait_for(getattr(guest, use)(export, b"request"), HANG)
    assert (guest.usable, guest.lingering) == (False, False)
    with pytest.raises(GuestStoppedError):
        await guest.call("print", b"")
    return caught.value


@pytest.mark.parametrize("use", ["call", "attempt"])
@pytest.mark.parametrize("export", ["ask", "ask_as_user"])
@pytest.mark.parametrize("raised", [KeyError("a bug"), GuestStoppedError("example", "ws_send")])
async def test_what_a_handler_raises(make_guest: MakeGuest, raised: Exception, export: str, use: str) -> None:
    asked: list[bytes] = []

    def host(request: bytes) -> bytes:
        asked.append(request)
        raise raised

    assert await failed(make_guest(host, wasm=module(ENDLESS)), use, export, type(raised)) is raised
    assert asked == [b"request"]


@pytest.mark.parametrize("use", ["call", "attempt"])
@pytest.mark.parametrize(
    ("raised", "what"),
    [
        (MemoryError(), "there is no memory left"),
        (OSError(errno.EMFILE, "Too many open files"), "this process has too many files open"),
        (RuntimeError("can't start new thread"), "no further thread can be started"),
    ],
)
async def test_what_the_machine_lacks_in_a_handler_is_told_as_its_fault(
    make_guest: MakeGuest, raised: Exception, what: str, use: str
) -> None:
    def host(_: bytes) -> bytes:
        raise raised

    error = await failed(make_guest(host, wasm=module(ENDLESS)), use, "ask", MachineError)
    assert isinstance(error, MachineError)
    assert (error.plugin, error.what, error.message) == ("example", what, f"plugin 'example': {what}")
    assert error.remedy


@pytest.mark.parametrize("direction", [Direction.HOST_CALL, Direction.HOST_RETURN])
async def test_what_an_observer_raises(make_guest: MakeGuest, direction: Direction) -> None:
    def observe(crossing: Crossing) -> None:
        if crossing.direction is direction:
            raise KeyError(crossing.name)

    guest = make_guest(echo, wasm=module(ENDLESS), observer=observe)
    assert (await failed(guest, "call", "ask", KeyError)).args == ("ws_send",)


@pytest.mark.usefixtures("broken_logger")
@pytest.mark.parametrize("export", ["print_and_sleep", "complain", "log_and_read_configuration", "print"])
async def test_what_the_logger_raises_wherever_records_cross(make_guest: MakeGuest, export: str) -> None:
    guest = make_guest(wasm=module(ENDLESS))
    assert (await failed(guest, "call", export, KeyError)).args == ("a line",)


@pytest.mark.usefixtures("broken_logger")
async def test_a_trap_is_what_is_told_although_the_logger_raises_after_it(make_guest: MakeGuest) -> None:
    error = await failed(make_guest(wasm=module(ENDLESS)), "call", "print_and_trap", PluginTrapError)
    assert "print_and_trap trapped" in str(error)


async def test_a_deadline_is_what_is_told_of_a_host_function_that_lets_go_at_it(make_guest: MakeGuest) -> None:
    guest: Guest

    def host(_: bytes) -> bytes:
        guest.stopping.wait()
        raise GuestStoppedError("example", "ws_send")

    guest = make_guest(host, wasm=module(ENDLESS))
    with pytest.raises(PluginTimeoutError, match="ask did not return within"):
        await asyncio.wait_for(guest.call("ask", b"x", timeout=0.05), HANG)


async def test_the_siblings_of_a_guest_whose_host_function_failed_go_on(make_guest: MakeGuest) -> None:
    turnstile = Turnstile()

    def fail(_: bytes) -> bytes:
        raise KeyError("a bug")

    sibling = make_guest(turnstile)
    running = asyncio.create_task(sibling.call("host", b"x"))
    await turnstile.reached()
    await failed(make_guest(fail, wasm=module(ENDLESS)), "call", "ask", KeyError)
    turnstile.open()
    assert await running == b"x"
