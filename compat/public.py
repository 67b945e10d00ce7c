"""Everything public, and where it comes from. Users import it as ``compat``, which imports this at its first use."""

from __future__ import annotations

from adapters.bounds import Bounds
from adapters.buckets import TokenBuckets
from adapters.companion.exchange import BorderError
from adapters.contract import (
    Candle,
    EventKind,
    Reply,
    Stream,
    StreamAdapter,
    StreamData,
    StreamEvent,
    StreamKey,
    StreamState,
    StreamStats,
)
from adapters.errors import (
    ConfigurationError,
    KeyFormatError,
    NoProgressError,
    OutageError,
    PluginCallError,
    PluginProtocolError,
    RateLimitError,
    RequestFailedError,
    RestartsExhaustedError,
    StreamRejectedError,
    StreamUsageError,
    UnknownCommandError,
    UnknownExportError,
    UnsupportedPluginError,
)
from adapters.fields import ConfigurationField
from adapters.net.errors import ConnectFailedError, ConnectionLostError, NetworkDeniedError, StreamIdleError
from adapters.net.pacing import Pacing
from adapters.net.policy import NetworkPolicy
from adapters.net.socket import BatchSocket, Connector, PingingSocket, Socket, WebSocketConnector
from adapters.net.tls import Tls, TlsError
from adapters.observe import Crossing, Direction, Observer
from adapters.plugin_info import MessageEncoding, PluginInfo
from adapters.progress import Progress
from adapters.rate_limits import RateLimit
from adapters.runtime.errors import (
    CompanionError,
    GuestFaultError,
    GuestStoppedError,
    MalformedRequestsError,
    PluginExitError,
    PluginTimeoutError,
    PluginTrapError,
    UnsupportedRuntimeError,
)
from adapters.runtime.watch import lingering_guests
from adapters.settings import AdapterSettings, Backoff
from adapters.shared import Shared
from adapters.speech import Speech
from compat import blocking
from compat.configuration import read_config
from compat.errors import ConfigFileError, SourceTakenError, SubscriberTooSlowError, UnknownSourceError
from compat.manager import StreamManager
from compat.overflow import Overflow
from compat.plugin import Opening, Plugin, open_plugin
from compat.status import ManagerStatus, PluginStatus, StreamStatus, SubscriptionStats
from compat.subscription import Subscription
from detectors.bounds import InspectionBounds
from detectors.diagnostics import Diagnostic, Severity
from detectors.errors import CompatError, MachineError, NetworkError, PluginError, UsageError
from detectors.report import DetectionError, ModuleReport, inspect
from detectors.rules import PluginKind

__all__ = [
    "AdapterSettings",
    "Backoff",
    "BatchSocket",
    "BorderError",
    "Bounds",
    "Candle",
    "CompanionError",
    "CompatError",
    "ConfigFileError",
    "ConfigurationError",
    "ConfigurationField",
    "ConnectFailedError",
    "ConnectionLostError",
    "Connector",
    "Crossing",
    "DetectionError",
    "Diagnostic",
    "Direction",
    "EventKind",
    "GuestFaultError",
    "GuestStoppedError",
    "InspectionBounds",
    "KeyFormatError",
    "MachineError",
    "MalformedRequestsError",
    "ManagerStatus",
    "MessageEncoding",
    "ModuleReport",
    "NetworkDeniedError",
    "NetworkError",
    "NetworkPolicy",
    "NoProgressError",
    "Observer",
    "Opening",
    "OutageError",
    "Overflow",
    "Pacing",
    "PingingSocket",
    "Plugin",
    "PluginCallError",
    "PluginError",
    "PluginExitError",
    "PluginInfo",
    "PluginKind",
    "PluginProtocolError",
    "PluginStatus",
    "PluginTimeoutError",
    "PluginTrapError",
    "Progress",
    "RateLimit",
    "RateLimitError",
    "Reply",
    "RequestFailedError",
    "RestartsExhaustedError",
    "Severity",
    "Shared",
    "Socket",
    "SourceTakenError",
    "Speech",
    "Stream",
    "StreamAdapter",
    "StreamData",
    "StreamEvent",
    "StreamIdleError",
    "StreamKey",
    "StreamManager",
    "StreamRejectedError",
    "StreamState",
    "StreamStats",
    "StreamStatus",
    "StreamUsageError",
    "SubscriberTooSlowError",
    "Subscription",
    "SubscriptionStats",
    "Tls",
    "TlsError",
    "TokenBuckets",
    "UnknownCommandError",
    "UnknownExportError",
    "UnknownSourceError",
    "UnsupportedPluginError",
    "UnsupportedRuntimeError",
    "UsageError",
    "WebSocketConnector",
    "blocking",
    "inspect",
    "lingering_guests",
    "open_plugin",
    "read_config",
]
