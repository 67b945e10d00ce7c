"""``plugin-compat info``: what plugins say of themselves, beside what they are."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from adapters.contract import PluginInfo
from compat.cli.command import Command
from compat.cli.output import print_reports, wrapped
from compat.cli.parameters import FILE, format_option
from compat.cli.progress import waiting
from compat.plugin import open_plugin
from detectors.report import ModuleReport
from detectors.wording import shown

__all__ = ["info"]


@attrs.frozen
class _Card:
    """A plugin's own words and the detector's."""

    path: Path
    info: PluginInfo
    report: ModuleReport


@click.command(cls=Command, short_help="Ask plugins for their name, stream types and addresses.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@format_option
def info(files: tuple[Path, ...], style: str) -> int:
    """Ask each plugin FILE what it is: name, version, stream types, and the addresses that it will reach.

    This runs the plugin's metadata exports (plugin_info and meta), each for five seconds at most and without any
    network. Exits with 1 if one of them fails, or if a file is no plugin that can run: 'inspect' says why.

    \b
    Example:
      plugin-compat info woox.wasm
    """
    with waiting("asking the plugin" if len(files) == 1 else f"asking {len(files)} plugins"):
        cards = asyncio.run(_ask(files))
    print_reports(style, "plugins", cards, _to_dict, _describe)
    return 1 if any(card.info.problems for card in cards) else 0


async def _ask(files: tuple[Path, ...]) -> list[_Card]:
    cards = []
    for path in files:
        async with open_plugin(path) as plugin:
            cards.append(_Card(path, await plugin.info(), plugin.report))
    return cards


def _to_dict(card: _Card) -> dict[str, Any]:
    return {
        "path": str(card.path),
        "sha256": card.report.sha256,
        "kind": str(card.report.kind),
        "dialect": card.report.dialect,
        "name": card.info.name,
        "version": card.info.version,
        "author": card.info.author,
        "description": card.info.description,
        "streamTypes": card.info.stream_types,
        "networkTargets": card.info.network_targets,
        "problems": card.info.problems,
    }


def _describe(card: _Card) -> Iterator[str]:
    said, report = card.info, card.report
    by = f" by {shown(said.author)}" if said.author else ""
    yield f"{card.path}: {click.style(shown(said.name), bold=True)} {shown(said.version)}".rstrip() + by
    if said.description:
        yield f"  {shown(said.description, 1_000)}"
    yield wrapped("kind", [str(report.kind), *([f"{report.dialect} dialect"] if report.dialect else [])])
    yield wrapped("streams", map(shown, said.stream_types) if said.stream_types else ["it does not say which types"])
    yield wrapped(
        "reaches", map(shown, said.network_targets) if said.network_targets else ["nothing: it declares no addresses"]
    )
    for problem in said.problems:
        yield f"  {click.style('problem', fg='red', bold=True)}: {shown(problem, 1_000)}"
