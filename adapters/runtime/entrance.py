"""The way into an instance: how a call begins and ends, what is seen of it, and how one call serves several inputs.

Everything here runs on the guest's thread.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import attrs

from adapters.companion.border import Border
from adapters.companion.messages import encode_inputs
from adapters.companion.trampoline import COLLECT, HANDLER, MESSAGES
from adapters.observe import Crossing, Direction, Observer
from adapters.runtime.engine import CallOutcome, Instance

__all__ = ["Entrance"]


class Entrance:
    """The way into one instance.

    Args:
        instance: The instance.
        border: The host's end of its border.
        guest: The guest's name, for the observer.
        observer: Sees every call.
    """

    def __init__(self, instance: Instance, border: Border, guest: str, observer: Observer | None = None) -> None:
        self._instance = instance
        self._border = border
        self._guest = guest
        self._observer = observer
        self._handles_many = observer is None and instance.exports(MESSAGES)

    def enter(self, export: str, inputs: Sequence[bytes]) -> list[CallOutcome]:
        """Run an export on one input after the other, in a single call of Extism's.

        Only what handles messages takes several inputs, and only where nobody observes; all else takes the first one.
        Nothing follows a message whose answer has to be looked at before the next is given: any but a success that asks
        for nothing or gives data.

        Args:
            export: The export's name.
            inputs: The inputs, one or more.

        Returns:
            The outcomes of those inputs that the guest was given: one or more, from the first input on. Only the last
            may be a trap.
        """
        if len(inputs) > 1 and self._handles_many and export == HANDLER:
            return self._outcomes(self.run(export, encode_inputs(inputs), called=MESSAGES))
        self._observe(Direction.CALL, export, inputs[0])
        outcome = self.run(export, inputs[0])
        self._observe(Direction.RETURN, export, outcome.output)
        return [outcome]

    def run(self, export: str, data: bytes, *, called: str = "") -> CallOutcome:
        """Run an export once, unobserved.

        Args:
            export: The guest's export.
            data: The input.
            called: The export of `main` that is called, if it has another name.
        """
        instance, border = self._instance, self._border
        border.begin(export)
        outcome = instance.call(called or export, data)
        if outcome.broke:
            border.collect(lambda: instance.call(COLLECT, b""))  # what it said has not all crossed
        border.end()
        return outcome if border.error is None else attrs.evolve(outcome, reason=border.reason())

    def _outcomes(self, call: CallOutcome) -> list[CallOutcome]:
        """The outcomes of the messages of a batch, from that of the call and what the guest has returned before."""
        returned = self._border.returned
        outcomes = [
            CallOutcome(item.code, None, call.output if item.output is None else item.output, reason=reason)
            for item, reason in returned
        ]
        if not call.broke:
            return outcomes
        if returned and returned[-1][0].last:  # it broke behind that message, as a call of one may
            return [*outcomes[:-1], attrs.evolve(call, output=outcomes[-1].output)]
        return [*outcomes, call]

    def _observe(self, direction: Direction, name: str, data: bytes) -> None:
        if self._observer is not None:
            self._observer(Crossing(self._guest, direction, name, data, time.monotonic_ns()))
