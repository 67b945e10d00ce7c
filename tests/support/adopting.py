"""The two stream managers of ``examples/adopting``, and the company around them."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import attrs

from compat import AdapterSettings, NetworkPolicy
from examples.adopting import after, before
from examples.adopting.owner import CompanyConnector, Manager, Market, Tick
from tests.support.plugins import GENERIC, PLUGINS, PluginFixture
from tests.support.simex import QUICK

if TYPE_CHECKING:
    import pytest

__all__ = ["BITCOIN", "CASES", "HOST", "NOWHERE", "Case", "Company"]

BITCOIN, NOWHERE = Market("simex", "BTC-USDT", "1m"), Market("simex", "NOPE-USDT", "1m")
HOST = "wss://stream.simex.example"


@attrs.define(eq=False)
class Company:
    """The owner: everything a manager is given, and what came of it."""

    caplog: pytest.LogCaptureFixture
    logger: logging.Logger = attrs.field(factory=lambda: logging.getLogger("company"))
    connector: CompanyConnector = attrs.field(factory=CompanyConnector)
    ticks: list[Tick] = attrs.field(factory=list)
    threads: set[str] = attrs.field(factory=set)
    sink_is_broken: bool = False
    times: Iterator[int] = attrs.field(factory=lambda: itertools.count(1))
    failures: list[int] = attrs.field(factory=list)
    settings: AdapterSettings = attrs.field(factory=lambda: AdapterSettings(backoff=QUICK))

    def sink(self, tick: Tick) -> None:
        if self.sink_is_broken:
            raise ZeroDivisionError
        self.threads.add(threading.current_thread().name)
        self.ticks.append(tick)

    def clock(self) -> int:
        """So small that no other clock shows such a time."""
        return next(self.times)

    def wait(self, failures: int) -> float:
        """Not at all; but remember after how many failures in a row that was asked."""
        self.failures.append(failures)
        return 0.0

    def said(self, level: int = logging.WARNING) -> list[str]:
        return [record.getMessage() for record in self.records if record.levelno >= level]

    @property
    def records(self) -> list[logging.LogRecord]:
        return [record for record in self.caplog.records if record.name == self.logger.name]

    def before(self) -> Manager:
        return before.StreamManager(
            connector=self.connector, sink=self.sink, clock=self.clock, logger=self.logger, wait=self.wait
        )

    def after(self, policy: NetworkPolicy | None = None) -> Manager:
        return after.StreamManager(
            connector=self.connector,
            sink=self.sink,
            clock=self.clock,
            logger=self.logger,
            wait=self.wait,
            settings=attrs.evolve(self.settings, policy=policy or NetworkPolicy()),
        )

    def after_on_loopback(self) -> Manager:
        return self.after(NetworkPolicy(allow_private=True))


@attrs.frozen
class Case:
    manager: Callable[[Company], Manager]
    plugin: PluginFixture

    @property
    def is_new(self) -> bool:
        return self.manager is not Company.before


CASES = {
    "before, legacy-callback": Case(Company.before, PLUGINS["legacy-callback"]),
    "after, legacy-callback": Case(Company.after_on_loopback, PLUGINS["legacy-callback"]),
    "after, legacy-command": Case(Company.after_on_loopback, PLUGINS["legacy-command"]),
    "after, generic-blocking": Case(Company.after_on_loopback, GENERIC),
}
