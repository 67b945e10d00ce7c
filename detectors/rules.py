"""The tables: which interfaces there are, how a module shows them, and which host functions it may ask for.

This is the only place where the name of an export, a host function or a namespace of the plugin interface stands. A
new kind of plugin is a new row in :data:`INTERFACES`. There is no logic here beyond looking a row up.
"""

from __future__ import annotations

from typing import ClassVar

import attrs

from detectors.module import FunctionType

__all__ = [
    "EXPORT_TYPE",
    "HOST_FUNCTIONS",
    "INTERFACES",
    "KERNEL_NAMESPACE",
    "NAMESPACES",
    "POINTER_LENGTH_ABI",
    "WASI_NAMESPACE",
    "WASI_UNSTABLE",
    "HostFunction",
    "Interface",
    "PluginKind",
    "host_function",
    "interface_name",
]


@attrs.frozen(repr=False)
class PluginKind:
    """A kind of plugin: an open set of names, equal and hashed by name, so that a table can add one.

    Attributes:
        value: The name, as it stands in reports.
    """

    LEGACY: ClassVar[PluginKind]
    GENERIC: ClassVar[PluginKind]
    UNKNOWN: ClassVar[PluginKind]

    value: str

    def __str__(self) -> str:
        return self.value

    def __repr__(self) -> str:
        return f"PluginKind({self.value!r})"


PluginKind.LEGACY = PluginKind("legacy")
PluginKind.GENERIC = PluginKind("generic")
PluginKind.UNKNOWN = PluginKind("unknown")


def interface_name(kind: PluginKind, dialect: str | None) -> str:
    """Return the name of an interface for a sentence: ``generic interface``, ``legacy interface (command dialect)``."""
    return f"{kind} interface" if dialect is None else f"{kind} interface ({dialect} dialect)"


@attrs.frozen
class Interface:
    """One way in which a plugin can be driven.

    Attributes:
        kind: The kind of plugin that offers it.
        dialect: Its dialect; None for a kind that has only one.
        marks: The exports that identify the kind. All of them must be there.
        required: What else must be exported for this row to be complete.
        optional: What the interface knows besides; none of it is needed.
        precedence: Of several complete interfaces in one module the one with the highest number is used.
        successor: The kind that new plugins are written for instead; None for one that is current.
    """

    kind: PluginKind
    dialect: str | None
    marks: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    precedence: int = 0
    successor: PluginKind | None = None

    def __str__(self) -> str:
        return interface_name(self.kind, self.dialect)

    @property
    def exports(self) -> tuple[str, ...]:
        """Every export that the interface knows."""
        return (*self.marks, *self.required, *self.optional)


#: The signature of every export of every interface.
EXPORT_TYPE = FunctionType((), ("i32",))

#: The plugin interfaces in the field. The host drives a legacy plugin and pushes every message into it; a generic
#: plugin drives itself through host functions. The legacy dialects followed each other in September 2025.
INTERFACES: tuple[Interface, ...] = (
    Interface(
        kind=PluginKind.GENERIC,
        dialect=None,
        marks=("start_stream",),
        required=("stop_stream",),
        optional=(
            "plugin_info",
            "plugin_configure",
            "meta",
            "get_name",
            "get_credential_fields",
            "list_markets",
            "get_timeframes",
            "get_ohlcv",
        ),
        precedence=30,
    ),
    Interface(
        kind=PluginKind.LEGACY,
        dialect="command",
        marks=("handle_stream_message",),
        required=("handle_command",),
        optional=(
            "meta",
            "get_configuration_fields",
            "get_rate_limits",
            "init",
            "shutdown",
            "handle_connection_event",
        ),
        precedence=20,
        successor=PluginKind.GENERIC,
    ),
    Interface(
        kind=PluginKind.LEGACY,
        dialect="callback",
        marks=("handle_stream_message",),
        required=("prepare_stream",),
        optional=(
            "meta",
            "get_name",
            "get_credential_fields",
            "set_credentials",
            "list_markets",
            "get_timeframes",
            "get_ohlcv",
            "stream_connection_event",
            "stream_ohlcv",
        ),
        precedence=10,
        successor=PluginKind.GENERIC,
    ),
)


@attrs.frozen
class HostFunction:
    """A function that the host offers to plugins.

    Attributes:
        name: As plugins import it.
        purpose: What it is for, as the object of a sentence.
        request: The shape of its request; empty if it takes none.
        params: Value types of its parameters: one offset in the kernel's memory.
        results: Value types of its results: one offset.
        also: Other signatures under which plugins may import it and which mean the same.
    """

    name: str
    purpose: str
    request: str = ""
    params: tuple[str, ...] = ("i64",)
    results: tuple[str, ...] = ("i64",)
    also: tuple[FunctionType, ...] = ()

    @property
    def type(self) -> FunctionType:
        """The signature."""
        return FunctionType(self.params, self.results)

    @property
    def accepted(self) -> tuple[FunctionType, ...]:
        """Every signature under which it may be imported, the usual one first."""
        return (self.type, *self.also)


#: The host functions of the plugin interface. A request and its reply are JSON in the kernel's memory.
HOST_FUNCTIONS: tuple[HostFunction, ...] = (
    HostFunction("ws_connect", "opens a WebSocket", '{"url", "headers"?, "subprotocol"?}'),
    HostFunction("ws_send", "sends a message on a WebSocket", '{"connectionId", "message"}'),
    HostFunction("ws_receive", "waits for a message from a WebSocket", '{"connectionId", "timeoutMs"?}'),
    HostFunction("ws_close", "closes a WebSocket", '{"connectionId"}'),
    HostFunction("publish_stream_data", "publishes an item of a stream", '{"key", "data", "timestamp"}'),
    HostFunction("http_request", "makes an HTTP request", '{"url", "method", "headers"?, "body"? in base64}'),
    HostFunction(
        "log_record",
        "writes to the host's log",
        '{"pluginId", "eventType", "timestamp", "message"}',
        also=(FunctionType(("i64",), ()),),  # its reply is read by no plugin, and some declare none
    ),
    HostFunction("time_now", "tells the time"),
)

#: Where plugins import the host functions from; which one depends on the month they were built in, and some use both.
NAMESPACES = ("env", "extism:host/user")
#: Where plugins import the runtime's own functions from.
KERNEL_NAMESPACE = "extism:host/env"
#: WASI preview 1.
WASI_NAMESPACE = "wasi_snapshot_preview1"
#: The WASI before it, which nothing offers any more.
WASI_UNSTABLE = "wasi_unstable"

#: How some other SDKs declare host functions: another ABI under the same names.
POINTER_LENGTH_ABI = FunctionType(("i32", "i32"), ("i64",))

_BY_NAME = {function.name: function for function in HOST_FUNCTIONS}


def host_function(name: str) -> HostFunction | None:
    """Return the host function of that name, or None."""
    return _BY_NAME.get(name)
