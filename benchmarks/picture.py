"""Where the time of one message goes, as a picture: a bar for each kind of plugin, and the bare loop's beside it."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from benchmarks.where import PARTS

__all__ = ["picture", "words"]

_COLOURS = ("#4477aa", "#66ccee", "#228833", "#ccbb44", "#ee6677", "#aa3377", "#999999")  # told apart by everyone
_BARE = "#bbbbbb"
_WIDTH, _LEFT, _BAR, _GAP, _LINE = 860, 130, 26, 10, 22


def picture(profiles: Mapping[str, Mapping[str, float]]) -> str:
    """An SVG of stacked bars, one for each kind; their width is microseconds of processor time a message."""
    totals = {kind: sum(values[part] for part in PARTS) for kind, values in profiles.items()}
    widest = max(*totals.values(), *(values["bare"] for values in profiles.values()))
    scale = (_WIDTH - _LEFT - 90) / widest
    drawn, top = [], 34
    for kind, values in profiles.items():
        drawn.append(_text(8, top + 18, kind))
        left = float(_LEFT)
        for (part, title), colour in zip(PARTS.items(), _COLOURS, strict=True):
            width = values[part] * scale
            drawn.append(_bar(left, top, width, colour, f"{title}: {values[part]:.1f} µs"))
            if width > 34:
                drawn.append(_text(left + width / 2, top + 18, f"{values[part]:.0f}", "middle", "#ffffff"))
            left += width
        drawn.append(_text(left + 6, top + 18, f"{totals[kind]:.0f} µs"))
        top += _BAR + 4
        drawn.append(_text(8, top + 13, "its bare loop", size=11))
        drawn.append(_bar(_LEFT, top + 2, values["bare"] * scale, _BARE, f"bare loop: {values['bare']:.1f} µs"))
        drawn.append(_text(_LEFT + values["bare"] * scale + 6, top + 14, f"{values['bare']:.0f} µs", size=11))
        top += _BAR + _GAP
    for title, colour in zip(PARTS.values(), _COLOURS, strict=True):
        drawn += [_bar(_LEFT, top, 14, colour, title, 14), _text(_LEFT + 22, top + 12, title, size=12)]
        top += _LINE
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top + 8}" font-family="sans-serif">',
            f'<rect width="{_WIDTH}" height="{top + 8}" fill="#ffffff"/>',
            _text(8, 20, "Processor time of one message, from the socket to the consumer"),
            *drawn,
            "</svg>\n",
        ]
    )


def words(profiles: Mapping[str, Mapping[str, float]]) -> str:
    """The same as a table in Markdown."""
    lines = [f"| µs a message | {' | '.join(profiles)} |", f"|---|{'---|' * len(profiles)}"]
    for part, title in {**PARTS, "bare": "beside it: all of the bare loop"}.items():
        lines.append(f"| {title} | {' | '.join(f'{values[part]:.1f}' for values in profiles.values())} |")
    return "\n".join(lines)


def _bar(left: float, top: float, width: float, colour: str, title: str, height: float = 0) -> str:
    high = height or (_BAR if colour != _BARE else _BAR - 12)
    shape = f'x="{left:.1f}" y="{top}" width="{max(width, 0):.1f}" height="{high}" fill="{colour}"'
    return f"<rect {shape}><title>{escape(title)}</title></rect>"


def _text(left: float, top: float, text: str, anchor: str = "start", colour: str = "#222222", size: int = 14) -> str:
    place = f'x="{left:.1f}" y="{top}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
