"""Opening a plugin: from a path or bytes to something that streams.

What is done here is detection, the choice of an adapter, and clean-up; streaming is the adapter's. A file is read and
validated on a thread: a large one takes a moment, a hostile one seconds, and the event loop has streams to serve.
"""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self

import attrs

from adapters.arguments import MAPPING, TEXT, TRUTH, Rule, at_least, one_of_type
from adapters.contract import Reply, Stream, StreamAdapter, StreamKey, StreamState
from adapters.errors import StreamUsageError
from adapters.net.policy import NetworkPolicy
from adapters.plugin_info import PluginInfo
from adapters.registry import make_adapter
from adapters.settings import IDLE_LIMIT, AdapterSettings
from adapters.threads import on_thread
from compat.status import PluginStatus, StreamStatus
from detectors.machine import machine_faults
from detectors.report import ModuleReport, inspect
from detectors.rules import PluginKind

__all__ = ["KEY", "Opening", "Plugin", "Source", "open_plugin"]

# A library says nothing unless it is asked: whoever wants to hear the loggers below "compat" configures logging.
logging.getLogger("compat").addHandler(logging.NullHandler())

_ENDED = (StreamState.STOPPED, StreamState.FAILED)

Source = str | os.PathLike[str] | bytes

#: What a stream is asked for by, wherever that is done.
KEY = one_of_type(StreamKey, str, words="a StreamKey, or its text")

_TIMEOUT = at_least(0, "seconds", endless=True)

#: What the arguments of ``open_plugin`` have to be. A rewrite's prefixes are looked at by the policy.
_ARGUMENTS: dict[str, Rule] = {
    "source": one_of_type(str, os.PathLike, bytes, words="a path, or a module's bytes"),
    "config": MAPPING.or_none(),
    "kind": one_of_type(str, PluginKind, words="the name of a kind").or_none(),
    "name": TEXT.or_none(),
    "rewrite": MAPPING.or_none(),
    "allow_private": TRUTH,
    "settings": one_of_type(AdapterSettings).or_none(),
}


_NOT_OPENED = "it could not be opened"


