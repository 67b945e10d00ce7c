"""What the adapters of all kinds share: one plugin's guests, their configuration, metadata, and the raw way in.

An adapter holds a ``PluginHost`` and adds how its kind streams. Guests come from here: each has an instance, a thread,
kernel memory and network of its own, and is configured before anyone sees it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs
import msgspec

from adapters.allowance import Allowance
from adapters.closing import was_closed
from adapters.companion.border import Border
from adapters.companion.rewriting import Ceilings, can_be_called
from adapters.errors import ConfigurationError, PluginCallError, UnknownExportError
from adapters.fields import as_text, completed, misspelt
from adapters.live_guest import GuestHooks, LiveGuest, host_calls
from adapters.metadata import METADATA_EXPORTS, merge_info
from adapters.net.gateway import Gateway
from adapters.net.guest_network import GuestNetwork
from adapters.plugin_info import PluginInfo
from adapters.questions import ask_for_metadata
from adapters.rate_limits import Declaration, Limiter
from adapters.runtime.errors import GuestFaultError, GuestStoppedError
from adapters.runtime.guest import Guest
from adapters.runtime.hostcalls import local_handlers, stubs
from adapters.runtime.malformed import Malformed
from adapters.runtime.replies import decode_object
from adapters.secrets import Redactor
from adapters.settings import AdapterSettings
from adapters.speech import SpeechBudget
from adapters.voice import Voice
from detectors.errors import PluginError
from detectors.report import ModuleReport
from detectors.wording import printable, shown

__all__ = ["PluginHost"]

_serial = itertools.count(1)  # guests of this process

Configure = Callable[[Guest], Awaitable[None]]


class PluginHost:
    """One plugin: its module, its settings and its guests.

    Args:
        name: What to call the plugin in errors and logs.
        wasm: The module's bytes.
        report: What the detector says of them.
        settings: What the user chose.
        configure: Gives a new guest its configuration, in the manner of its kind.
    """

    def __init__(
        self, name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings, configure: Configure
    ) -> None:
        self.name = name
        self.report = report
        self.settings = settings
        self.redact = Redactor(settings.config)
        """Takes every value of the plugin's configuration out of a text."""
        self.logger = settings.logger or logging.getLogger(f"compat.plugin.{name}")
        self.allowance = Allowance(settings)
        """How much of its kernel memory a new guest is left."""
        self.config: Mapping[str, Any] = settings.config
        """What a guest is configured with: what the user gave, and the declared defaults once they are known."""
        self.limits = Limiter(name, self._declaration, settings.config, settings.token_buckets, self.logger)
        self._speech = SpeechBudget(settings.speech, settings.monotonic)
        self._wasm = wasm
        self._configure = configure
        self.busy_exports: frozenset[str] = frozenset()  # those of metadata that use the network by themselves
        self._told_of_names = False
        self._info: asyncio.Task[PluginInfo] | None = None
        self._closed = False
        self._starting = asyncio.Lock()  # to start a thread may take milliseconds: one guest in a turn of the loop
        self._making: set[asyncio.Task[LiveGuest]] = set()
        self._shared: dict[str, LiveGuest] = {}
        self._shared_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)  # a slow start delays its role

    async def info(self) -> PluginInfo:
        """What the plugin says of itself; read once."""
        if self._info is None or _has_failed(self._info):  # by the machine, or in want of time
            self._info = asyncio.create_task(self._read_info(), name=f"metadata of {self.name}")
        try:
            return await asyncio.shield(self._info)
        except asyncio.CancelledError:
            if was_closed(self._info):
                raise GuestStoppedError(self.name, "plugin_info") from None
            raise

    async def _read_info(self) -> PluginInfo:
        answers = self.settings.shared.answers.get(self.report.sha256)
        if answers is None:
            timeout = self.settings.bounds.metadata_timeout
            answers = await ask_for_metadata(self.report, self._guest_without_network, timeout)
            self.settings.shared.answers.put(self.report.sha256, answers)
        self.busy_exports = frozenset(answers.called)
        return merge_info(self.name, answers, self.report)

    def _guest_without_network(self, called: Callable[[str], object] = lambda _: None) -> Guest:
        """A guest that is not configured and reaches nothing, and can say what it declares all the same.

        Nor may it read the configuration: what it says is kept for everybody who opens the module.
        """
        voice, stopping = self._voice(), threading.Event()
        local = local_handlers(voice.record, self._malformed(self._warn, stopping), self.settings.clock)
        names = {item.name for item in self.report.host_imports}
        return self._guest(voice, {}, stopping, handlers=stubs(names.difference(local), called) | local)

    def _malformed(self, tell: Callable[[str], object], stopping: threading.Event) -> Callable[..., Malformed]:
        progress = self.settings.progress
        return functools.partial(Malformed, plugin=self.name, tell=tell, wait=stopping.wait, progress=progress)

    def _warn(self, text: str) -> None:
        self.logger.warning("%s", printable(self.redact(text)))

    def _voice(self, quiet: Callable[[], bool] = lambda: False) -> Voice:
        return Voice(self.logger, redact=self.redact, quiet=quiet, budget=self._speech)

    async def _declaration(self) -> Declaration:
        """What rate limits depend on. Nobody waits for a plugin that lacks what it requires: see ``_complete``."""
        info = await self.info()
        self._complete(info)
        told = (text for text in (*info.problems, *info.discrepancies) if text.startswith("get_rate_limits"))
        return Declaration(info.plugin_id or info.name, info.rate_limits, tuple(told))

    def _complete(self, info: PluginInfo) -> None:
        """Hold the configuration against what the plugin declares, before anything of it connects.

        Raises:
            ConfigurationError: A required field is missing.
        """
        self.config = completed(self.name, info.fields, self.settings.config)
        if not self._told_of_names:
            self._told_of_names = True
            for given, meant in misspelt(info.fields, self.settings.config):
                self.logger.warning("the plugin declares no configuration field %r; is %r meant?", given, meant)

    async def make_guest(self, hooks: GuestHooks) -> LiveGuest:
        """A new guest with network, configured.

        Raises:
            ConfigurationError: The plugin refused its configuration, or requires something that it is not given.
            NetworkError: It refused its configuration because an HTTP request of its own had failed.
            MachineError: The machine has no files, memory or threads left for it.
            PluginError: It trapped or hung while being configured.
        """
        info = await self.info()
        self._complete(info)
        async with self._starting:
            await asyncio.sleep(0)
        stopping = threading.Event()
        gateway = Gateway(
            self.name,
            self.settings.policy,
            info.network_targets,
            self.settings.websockets(),
            self.settings.http_client,
            unread=shown("; ".join(info.problems), 500),
            pacing=self.settings.pacing,
            pacer=self.settings.shared.pacer,
            max_response=self.settings.bounds.max_response,
            redact=self.redact,
        )
        network = GuestNetwork(
            plugin=self.name,
            loop=asyncio.get_running_loop(),
            gateway=gateway,
            stopping=stopping,
            undeliverable=hooks.undeliverable,
            reconnected=hooks.reconnected,
            troubled=hooks.misused or self._warn,
        )
        voice = self._voice(lambda: network.draining)
        malformed = self._malformed(hooks.misused or self._warn, stopping)
        calls = host_calls(hooks, network, voice.record, malformed, redact=self.redact, clock=self.settings.clock)
        guest = self._guest(voice, self.config, stopping, hooks.worn, **attrs.asdict(calls, recurse=False))
        live = LiveGuest(guest, network, gateway)
        begun = time.monotonic()
        try:
            await self._configure(guest)
        except PluginCallError as error:
            await live.aclose()
            if (failed := network.request_failed_since(begun)) is not None:
                raise failed from error
            reason = error.reason or "no reason given"
            remedy = "Check the configuration's names and values"
            raise ConfigurationError(self.name, f"{error.export}: {reason}", remedy=remedy) from error
        except BaseException:
            await live.aclose()
            raise
        return live

    def _guest(
        self,
        voice: Voice,
        config: Mapping[str, Any],
        stopping: threading.Event | None = None,
        on_worn: Callable[[], None] = lambda: None,
        **calls: Any,
    ) -> Guest:
        name = f"{self.name}#{next(_serial)}"
        border = Border(
            guest=name,
            plugin=self.name,
            stopping=stopping or threading.Event(),
            voice=voice,
            config={field: as_text(value).encode() for field, value in config.items()},
            limits=self.allowance.limits,
            observer=self.settings.observer,
            on_worn=on_worn,
            **calls,
        )
        return Guest(
            self._wasm,
            plugin=self.name,
            border=border,
            ceilings=Ceilings(self.settings.bounds.guest_memory, self.settings.bounds.guest_table),
            compile_timeout=self.settings.bounds.compile_timeout,
            initialise_timeout=self.settings.bounds.initialise_timeout,
            name=name,
            observer=self.settings.observer,
            redact=self.redact,
            logger=self.logger,
        )

    def exports(self) -> tuple[str, ...]:
        """The names of the functions that can be called, among those that the module exports."""
        return tuple(item.name for item in self.report.exports if can_be_called(item.name, item.type))

    async def call(self, export: str, data: bytes, timeout: float) -> bytes:
        """Call an export on the control guest; see ``contract.StreamAdapter.call``."""
        if export not in self.exports():
            raise UnknownExportError(self.name, export, self.exports())
        if export in METADATA_EXPORTS and not await self._is_complete():
            # What it has to be given is to be found out without giving it.
            guest = self._guest_without_network()
            try:
                return await guest.call(export, data, timeout=timeout)
            finally:
                await guest.aclose()
        try:
            return await (await self.shared("control")).guest.call(export, data, timeout=timeout)
        except GuestFaultError as error:
            self.allowance.grows_after(error)  # the next guest may serve what this one could not
            raise

    async def _is_complete(self) -> bool:
        try:
            self._complete(await self.info())
        except ConfigurationError:
            return False
        return True

    async def shared(self, role: str) -> LiveGuest:
        """The guest that everyone who names the same role shares; a new one if the last was discarded.

        Raises:
            GuestStoppedError: The plugin was closed meanwhile.

        And what ``make_guest`` raises.
        """
        async with self._shared_locks[role]:
            live = self._shared.get(role)
            if live is None or not live.guest.usable:
                if live is not None:
                    del self._shared[role]
                    await live.aclose()
                live = self._shared[role] = await self._make_shared(role)
            return live

    async def _make_shared(self, role: str) -> LiveGuest:
        if self._closed:
            raise GuestStoppedError(self.name, "initialisation")
        making = asyncio.create_task(self.make_guest(GuestHooks()), name=f"start of guest {role} of {self.name}")
        self._making.add(making)
        try:
            return await making
        except asyncio.CancelledError:
            if was_closed(making):
                raise GuestStoppedError(self.name, "initialisation") from None
            raise
        finally:
            self._making.discard(making)

    async def configure(self, guest: Guest, export: str, config: Mapping[str, Any]) -> None:
        """Give a guest its configuration through an export; for the adapters.

        Raises:
            ConfigurationError: The module has no such export.
            PluginCallError: The plugin refused, by its return code or by ``"success": false``.
        """
        if not self.report.has_export(export):
            problem = f"it takes none (it does not export {export})"
            raise ConfigurationError(self.name, problem, remedy="Leave the configuration out")
        timeout = self.settings.bounds.configure_timeout
        output = await guest.call(export, msgspec.json.encode(dict(config)), timeout=timeout)
        try:
            answer = decode_object(output)
        except ValueError:
            return  # the interface asks for a return code only
        if answer.get("success") is False:
            raise PluginCallError(self.name, export, 0, self.redact(str(answer.get("error") or "")))

    async def aclose(self, farewell: str | None = None) -> None:
        """Stop the shared guests, those that are being made as well.

        Args:
            farewell: An export to call first on each of them, if the module has it.
        """
        self._closed = True
        unfinished: list[asyncio.Task[Any]] = [*self._making, *([self._info] if self._info is not None else [])]
        for task in unfinished:
            task.cancel()
        if unfinished:
            await asyncio.wait(unfinished)
        await asyncio.gather(*(self._part(role, farewell) for role in tuple(self._shared_locks)))
        self._voice().tell_left_out()

    async def _part(self, role: str, farewell: str | None) -> None:
        async with self._shared_locks[role]:  # its last guest may be closing
            live = self._shared.pop(role, None)
            if live is not None:
                await self._take_leave(live, farewell)

    async def _take_leave(self, live: LiveGuest, farewell: str | None) -> None:
        timeout = self.settings.bounds.farewell_timeout
        if farewell is not None and self.report.has_export(farewell) and live.guest.usable:
            with contextlib.suppress(PluginError, TimeoutError):  # it is given up in any case
                async with asyncio.timeout(timeout):  # it may have to wait for a call before it
                    await live.guest.call(farewell, b"", timeout=timeout)
        await live.aclose()


def _has_failed(task: asyncio.Task[PluginInfo]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is not None
