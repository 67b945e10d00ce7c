"""From a report to the adapter that runs it.

There is no table to edit: a kind's adapter is the ``ADAPTER`` of the module in this package that bears the kind's name.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from adapters.errors import UnsupportedPluginError

if TYPE_CHECKING:
    from adapters.contract import StreamAdapter
    from adapters.settings import AdapterSettings
    from detectors.report import ModuleReport
    from detectors.rules import PluginKind

__all__ = ["AdapterFactory", "make_adapter"]


class AdapterFactory(Protocol):
    """What every adapter's module exports as ``ADAPTER``."""

    def __call__(self, name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings, /) -> StreamAdapter:
        """Make an adapter for one plugin."""
        ...


def make_adapter(
    name: str, wasm: bytes, report: ModuleReport, settings: AdapterSettings, kind: PluginKind | None = None
) -> StreamAdapter:
    """The adapter for a module.

    Args:
        name: What to call the plugin in errors and logs.
        wasm: The module's bytes.
        report: What the detector says of them.
        settings: What the user chose.
        kind: The kind to run it as, where it offers several; ``None``: the one it is reported as.

    Raises:
        DetectionError: The report has errors.
        UnsupportedPluginError: The module is of no kind that an adapter runs, or not of the chosen one.
    """
    report.raise_for_errors()
    chosen = kind or report.kind
    offered = tuple(dict.fromkeys(offer.kind.value for offer in report.offers if offer.usable))
    if chosen.value not in offered:
        problem = report.reason if kind is None else f"it offers {', '.join(offered) or 'no known interface'}"
        remedy = f"Choose one of {', '.join(offered)}" if offered else "See plugin-compat inspect for what it is"
        raise UnsupportedPluginError(name, chosen.value, problem, remedy=remedy)
    try:
        module = importlib.import_module(f"adapters.{chosen.value}")
    except ModuleNotFoundError as error:
        if error.name != f"adapters.{chosen.value}":  # an adapter there is, but something that it needs is missing
            raise
        raise UnsupportedPluginError(name, chosen.value, "there is no adapter for this kind") from error
    return cast("AdapterFactory", module.ADAPTER)(name, wasm, report, settings)
