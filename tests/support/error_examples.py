"""Errors of the adapters, one or more of each, with what each is to say."""

from __future__ import annotations

from typing import Any

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
from adapters.net.errors import (
    ConnectFailedError,
    ConnectionLostError,
    NetworkDeniedError,
    StreamIdleError,
)
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
from detectors.errors import CompatError, NetworkError, PluginError, UsageError

__all__ = ["EXAMPLES", "SECRET_URL", "SHOWN_URL"]

SECRET_URL = "wss://user:s3cret@host.example:8443/path/x?token=s3cret#s3cret"
SHOWN_URL = "wss://host.example:8443/path/x"

DEFECT = "A defect of the plugin: give its author the backtrace (--debug, or .trace of this error)"

#: An error, its branch, some of its facts, and its text.
EXAMPLES: list[tuple[CompatError, type[CompatError], dict[str, Any], str]] = [
    (
        PluginCallError("p", "e", 3, "no market"),
        PluginError,
        {"plugin": "p", "export": "e", "code": 3, "reason": "no market"},
        "plugin 'p': e failed: no market",
    ),
    (
        PluginCallError("p", "e", 3, ""),
        PluginError,
        {"reason": ""},
        "plugin 'p': e failed with return code 3 and no reason. The plugin's log records may tell more",
    ),
    (
        PluginTrapError("p", "e", "error\n  wasm trap: unreachable\n"),
        PluginError,
        {"plugin": "p", "export": "e", "trace": "error\n  wasm trap: unreachable\n"},
        f"plugin 'p': e trapped: unreachable. {DEFECT}",
    ),
    (
        PluginTrapError("p", "", ""),
        PluginError,
        {"export": "", "message": "plugin 'p': could not be instantiated: no further word"},
        (
            "plugin 'p': could not be instantiated: no further word. Run plugin-compat inspect on the module; if it "
            "finds nothing, check the machine (disk, memory)"
        ),
    ),
    (
        PluginTrapError("p", "e", "error\n  wasm trap: unreachable\n", said="panic: no price"),
        PluginError,
        {"said": "panic: no price", "message": "plugin 'p': e trapped: unreachable; it said: panic: no price"},
        f"plugin 'p': e trapped: unreachable; it said: panic: no price. {DEFECT}",
    ),
    (
        PluginTrapError("p", "e", "wasm trap: unreachable\n", memory=(2**20, 2**21), table=(5_000, 5_500)),
        PluginError,
        {"memory": (2**20, 2**21), "table": (5_000, 5_500)},
        (
            "plugin 'p': e trapped: unreachable; it had 1.0 MiB of memory, of 2.0 MiB that a guest may have; it had "
            "5,000 entries in a table, of 5,500 that a guest may have. If that is right, allow more: "
            "AdapterSettings(bounds=Bounds(guest_memory=..., guest_table=...)); else it is a defect"
        ),
    ),
    (
        PluginExitError("p", "e", 0, said="bye"),
        PluginError,
        {"plugin": "p", "export": "e", "code": 0, "said": "bye"},
        (
            "plugin 'p': e ended the plugin, by proc_exit with code 0; it said: bye. A defect of the plugin, which has "
            "to return instead: give its author what it said"
        ),
    ),
    (
        GuestFaultError("p", "e", "stale-block", "used a block again", remedy="Keep more"),
        PluginError,
        {"plugin": "p", "export": "e", "fault": "stale-block"},
        "plugin 'p': e used a block again. Keep more",
    ),
    (
        NoProgressError("p", "a:b:c", "it hangs", 30.2, "start_stream runs", setting="hung_after"),
        PluginError,
        {"plugin": "p", "stream": "a:b:c", "seen": "it hangs", "seconds": 30.2, "facts": "start_stream runs"},
        (
            "plugin 'p': stream a:b:c makes no progress: it hangs for 30 s: start_stream runs. A defect of the plugin: "
            "tell its author. If it is right to take so long, allow more: "
            "AdapterSettings(progress=Progress(hung_after=...))"
        ),
    ),
    (
        MalformedRequestsError("p", "ws_send", 3, 2, "no JSON", kind="malformed"),
        PluginError,
        {"plugin": "p", "function": "ws_send", "count": 3, "most": 2, "problem": "no JSON", "kind": "malformed"},
        (
            "plugin 'p': it made 3 malformed requests to ws_send in a row, of 2 that it may, last: no JSON. A defect "
            "of the plugin: tell its author. AdapterSettings(progress=Progress(malformed_most=...)) allows more"
        ),
    ),
    (
        UnsupportedRuntimeError("1.99", "no shim"),
        UsageError,
        {"installed": "1.99", "problem": "no shim"},
        (
            "Extism 1.99 does not link plugins as it has to: no shim. Install extism-sys 1.41.0, which plugin-compat "
            "is tested with"
        ),
    ),
    (
        UnsupportedRuntimeError("1.41.0", "No space left on device"),
        UsageError,
        {"installed": "1.41.0"},
        (
            "Extism 1.41.0 does not link plugins as it has to: No space left on device. plugin-compat is tested with "
            "extism-sys 1.41.0, so check the machine (disk, memory)"
        ),
    ),
    (
        PluginTimeoutError("p", "e", 2.50),
        PluginError,
        {"plugin": "p", "export": "e", "timeout": 2.5},
        "plugin 'p': e did not return within 2.5 s. Its guest was cancelled; give it a longer timeout if it needs one",
    ),
    (
        CompanionError("imported-memory", "The module imports a memory", "Define it"),
        PluginError,
        {"form": "imported-memory"},
        "The module imports a memory. Define it",
    ),
    (
        PluginProtocolError("p", "e", "it is empty"),
        PluginError,
        {"plugin": "p", "export": "e", "problem": "it is empty"},
        "plugin 'p': the answer of e is unusable: it is empty",
    ),
    (
        StreamRejectedError("p", "a:b:c", ""),
        PluginError,
        {"plugin": "p", "stream": "a:b:c", "reason": ""},
        (
            "plugin 'p' refused stream a:b:c: no reason given. "
            "Check the key's type, identifier and parameters, and the plugin's configuration"
        ),
    ),
    (
        RestartsExhaustedError("p", "a:b:c", ("one", "two")),
        PluginError,
        {"plugin": "p", "stream": "a:b:c", "reasons": ("one", "two")},
        "plugin 'p': stream a:b:c failed 2 times without being healthy in between, last: two",
    ),
    (
        RestartsExhaustedError("p", "a:b:c", ()),
        PluginError,
        {"reasons": (), "failures": 0},
        "plugin 'p': stream a:b:c failed 0 times without being healthy in between, last: unknown",
    ),
    (
        OutageError("p", "a:b:c", ("refused",), 70),
        NetworkError,
        {"plugin": "p", "stream": "a:b:c", "reasons": ("refused",), "failures": 70},
        (
            "plugin 'p': stream a:b:c failed 70 times without being healthy in between, last: refused. "
            "Open it again when the exchange is back; Backoff says how long to try"
        ),
    ),
    (
        StreamIdleError("a:b:c", 0.5),
        NetworkError,
        {"stream": "a:b:c", "limit": 0.5},
        "stream a:b:c is stale: no item came for 0.5 s, its idle limit",
    ),
    (
        GuestStoppedError("p", "e"),
        PluginError,
        {"plugin": "p", "export": "e"},
        "plugin 'p': e was not completed because its guest was stopped",
    ),
    (
        ConnectFailedError(SECRET_URL, "refused"),
        NetworkError,
        {"url": SHOWN_URL, "problem": "refused", "status": None, "retry_after": None},
        f"could not connect to {SHOWN_URL}: refused",
    ),
    (
        ConnectFailedError(SECRET_URL, "too many", remedy="Wait", status=429, retry_after=1.5),
        NetworkError,
        {"status": 429, "retry_after": 1.5},
        f"could not connect to {SHOWN_URL}: too many. Wait",
    ),
    (
        ConnectionLostError(SECRET_URL, "too long", remedy="Raise it"),
        NetworkError,
        {"problem": "too long", "remedy": "Raise it"},
        f"the connection to {SHOWN_URL} was lost: too long. Raise it",
    ),
    (
        ConnectionLostError(SECRET_URL, "it broke off"),
        NetworkError,
        {"url": SHOWN_URL, "problem": "it broke off"},
        f"the connection to {SHOWN_URL} was lost: it broke off",
    ),
    (
        NetworkDeniedError("p", SECRET_URL, "not declared", "Declare it"),
        UsageError,
        {"plugin": "p", "url": SHOWN_URL, "rule": "not declared"},
        f"plugin 'p' may not reach {SHOWN_URL}: not declared. Declare it",
    ),
    (
        ConfigurationError("p", "init: bad key", remedy="Check it"),
        UsageError,
        {"plugin": "p", "problem": "init: bad key", "missing": ()},
        "plugin 'p': configuration refused: init: bad key. Check it",
    ),
    (
        UnknownExportError("p", "e", ("a", "b")),
        UsageError,
        {"plugin": "p", "export": "e", "exports": ("a", "b")},
        "plugin 'p' exports no function 'e' that can be called. It exports a, b",
    ),
    (
        RequestFailedError("p", "getMarkets", "maintenance"),
        PluginError,
        {"plugin": "p", "command": "getMarkets", "reason": "maintenance"},
        "plugin 'p' refused 'getMarkets': maintenance",
    ),
    (
        UnknownCommandError("p", "getMarket", ("getMarkets",)),
        UsageError,
        {"plugin": "p", "command": "getMarket", "commands": ("getMarkets",)},
        "plugin 'p' has no way to take 'getMarket'. Did you mean 'getMarkets'? It takes getMarkets",
    ),
    (
        RateLimitError("p", "getMarkets", 12.5, 5.0),
        UsageError,
        {"plugin": "p", "command": "getMarkets", "wait": 12.5, "timeout": 5.0},
        (
            "plugin 'p': its rate limits let 'getMarkets' through in 12.5 s, not within 5 s. "
            "Ask less often, or with a longer timeout"
        ),
    ),
    (
        UnsupportedPluginError("p", "third", "no adapter"),
        UsageError,
        {"plugin": "p", "kind": "third"},
        "plugin 'p' cannot run as third: no adapter",
    ),
    (StreamUsageError("closed"), UsageError, {}, "closed"),
    (
        KeyFormatError("not a key"),
        UsageError,
        {},
        "not a key. The form is type:source:identifier?name=value, each part percent-encoded",
    ),
]
