"""How a module becomes an instance: linked with its companion, compiled, instantiated.

A process compiles the same module once at a time. Extism keeps compiled code on disk, so that the guests of one plugin
that are made together wait for the first of them, and then have it cheaply. A compilation cannot be interrupted: it
keeps its turn until it has ended, whether anybody still waits for it or not. Whoever waits for a turn looks at its stop
flag.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Hashable, Iterator

from adapters.companion.border import Border
from adapters.companion.linking import link
from adapters.companion.rewriting import Ceilings
from adapters.recent import Recent
from adapters.runtime.engine import Instance, InstantiationError
from adapters.runtime.errors import COMPILATION, GuestStoppedError, PluginTrapError
from adapters.runtime.links import check_links

__all__ = ["TURNS", "Turns", "make_instance"]

_KEPT = 1_000  # modules that are known to have been compiled


class Turns:
    """Whose turn it is to compile which module. May be used from any thread.

    Attributes:
        waiting: How many wait for a turn.
    """

    def __init__(self) -> None:
        self.waiting = 0
        self._changed = threading.Condition()
        self._taken: set[Hashable] = set()
        self._compiled: Recent[bool] = Recent(_KEPT)

    @contextlib.contextmanager
    def turn(self, module: Hashable, stopping: threading.Event) -> Iterator[bool]:
        """Wait until nobody else compiles the module; one that has been compiled needs no turn.

        Args:
            module: Which one it is.
            stopping: Ends the waiting, once ``wake`` is called.

        Yields:
            Whether to go on; ``False``: ``stopping`` was set.
        """
        with self._changed:
            self.waiting += 1
            self._changed.wait_for(lambda: stopping.is_set() or module not in self._taken)
            self.waiting -= 1
            taken = not (stopping.is_set() or self._compiled.get(module))
            if taken:
                self._taken.add(module)
        try:
            yield not stopping.is_set()
            if taken:
                self._compiled.put(module, True)
        finally:
            if taken:
                with self._changed:
                    self._taken.discard(module)
                    self._changed.notify_all()

    def wake(self) -> None:
        """Let all who wait look at their stop flags."""
        with self._changed:
            self._changed.notify_all()

    def begin_anew(self) -> None:
        """Forget whose turn it is, in a process that was just forked: the threads that compiled are not there."""
        self._changed = threading.Condition()
        self._taken = set()
        self._compiled = Recent(_KEPT)  # whose lock another thread may have held
        self.waiting = 0


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
            raise PluginTrapError(plugin, "", str(error)) from error
