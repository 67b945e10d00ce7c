"""``plugin-compat demo``: one market through a legacy and a generic plugin at once, interrupted, and judged."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator

import click
from rich.console import Console

from compat.cli.command import Command, Session
from compat.cli.dashboard import Dashboard, Plan
from compat.cli.loop import on_event_loop
from compat.cli.parameters import Whole
from compat.demo.lines import Lines
from compat.demo.plot import BRISK, WATCHED, Pace, perform
from compat.demo.show import View

__all__ = ["demo"]


@click.command(cls=Command, short_help="Watch a legacy and a generic plugin side by side.")
@click.option(
    "--candles",
    type=Whole(1, 10_000),
    metavar="N",
    default=20,
    show_default=True,
    help="How many both are to deliver before the interruption; for many, the exchange sends faster.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated market.")
@click.pass_obj
def demo(session: Session, candles: int, seed: int) -> int:
    """Show both kinds of plugin side by side, and that they survive a lost connection.

    An exchange is simulated on loopback; a legacy and a generic plugin of that exchange, both built with the real Go
    toolchain, stream the same market over real WebSockets through the same interface. Halfway the exchange cuts both
    connections and is down for a moment. In the end it is checked, and told, what has been proven: that both
    delivered the same candles as the exchange sent, that what is missing was told, that nothing was left behind.

    On a terminal you can watch it, elsewhere it writes plain lines. Takes about ten seconds, and exits with 1 if
    anything that was checked failed.
    """
    try:
        with _view(session) as (view, pace):
            logger = None if session.debug else _nowhere()
            show = on_event_loop(perform(candles, seed, session.pace or pace, view, logger=logger))
    except KeyboardInterrupt:
        return 130
    return 0 if show.passed else 1


@contextlib.contextmanager
def _view(session: Session) -> Iterator[tuple[View, Pace]]:
    """What suits stdout, and how fast the show goes there."""
    console = Console()
    if _can_be_drawn_on(console) and not session.debug:  # the log would be written across the frame
        with Dashboard(console) as dashboard:
            yield dashboard, WATCHED
    else:
        yield Lines(click.echo), BRISK


def _can_be_drawn_on(console: Console) -> bool:
    # FORCE_COLOR makes a terminal of every pipe, which is right for colours and wrong for a moving picture.
    return (
        console.is_terminal
        and console.file.isatty()
        and not console.is_dumb_terminal
        and console.encoding.startswith("utf")
        and Plan.fit(*console.size) is not None
    )


def _nowhere() -> logging.Logger:
    """For the plugins' log: what it says of the interruption is shown in other words."""
    logger = logging.getLogger("compat.demo.unheard")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())
    return logger