class Plugin:
    """An open plugin: an asynchronous context manager. Made by ``open_plugin``."""

    def __init__(self, adapter: StreamAdapter, name: str, kind: PluginKind) -> None:
        self._adapter = adapter
        self._closed = False
        self._streams: list[Stream] = []
        self.name = name
        self.kind = kind
        """The kind as which it runs, where it offers several."""

    @property
    def report(self) -> ModuleReport:
        """What the detector says of the module."""
        return self._adapter.report

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that have been opened and have not ended."""
        return tuple(stream for stream in self._streams if stream.state not in (StreamState.NEW, *_ENDED))

    def status(self) -> PluginStatus:
        """What it runs at this moment."""
        offers = {offer.kind: offer.dialect for offer in reversed(self.report.offers)}
        streams = tuple(StreamStatus(stream.key, stream.state, stream.stats) for stream in self.streams)
        return PluginStatus(self.name, str(self.kind), offers.get(self.kind), streams)

    async def info(self) -> PluginInfo:
        """What the plugin says of itself, from ``plugin_info``, ``meta`` or both; it gets no network for this.

        Raises:
            StreamUsageError: The plugin has been closed.
        """
        self._require_open()
        return await self._adapter.info()

    def stream(self, key: StreamKey | str, *, idle_limit: float | None = None) -> Stream:
        """A stream, not yet started: ``async with plugin.stream(key) as stream: async for item in stream: ...``.

        Args:
            key: What to stream.
            idle_limit: Seconds without an item after which it starts anew; ``None``: as the settings say, which is
                never unless they say otherwise.

        Raises:
            KeyFormatError: ``key`` is a text and not the form of a key.
            StreamUsageError: The plugin has been closed.
            UsageError: ``key`` is no key at all, or the limit no number of seconds above 0.
        """
        self._require_open()
        KEY.check(key, "stream", "key", of=f"plugin {self.name!r}")
        IDLE_LIMIT.check(idle_limit, "stream", "idle_limit", of=f"plugin {self.name!r}")
        key = StreamKey.parse(key) if isinstance(key, str) else key
        stream = self._adapter.stream(key, idle_limit=idle_limit)
        self._streams = [known for known in self._streams if known.state not in _ENDED]
        self._streams.append(stream)
        return stream

    async def request(
        self, name: str, params: Mapping[str, Any] | None = None, *, timeout: float = 30.0, fresh: bool = False
    ) -> Reply:
        """Ask for something that is no stream: ``await plugin.request("getMarkets")``. See ``StreamAdapter.request``.

        The plugin's rate limits are waited for, and an answer that it lets be kept is given again, unless a ``fresh``
        one is asked for.

        Raises:
            StreamUsageError: The plugin has been closed, the command opens a stream, or an argument makes no sense.
            CompatError: See ``StreamAdapter.request``.
        """
        self._require_open()
        return await self._adapter.request(name, params, timeout=timeout, fresh=fresh)

    async def call(self, export: str, data: bytes | str = b"", *, timeout: float = 30.0) -> bytes:
        """Call an export: the raw way in, which no rate limit holds up.

        Raises:
            StreamUsageError: The plugin has been closed.
            UsageError: ``export`` is no text, or ``timeout`` no number of seconds.
            CompatError: See ``StreamAdapter.call``.
        """
        self._require_open()
        TEXT.check(export, "call", "export", of=f"plugin {self.name!r}")
        _TIMEOUT.check(timeout, "call", "timeout", of=f"plugin {self.name!r}")
        return await self._adapter.call(export, data.encode() if isinstance(data, str) else data, timeout=timeout)

    def _require_open(self) -> None:
        if self._closed:
            msg = f"plugin {self.name!r} has been closed"
            raise StreamUsageError(msg, remedy="Open it again")

    async def aclose(self) -> None:
        """Stop every stream and guest. Safe to call twice."""
        self._closed = True
        await self._adapter.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Opening:
    """What ``open_plugin`` returns: ``async with`` opens the plugin and closes it in the end, ``await`` opens it only.

    Each use opens another plugin. What opening raises is listed at ``open_plugin``.
    """

    def __init__(self, work: Callable[[], Plugin], name: str) -> None:
        self._work = work
        self._name = name
        self._opened: list[Plugin] = []

    def __await__(self) -> Generator[Any, None, Plugin]:
        return self._on_thread().__await__()

    async def _on_thread(self) -> Plugin:
        with machine_faults(self._name, _NOT_OPENED):
            return await on_thread(self._work, "open plugin")

    def wait(self) -> Plugin:
        """Open it here and now: this blocks the thread, an event loop too, while the file is read and validated."""
        with machine_faults(self._name, _NOT_OPENED):
            return self._work()

    async def __aenter__(self) -> Plugin:
        self._opened.append(await self)
        return self._opened[-1]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._opened.pop().aclose()

    if not TYPE_CHECKING:  # a type checker finds the mistake by itself

        def __getattr__(self, name: str) -> NoReturn:
            msg = f"the plugin is not open, so it has no {name!r}: use 'async with open_plugin(...)' or 'await' it"
            raise AttributeError(msg)


def open_plugin(
    source: Source,
    *,
    config: Mapping[str, Any] | None = None,
    kind: PluginKind | str | None = None,
    name: str | None = None,
    rewrite: Mapping[str, str] | None = None,
    allow_private: bool = False,
    settings: AdapterSettings | None = None,
) -> Opening:
    """Detect what a module is and put the adapter of its kind around it.

    ``async with open_plugin(...) as plugin`` opens it and closes it in the end; ``plugin = await open_plugin(...)``
    leaves the closing to you, and so does ``open_plugin(...).wait()`` where there is nothing to await. Nothing of the
    plugin runs before the first stream or call.

    Args:
        source: The module's path or bytes.
        config: The plugin's configuration; every new guest is given it.
        kind: The kind to run it as, where it offers several; ``None``: generic before legacy.
        name: What to call it in errors and logs; by default the file's name, or its folder's if it is ``plugin.wasm``.
        rewrite: URL prefixes by what replaces them, to run it against a simulator or a staging host.
        allow_private: Whether it may reach loopback and private addresses.
        settings: Everything else that can be chosen or injected; the arguments above are put on top of it.

    Raises:
        UsageError: An argument is not what it has to be. This is raised at once, the others when the plugin is opened.
        OSError: The path cannot be read.
        DetectionError: The module cannot run; the error carries every finding.
        UnsupportedPluginError: It is no plugin of a known kind, or not of the chosen one.
        MachineError: The machine has no files, memory or threads left for it.
    """
    given = (source, config, kind, name, rewrite, allow_private, settings)
    for (argument, rule), value in zip(_ARGUMENTS.items(), given, strict=True):
        rule.check(value, "open_plugin", argument)
    settings = settings or AdapterSettings()
    policy: NetworkPolicy = settings.policy
    if rewrite:
        policy = attrs.evolve(policy, rewrites=(*rewrite.items(), *policy.rewrites))
    if allow_private:
        policy = attrs.evolve(policy, allow_private=True)
    settings = attrs.evolve(settings, policy=policy, config=settings.config if config is None else dict(config))
    chosen = kind if isinstance(kind, PluginKind | None) else PluginKind(str(kind))
    name = name or ("" if isinstance(source, bytes) else _name_of(Path(source)))
    return Opening(functools.partial(_open, source, chosen, name, settings), name)


def _open(source: Source, chosen: PluginKind | None, name: str, settings: AdapterSettings) -> Plugin:
    if isinstance(source, bytes):
        wasm, path = source, None
    else:
        path = os.fspath(source)
        wasm = Path(path).read_bytes()
    report = attrs.evolve(inspect(wasm, bounds=settings.inspection), path=path)
    name = name or f"plugin-{report.sha256[:8]}"
    return Plugin(make_adapter(name, wasm, report, settings, chosen), name, chosen or report.kind)


def _name_of(path: Path) -> str:
    """A plugin's name after its file. Many are called plugin.wasm, each in a folder that says more."""
    return (path.stem if path.stem != "plugin" else path.absolute().parent.name) or path.stem
