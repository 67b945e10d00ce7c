"""``plugin-compat info``: what plugins say of themselves, beside what they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import click

from adapters.fields import ConfigurationField, as_text
from adapters.plugin_info import MessageEncoding, PluginInfo
from adapters.rate_limits import RateLimit
from compat.cli.command import Command, Session, tell
from compat.cli.loop import on_event_loop
from compat.cli.output import print_reports, wrapped
from compat.cli.parameters import FILE, format_option
from compat.cli.progress import waiting
from compat.plugin import open_plugin
from detectors.errors import CompatError
from detectors.report import DetectionError, ModuleReport
from detectors.report import inspect as inspect_module
from detectors.wording import shown

__all__ = ["info"]


@attrs.frozen
class _Card:
    """A plugin's own words and the detector's.

    Attributes:
        report: What the detector says of the file.
        info: What the plugin says; of one that cannot run only the problems.
        error: Why it cannot run; None if it can.
    """

    report: ModuleReport
    info: PluginInfo
    error: CompatError | None = None


_ENCODINGS = {MessageEncoding.TEXT: "as text", MessageEncoding.BASE64: "in base64"}


@click.command(cls=Command, short_help="Ask plugins for their name, stream types and addresses.")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@format_option
def info(files: tuple[Path, ...], style: str) -> int:
    """Ask each plugin FILE what it is: name, version, stream types, and the addresses that it will reach.

    This runs the plugin's metadata exports (plugin_info, meta, and those that declare its configuration and rate
    limits), each for five seconds at most and without any network, and holds what they say against the module. Exits
    with 1 if one of them fails, or if a file is no plugin that can run: 'inspect' says why.

    \b
    Example:
      plugin-compat info woox.wasm
    """
    with waiting("asking the plugin" if len(files) == 1 else f"asking {len(files)} plugins"):
        cards = on_event_loop(_ask(files))
    told = [card for card in cards if card.error is None] if style == "text" else cards
    if told:
        print_reports(style, "plugins", told, _to_dict, _describe)
    for card in cards if style == "text" else ():
        if card.error is not None:
            tell(card.error, click.get_current_context().ensure_object(Session))
    return 1 if any(card.info.problems for card in cards) else 0


async def _ask(files: tuple[Path, ...]) -> list[_Card]:
    cards = []
    for path in files:
        try:
            async with open_plugin(path) as plugin:
                cards.append(_Card(plugin.report, await plugin.info()))
        except CompatError as error:  # one that cannot run must not hide the others
            cards.append(_Card(inspect_module(path), PluginInfo(name=path.stem, problems=_problems(error)), error))
    return cards


def _problems(error: CompatError) -> tuple[str, ...]:
    if isinstance(error, DetectionError):
        return tuple(f"{found.slug}: {found.message} {found.remedy}".rstrip() for found in error.diagnostics)
    return (str(error),)


def _to_dict(card: _Card) -> dict[str, Any]:
    said, report = card.info, card.report
    return {
        "path": report.path,
        "sha256": report.sha256,
        "kind": str(report.kind),
        "dialect": report.dialect,
        "runnable": report.runnable,
        "pluginId": said.plugin_id,
        "name": said.name,
        "version": said.version,
        "author": said.author,
        "description": said.description,
        "streamTypes": said.stream_types,
        "networkTargets": said.network_targets,
        "problems": said.problems,
        "discrepancies": said.discrepancies,
        "messageEncoding": said.message_encoding,
        "configurationFields": [attrs.asdict(field) for field in said.fields],
        "rateLimits": [attrs.asdict(limit) for limit in said.rate_limits],
    }


def _field(field: ConfigurationField) -> str:
    marks = [mark for mark, holds in (("required", field.required), ("secret", field.secret)) if holds]
    if field.default is not None:
        marks.append(f"by default {shown(as_text(field.default), 40)}")
    return f"{shown(field.name)} ({', '.join(marks)})" if marks else shown(field.name)


def _limit(limit: RateLimit) -> str:
    command = "all commands" if limit.command == "*" else shown(limit.command)
    return f"{command} {limit.rps / limit.cost:.3g}/s by {' and '.join(limit.scopes)}"


def _describe(card: _Card) -> Iterator[str]:
    said, report = card.info, card.report
    by = f" by {shown(said.author)}" if said.author else ""
    name = f"{click.style(shown(said.name), bold=True)} {shown(said.version)}".rstrip()
    yield f"{shown(report.path or '', 1_000)}: {name}{by}"
    if said.description:
        yield f"  {shown(said.description, 1_000)}"
    yield wrapped("kind", [str(report.kind), *([f"{report.dialect} dialect"] if report.dialect else [])])
    yield wrapped("streams", map(shown, said.stream_types) if said.stream_types else ["it does not say which types"])
    yield wrapped(
        "reaches", map(shown, said.network_targets) if said.network_targets else ["nothing: it declares no addresses"]
    )
    if said.message_encoding is not None:
        yield wrapped("messages", [_ENCODINGS[said.message_encoding]])
    if said.fields:
        yield wrapped("config", map(_field, said.fields))
    if said.rate_limits:
        yield wrapped("limits", map(_limit, said.rate_limits))
    for problem in said.problems:
        yield f"  {click.style('problem', fg='red', bold=True)}: {shown(problem, 1_000)}"
    for told in said.discrepancies:
        yield f"  {click.style('note', fg='yellow', bold=True)}: {shown(told, 1_000)}"
