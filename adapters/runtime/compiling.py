"""How a module becomes an instance: linked with its companion, compiled, instantiated.

A process compiles the same module once at a time. Extism keeps compiled code on disk, so that the guests of one plugin
that are made together wait for the first of them, and then have it cheaply. Cheaply is 20 ms of a processor for a Go
plugin, so only as many guests as there are processors are made of such code at once: a hundred threads that all try
would leave the event loop no processor for seconds. Whoever compiles for the first time does not count there, so that
modules which take minutes hold up no others.

A compilation cannot be interrupted: it keeps its turn until it has ended, whether anybody still waits for it or not.
Whoever waits for a turn looks at its stop flag.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Hashable, Iterator

import attrs

from adapters.companion.border import Border
from adapters.companion.linking import link
from adapters.companion.rewriting import Ceilings
from adapters.recent import Recent
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import COMPILATION, GuestStoppedError, PluginTrapError
from adapters.runtime.links import check_links

__all__ = ["TURNS", "Turns", "make_instance"]

_KEPT = 1_000  # modules that are known to have been compiled


def processors() -> int:
    """How many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@attrs.define(eq=False)
class _Waiting:
    module: Hashable
    changed: threading.Condition


class Turns:
    """Whose turn it is to compile or load which module. First come, first served. May be used from any thread.

    Args:
        at_once: How many may load what has been compiled before; by default as many as there are processors.
    """

    def __init__(self, at_once: int | None = None) -> None:
        self._at_once = at_once or processors()
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._compiling: set[Hashable] = set()
        self._loading = 0
        self._compiled: Recent[bool] = Recent(_KEPT)

    @property
    def waiting(self) -> int:
        """How many wait for a turn."""
        return len(self._waiting)

    @contextlib.contextmanager
    def turn(self, module: Hashable, stopping: threading.Event) -> Iterator[bool]:
        """Wait until the module may be compiled, or loaded if it has been compiled before.

        Args:
            module: Which one it is.
            stopping: Ends the waiting, once ``wake`` is called.

        Yields:
            Whether to go on; ``False``: ``stopping`` was set.
        """
        with self._lock:
            self._wait(module, stopping)
            going, loading = not stopping.is_set(), self._is_compiled(module)
            if going and loading:
                self._loading += 1
            elif going:
                self._compiling.add(module)
            self._call_next()
        try:
            yield going
            if going and not loading:
                self._compiled.put(module, True)
        finally:
            if going:
                with self._lock:
                    if loading:
                        self._loading -= 1
                    else:
                        self._compiling.discard(module)
                    self._call_next()

    def _wait(self, module: Hashable, stopping: threading.Event) -> None:
        """Wait for a turn. Under the lock, as all below."""
        own = _Waiting(module, threading.Condition(self._lock))
        self._waiting.append(own)
        while not (stopping.is_set() or self._next() is own):
            own.changed.wait()
        self._waiting.remove(own)

    def _next(self) -> _Waiting | None:
        """The first of those who wait whose turn it is."""
        return next((each for each in self._waiting if self._may_go(each.module)), None)

    def _may_go(self, module: Hashable) -> bool:
        if self._is_compiled(module):
            return self._loading < self._at_once
        return module not in self._compiling

    def _is_compiled(self, module: Hashable) -> bool:
        return bool(self._compiled.get(module))

    def _call_next(self) -> None:
        """Wake the next one alone. It calls another when it goes."""
        following = self._next()
        if following is not None:
            following.changed.notify()

    def wake(self) -> None:
        """Let all who wait look at their stop flags."""
        with self._lock:
            for each in self._waiting:
                each.changed.notify()

    def begin_anew(self) -> None:
        """Forget whose turn it is, in a process that was just forked: the threads that compiled are not there."""
        self._forget()  # the locks, too: another thread may have held them


#: Those of this process.
TURNS = Turns()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=TURNS.begin_anew)


def make_instance(
    wasm: bytes, plugin: str, border: Border, ceilings: Ceilings | None = None
) -> tuple[Instance, tuple[str, ...]]:
    """Compile and instantiate a module.

    Args:
        wasm: The module's bytes.
        plugin: The plugin's name, for errors.
        border: The host's end of the guest's border; its stop flag ends the waiting for a turn.
        ceilings: How large the module's memories and tables may become; ``None``: as it says itself.

    Returns:
        The instance, and the exports that initialise it, in order.

    Raises:
        CompanionError: The module is of a form that cannot have a companion.
        GuestStoppedError: The guest was told to stop before its turn came.
        MachineError: The machine has no memory or disk left for it.
        PluginTrapError: Extism refused it.
        UnsupportedRuntimeError: The Extism that is installed does not link modules as it has to.
    """
    check_links()
    linked = link(wasm, ceilings)
    with TURNS.turn(linked.key, border.stopping) as go_on:
        if not go_on:
            raise GuestStoppedError(plugin, COMPILATION)
        try:
            return Instance(linked.manifest, border.exchange), linked.initialisers
        except InstantiationError as error:
            raise linked.fault(str(error)) or PluginTrapError(plugin, "", str(error)) from error
