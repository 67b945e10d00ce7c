"""The catalogue: everything that can be found wrong with a module, or worth knowing, in one table.

``docs/diagnostics.md`` explains every slug, and a test keeps the two in step. What a rule looks for is in
:mod:`detectors.checks`; the rows without a check are found while the bytes are read, and then nothing else is.
"""

from __future__ import annotations

from detectors.checks import build, companion, imports, instantiation, interface
from detectors.diagnostics import Rule, Severity

__all__ = ["CATALOGUE"]

_E, _W, _I = Severity.ERROR, Severity.WARNING, Severity.INFO

#: Every rule, in the order in which findings are told.
CATALOGUE: tuple[Rule, ...] = (
    # What the bytes are, when they are no core module.
    Rule("not-wasm", _E, "bytes that are something else, or nothing"),
    Rule("truncated", _E, "a module that ends too early"),
    Rule("component", _E, "a component instead of a core module"),
    Rule("text-format", _E, "the text format instead of the binary one"),
    Rule("compressed", _E, "an archive or compressed file"),
    Rule("html", _E, "a web page, from a download that failed"),
    Rule("too-large", _E, "a module beyond what is read"),
    Rule("invalid-module", _E, "a module that fails validation"),
    # What it exports.
    Rule("foreign-abi", _E, "a module of another plugin system", imports.foreign_abi),
    Rule("no-interface", _E, "no plugin interface", interface.no_interface),
    Rule("incomplete-interface", _E, "an interface without its required companions", interface.incomplete_interface),
    Rule("go-command-module", _E, "a Go program instead of a reactor", interface.go_command_module),
    Rule("command-and-reactor", _E, "both _start and _initialize", instantiation.command_and_reactor),
    Rule("command-module", _W, "a program instead of a reactor", interface.command_module),
    Rule(
        "wrong-export-signature",
        _E,
        "an export of the interface that is not () -> i32",
        interface.wrong_export_signature,
    ),
    Rule(
        "wrong-lifecycle-export",
        _E,
        "an _initialize or _start that the runtime cannot use",
        instantiation.wrong_lifecycle_export,
    ),
    Rule("misspelt-export", _W, "an export that is nearly one of the interface", interface.misspelt_export),
    # What it imports.
    Rule("wrong-import-signature", _E, "an offered function under another signature", imports.wrong_import_signature),
    Rule("unknown-host-function", _E, "an import that nothing answers", imports.unknown_host_function),
    Rule("foreign-namespace", _E, "an offered function from a namespace that is not served", imports.foreign_namespace),
    Rule("unknown-kernel-function", _E, "a kernel function that this Extism lacks", imports.unknown_kernel_function),
    Rule("unknown-wasi-function", _E, "a function that WASI preview 1 lacks", imports.unknown_wasi_function),
    Rule("wasi-unstable", _E, "the WASI before preview 1", imports.wasi_unstable),
    Rule("reserved-name", _E, "a name that the host keeps for itself", companion.reserved_name),
    Rule("unserved-wasi", _W, "WASI that the host cannot serve beside this memory", companion.unserved_wasi),
    Rule("kernel-http", _W, "Extism's own HTTP client, which is closed", imports.kernel_http),
    # How it starts.
    Rule("start-section", _I, "code that runs before the first call", instantiation.start_section),
    Rule("shared-memory", _E, "a memory shared by threads", instantiation.shared_memory),
    Rule("segment-out-of-bounds", _E, "initial contents that do not fit", instantiation.segment_out_of_bounds),
    Rule("huge-memory", _W, "a large initial memory or table", instantiation.huge_memory),
    # How it was built.
    Rule("oversized", _W, "a module that takes long to load", build.oversized),
    Rule("debug-build", _I, "debug information that could be left out", build.debug_build),
    # Worth knowing.
    Rule("both-interfaces", _I, "more than one kind offered", interface.both_interfaces),
    Rule("legacy-deprecated", _I, "a plugin of the legacy kind", interface.legacy_deprecated),
    Rule("mixed-namespaces", _I, "host functions from both namespaces", imports.mixed_namespaces),
    Rule("needs-wasi", _I, "the use of WASI", imports.needs_wasi),
)
