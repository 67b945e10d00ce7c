"""The handlers of one guest, with everything that they hand over or ask for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from adapters.progress import Progress
from adapters.runtime.hostcalls import HttpReply, Publication, handlers_for
from adapters.runtime.malformed import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from detectors.errors import CompatError

__all__ = ["CLOCK", "Desk", "FakeNetwork"]

#: The time that a guest is told.
CLOCK = 1_234_567_890_123_456_789


class FakeNetwork:
    """A network that notes what it is asked for and answers as it is told."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.error: CompatError | None = None
        self.message: str | None = "message"
        self.reply = HttpReply(200, {"A": ["1", "2"]}, b"\x00\xff")

    def _note(self, *what: Any) -> None:
        self.asked.append(what)
        if self.error is not None:
            raise self.error

    def connect(self, url: str, headers: Mapping[str, str], subprotocol: str | None) -> str:
        self._note("connect", url, headers, subprotocol)
        return "ws-1"

    def send(self, connection_id: str, message: str) -> None:
        self._note("send", connection_id, message)

    def receive(self, connection_id: str, timeout_ms: int, most: int = 1) -> list[str]:
        assert most == 1
        self._note("receive", connection_id, timeout_ms)
        return [] if self.message is None else [self.message]

    def close(self, connection_id: str) -> None:
        self._note("close", connection_id)

    def request(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self._note("request", method, url, headers, body)
        return self.reply


class Desk:
    """The handlers of a guest with everything they hand over."""

    def __init__(self) -> None:
        self.network = FakeNetwork()
        self.published: list[Publication] = []
        self.refusal: str | None = None
        self.logged: list[tuple[str, str, Any]] = []
        self.lost: list[str] = []
        self.told: list[str] = []
        self.waited: list[float] = []
        self.handlers = handlers_for(
            self.network, self._publish, self._log, self._malformed, lost=self.lost.append, clock=lambda: CLOCK
        )

    def _malformed(self, function: str) -> Malformed:
        progress = Progress(malformed_free=1, malformed_pace=0.5, malformed_most=3)
        return Malformed(function, plugin="p", tell=self.told.append, wait=self.waited.append, progress=progress)

    def _publish(self, publication: Publication) -> str | None:
        self.published.append(publication)
        return self.refusal

    def _log(self, event_type: str, message: str, data: Any) -> None:
        self.logged.append((event_type, message, data))

    def ask(self, name: str, request: Any) -> Any:
        raw = request if isinstance(request, bytes) else json.dumps(request).encode()
        reply = self.handlers[name](raw)
        return json.loads(reply) if reply else None
