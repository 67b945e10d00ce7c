"""Guests and instances that are gone after their test."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import pytest

from adapters.companion.linking import link
from adapters.runtime.engine import Instance
from adapters.runtime.guest import Guest
from adapters.runtime.watch import Watch
from adapters.voice import Voice
from tests.adapters.runtime.guests import answer_nothing, border_of, guest_wasm
from tests.support.waiting import HANG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from adapters.companion.border import Handler
    from adapters.observe import Observer
    from adapters.runtime.engine import Exchange

#: Gives a guest that ends in the end all the time it takes: none lingers because the machine is busy.
PATIENT = Watch(linger_after=60 * HANG)


class MakeInstance(Protocol):
    def __call__(
        self,
        host: Handler = ...,
        *,
        wasm: bytes | None = None,
        exchange: Exchange | None = None,
        settled_after: float = 0.1,
    ) -> Instance:
        """Return an instance, freed after the test."""


class MakeGuest(Protocol):
    def __call__(
        self,
        host: Handler = ...,
        *,
        wasm: bytes | None = None,
        observer: Observer | None = None,
        watch: Watch = PATIENT,
        redact: Callable[[str], str] = str,
        compile_timeout: float = 60 * HANG,
        initialise_timeout: float = 60 * HANG,
        **border: Any,
    ) -> Guest:
        """Return a guest, stopped after the test; ``border``: options of its border."""


@pytest.fixture
def make_instance() -> Iterator[MakeInstance]:
    made: list[Instance] = []

    def make(
        host: Handler = answer_nothing,
        *,
        wasm: bytes | None = None,
        exchange: Exchange | None = None,
        settled_after: float = 0.1,
    ) -> Instance:
        linked = link(guest_wasm() if wasm is None else wasm)
        exchange = exchange or border_of(host).exchange
        made.append(Instance(linked.manifest, exchange, settled_after=settled_after))
        return made[-1]

    yield make
    for instance in made:
        instance.free()


@pytest.fixture
def make_guest() -> Iterator[MakeGuest]:
    made: list[Guest] = []

    def make(
        host: Handler = answer_nothing,
        *,
        wasm: bytes | None = None,
        observer: Observer | None = None,
        watch: Watch = PATIENT,
        redact: Callable[[str], str] = str,
        compile_timeout: float = 60 * HANG,
        initialise_timeout: float = 60 * HANG,
        **border: Any,
    ) -> Guest:
        name = f"example#{len(made)}"
        border.setdefault("voice", Voice(logging.getLogger("compat.plugin.example"), redact=redact))
        guest = Guest(
            guest_wasm() if wasm is None else wasm,
            plugin="example",
            border=border_of(host, guest=name, observer=observer, **border),
            compile_timeout=compile_timeout,
            initialise_timeout=initialise_timeout,
            name=name,
            observer=observer,
            redact=redact,
            watch=watch,
        )
        made.append(guest)
        return guest

    yield make
    for guest in made:
        guest.stop()
    for guest in made:
        assert guest.wait(HANG), f"{guest.name} outlived its test"
