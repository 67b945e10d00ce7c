"""Guests and instances that are gone after their test."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import pytest
import wasmtime

from adapters.runtime.engine import HostFunction, Instance
from adapters.runtime.guest import Guest
from adapters.runtime.kernel import KernelLayout
from adapters.runtime.memory import KernelMemory
from adapters.runtime.watch import Watch
from tests.adapters.runtime.guests import GUEST, answer_nothing, guest_wasm, host_functions
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from adapters.observe import Observer
    from tests.adapters.runtime.guests import Host

#: Gives a guest that ends in the end all the time it takes: none lingers because the machine is busy.
PATIENT = Watch(linger_after=60 * HANG)


class MakeInstance(Protocol):
    def __call__(self, host: Host = ..., wat: str = ..., functions: Sequence[HostFunction] | None = None) -> Instance:
        """Return an instance, freed after the test."""


class MakeGuest(Protocol):
    def __call__(
        self, host: Host = ..., *, wasm: bytes | None = None, observer: Observer | None = None, watch: Watch = PATIENT
    ) -> Guest:
        """Return a guest, stopped after the test."""


@pytest.fixture
def make_instance() -> Iterator[MakeInstance]:
    made: list[Instance] = []

    def make(
        host: Host = answer_nothing, wat: str = GUEST, functions: Sequence[HostFunction] | None = None
    ) -> Instance:
        wasm = guest_wasm() if wat is GUEST else bytes(wasmtime.wat2wasm(wat))
        made.append(Instance(wasm, host_functions(host) if functions is None else functions))
        return made[-1]

    yield make
    for instance in made:
        instance.free()


@pytest.fixture
def make_guest() -> Iterator[MakeGuest]:
    made: list[Guest] = []

    def make(
        host: Host = answer_nothing,
        *,
        wasm: bytes | None = None,
        observer: Observer | None = None,
        watch: Watch = PATIENT,
    ) -> Guest:
        guest = Guest(
            guest_wasm() if wasm is None else wasm,
            plugin="example",
            name=f"example#{len(made)}",
            functions=host_functions(host),
            memory=KernelMemory(reclaim=True, layout=KernelLayout(continues=False)),
            stopping=threading.Event(),
            observer=observer,
            watch=watch,
        )
        made.append(guest)
        return guest

    yield make
    for guest in made:
        guest.stop()
    for guest in made:
        assert guest.wait(HANG), f"{guest.name} outlived its test"
