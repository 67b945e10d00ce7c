"""The border of host functions: requests out of kernel memory, replies into it, and both observed."""

from __future__ import annotations

import json
import threading
import time
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest

from adapters.errors import GuestStoppedError
from adapters.observe import Crossing, Direction
from adapters.runtime.hostcalls import bind, stubs
from adapters.runtime.kernel import KernelLayout
from adapters.runtime.memory import KEPT_REQUESTS, QUARANTINE, KernelMemory, OutOfMemoryError, StaleBlockError
from detectors.module import FunctionType, Import, OtherType

if TYPE_CHECKING:
    from adapters.runtime.engine import KernelAccess
    from adapters.runtime.hostcalls import Handler
    from tests.adapters.runtime.conftest import MakeInstance


class OneBlockKernel:
    """Kernel memory with one request at offset 100."""

    def __init__(self, request: bytes) -> None:
        self.blocks = {100: request}
        self.full = False

    def length(self, offset: int) -> int:
        return len(self.blocks.get(offset, b""))

    def read(self, offset: int, length: int) -> bytes:
        return self.blocks[offset][:length]

    def alloc(self, size: int) -> int:
        offset = 0 if self.full else max(self.blocks) + 100
        self.blocks[offset] = bytes(size)
        return offset

    def write(self, offset: int, data: bytes) -> None:
        self.blocks[offset] = data

    def free(self, offset: int) -> None:
        del self.blocks[offset]

    def memory(self) -> object:
        return self


def function(name: str, handler: Handler, **options: Any) -> tuple[Any, OneBlockKernel]:
    memory = KernelMemory(reclaim=True, layout=KernelLayout(continues=False))
    imports = [Import("env", name, FunctionType(("i64",), ("i64",)))]
    options.setdefault("stopping", threading.Event())
    [bound] = bind(imports, {name: handler}, memory, guest="p#1", **options)
    kernel = OneBlockKernel(b"request")
    return (lambda offset: bound.call(cast("KernelAccess", kernel), offset)), kernel


def test_every_import_is_bound_as_it_is_declared() -> None:
    memory = KernelMemory(reclaim=True, layout=KernelLayout(continues=False))
    imports = [
        Import("env", "ws_connect", FunctionType(("i64",), ("i64",))),
        Import("extism:host/user", "ws_connect", FunctionType(("i64",), ("i64",))),
        Import("env", "log_record", FunctionType(("i64",), ())),
        Import("env", "memory", OtherType("memory")),
    ]
    bound = bind(imports, stubs(["ws_connect", "log_record"]), memory, guest="p#1", stopping=threading.Event())
    assert [(item.namespace, item.name, item.params, item.results) for item in bound] == [
        ("env", "ws_connect", ("i64",), ("i64",)),
        ("extism:host/user", "ws_connect", ("i64",), ("i64",)),
        ("env", "log_record", ("i64",), ()),
    ]


def test_an_import_without_a_handler_is_a_mistake_of_the_host() -> None:
    memory = KernelMemory(reclaim=True, layout=KernelLayout(continues=False))
    with pytest.raises(KeyError):
        bind(
            [Import("env", "unknown", FunctionType(("i64",), ("i64",)))],
            {},
            memory,
            guest="p#1",
            stopping=threading.Event(),
        )


def test_request_and_reply_cross_the_border_and_are_observed() -> None:
    seen: list[Crossing] = []
    call, kernel = function("ws_send", lambda request: request.upper(), observer=seen.append)
    begun = time.monotonic_ns()
    assert kernel.blocks[call(100)].rstrip() == b"REQUEST"
    assert [(item.guest, item.direction, item.name, item.data) for item in seen] == [
        ("p#1", Direction.HOST_CALL, "ws_send", b"request"),
        ("p#1", Direction.HOST_RETURN, "ws_send", b"REQUEST"),
    ]
    assert begun <= seen[0].timestamp <= seen[1].timestamp <= time.monotonic_ns()


def test_a_log_record_gets_no_reply_and_the_time_takes_no_request() -> None:
    call, kernel = function("log_record", lambda _: b"")
    assert call(100) == 0
    assert list(kernel.blocks) == [100]
    call, kernel = function("time_now", lambda request: b"now" + request)
    assert kernel.blocks[call(0)].rstrip() == b"now"


@pytest.mark.parametrize("name", ["ws_send", "log_record"])
def test_a_request_whose_block_is_gone_is_told_and_answered(name: str) -> None:
    lost: list[str] = []
    call, kernel = function(name, lambda _: pytest.fail("there is nothing to handle"), lost=lost.append)
    offset = call(999)
    why = "there is no block of kernel memory at offset 999"
    assert lost == [f"{name}: {why}"]
    if name == "ws_send":
        assert json.loads(kernel.blocks[offset]) == {"success": False, "error": why}
    else:
        assert offset == 0


def test_a_request_whose_block_was_freed_under_the_guest_ends_its_call() -> None:
    call, kernel = function("ws_send", lambda _: b"reply")
    for number in range(KEPT_REQUESTS + 1):
        kernel.blocks[1_000_000 + number] = b"request"
        call(1_000_000 + number)
    last = 1_000_000 + KEPT_REQUESTS
    for _ in range(QUARANTINE):
        call(100)
    assert last not in kernel.blocks
    with pytest.raises(StaleBlockError):
        call(last)


@pytest.mark.parametrize("name", ["ws_send", "log_record"])
def test_while_a_guest_is_stopped_a_missing_block_means_nothing(name: str) -> None:
    stopping, lost = threading.Event(), list[str]()
    stopping.set()
    call, _ = function(name, lambda _: pytest.fail("nothing"), lost=lost.append, stopping=stopping)
    with pytest.raises(GuestStoppedError):
        call(999)
    assert lost == []


def test_what_leaves_memory_in_doubt_is_raised() -> None:
    call, kernel = function("ws_send", lambda _: b"reply")
    kernel.full = True
    with pytest.raises(OutOfMemoryError):
        call(100)


def test_what_an_observer_or_handler_raises_ends_the_guests_call(make_instance: MakeInstance) -> None:
    memory = KernelMemory(reclaim=True, layout=KernelLayout(continues=False))

    def stopped(_: object) -> NoReturn:
        raise GuestStoppedError("p", "host")

    imports = [Import(namespace, "host", FunctionType(("i64",), ("i64",))) for namespace in ("env", "extism:host/user")]
    for handler, observer in ((stopped, None), (lambda request: request, stopped)):
        bound = bind(imports, {"host": handler}, memory, guest="p#1", stopping=threading.Event(), observer=observer)
        assert isinstance(make_instance(functions=bound).call("host_for_ever", b"x").raised, GuestStoppedError)
