"""Extism's C interface through one instance: what comes back from a call, whatever way it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import wasmtime

from adapters.companion.linking import link
from adapters.runtime.engine import CallOutcome, Instance, InstantiationError
from tests.adapters.runtime.guests import border_of, guest_wasm

if TYPE_CHECKING:
    from adapters.runtime.engine import Window
    from tests.adapters.runtime.conftest import MakeInstance


def test_input_comes_back_as_output(make_instance: MakeInstance) -> None:
    instance = make_instance()
    for data in (b"", b"x", bytes(range(256)) * 300):
        assert instance.call("echo", data) == CallOutcome(0, None, data)


def test_an_instance_keeps_its_state_from_call_to_call_and_shares_it_with_no_other(make_instance: MakeInstance) -> None:
    one, other = make_instance(), make_instance()
    assert [one.call("count", b"").output for _ in range(3)] == [b"1", b"2", b"3"]
    assert other.call("count", b"").output == b"1"


def test_a_failure_is_told_with_its_code_and_what_went_into_error_memory_is_at_the_border() -> None:
    border = border_of()
    instance = Instance(link(guest_wasm()).manifest, border.exchange)
    outcome = instance.call("fail_by_memory", b"")
    instance.free()
    assert outcome == CallOutcome(1, None, b"")
    assert border.error == b"from error memory"
    assert not outcome.ok
    assert not outcome.trapped


def test_the_output_of_a_failed_call_can_be_read(make_instance: MakeInstance) -> None:
    outcome = make_instance().call("fail_by_output", b"")
    assert outcome == CallOutcome(1, None, b'{"success":false,"error":"from the output"}')
    assert not outcome.ok
    assert not outcome.trapped


def test_nothing_of_a_call_is_left_for_the_next(make_instance: MakeInstance) -> None:
    instance = make_instance()
    assert instance.call("fail_by_output", b"").output
    assert instance.call("fail_silently", b"") == CallOutcome(7, None, b"")


@pytest.mark.parametrize("export", ["trap", "exit_0", "exit_3"])
def test_a_guest_that_trapped_or_exited_is_told_from_one_that_failed(make_instance: MakeInstance, export: str) -> None:
    outcome = make_instance().call(export, b"")
    assert outcome.trapped
    assert not outcome.ok
    assert "wasm backtrace" in (outcome.error or "")


def test_an_export_that_is_not_there_is_no_success(make_instance: MakeInstance) -> None:
    outcome = make_instance().call("nothing", b"")
    assert not outcome.ok
    assert "nothing" in (outcome.error or "")


def test_a_host_function_is_reached_from_both_namespaces(make_instance: MakeInstance) -> None:
    called: list[bytes] = []

    def host(request: bytes) -> bytes:
        called.append(request)
        return b"reply to " + request

    instance = make_instance(host)
    assert instance.call("host", b"one").output == b"reply to one"
    assert instance.call("host_user", b"two").output == b"reply to two"
    assert called == [b"one", b"two"]


@pytest.mark.parametrize("size", [1, 7, 8, 9, 4_000, 4_096, 5_000, 2**20 + 3])
def test_requests_and_replies_of_any_length_cross_whole(make_instance: MakeInstance, size: int) -> None:
    data = bytes(number % 251 for number in range(size))
    seen: list[bytes] = []

    def host(request: bytes) -> bytes:
        seen.append(request)
        return request[::-1]

    instance = make_instance(host)
    for _ in range(3):
        assert instance.call("host", data).output == data[::-1]
    assert seen == [data] * 3


@pytest.mark.parametrize("export", ["host", "host_for_ever"])
def test_what_a_host_function_raises_ends_the_call_and_is_kept(
    make_instance: MakeInstance, export: str, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[bytes] = []

    def host(request: bytes) -> bytes:
        calls.append(request)
        raise KeyError(f"call {len(calls)}")

    instance = make_instance(host)
    outcome = instance.call(export, b"x")
    assert isinstance(outcome.raised, KeyError)
    assert outcome.raised.args == ("call 1",)
    assert not outcome.ok
    assert calls == [b"x"]  # it ended there, and did not go on
    assert capfd.readouterr().err == ""
    assert instance.call("echo", b"x").raised is None


def test_what_the_exchange_raises_at_the_greeting_ends_the_call_before_the_guest_runs(
    make_instance: MakeInstance,
) -> None:
    border, crossed = border_of(), list[int]()

    def exchange(window: Window, at: int) -> int:
        crossed.append(at)
        if len(crossed) == 1:
            raise KeyError("as it begins")
        return border.exchange(window, at)

    instance = make_instance(exchange=exchange)
    outcome = instance.call("count", b"")
    assert outcome.trapped
    assert isinstance(outcome.raised, KeyError)
    assert len(crossed) == 1
    assert instance.call("count", b"").output == b"1"


def test_freeing_twice_and_cancelling_afterwards_does_no_harm(make_instance: MakeInstance) -> None:
    instance = make_instance()
    instance.free()
    instance.cancel()
    instance.free()


def test_a_module_that_cannot_be_instantiated_is_refused_in_extisms_words(make_instance: MakeInstance) -> None:
    wasm = bytes(wasmtime.wat2wasm('(module (import "env" "missing" (func)))'))
    with pytest.raises(InstantiationError, match="missing"):
        make_instance(wasm=wasm)


@pytest.mark.parametrize("manifest", [b"", b"{", b'{"wasm": []}', b'{"wasm": [{"data": "AGFzbQ=="}]}'])
def test_what_is_no_manifest_of_a_module_is_refused(manifest: bytes) -> None:
    with pytest.raises(InstantiationError):
        Instance(manifest, lambda _window, _at: 0)


def test_blocks_of_extisms_memory_can_be_made_measured_read_and_written(make_instance: MakeInstance) -> None:
    seen: list[object] = []

    def exchange(window: Window, at: int) -> int:
        if at:
            block = window.alloc(5)
            window.write(block, b"12345")
            seen.extend((window.length(block), window.length(block + 1)))
            seen.extend((window.read(block + 1, 3), window.alloc(2**40)))
            raise KeyError("seen enough")
        return 0

    assert not make_instance(exchange=exchange).call("echo", b"").ok
    assert seen == [5, 0, b"234", 0]
