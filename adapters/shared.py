"""What all plugins of one process share: what is known of modules, and the account of connections to each host.

There is one for the process, ``PROCESS``; whoever wants a part of the process to stand alone gives
``AdapterSettings(shared=Shared())``.
"""

from __future__ import annotations

import attrs

from adapters.metadata import AnswersCache
from adapters.net.pacing import Pacer
from adapters.plugin_info import MessageEncoding
from adapters.recent import Recent

__all__ = ["PROCESS", "Shared"]

_MODULES_KEPT = 256


@attrs.frozen(eq=False)
class Shared:
    """State that outlives a plugin. May be used from any thread.

    Attributes:
        answers: What modules have said of themselves, by digest: a module says the same whoever asks it.
        encodings: How modules want messages, by digest, where that was found out.
        doors: Through which export a parked guest of a module is entered, by digest, where that was found out.
        pacer: The account of connections and attempts, by host.
    """

    answers: AnswersCache = attrs.field(factory=lambda: AnswersCache(_MODULES_KEPT))
    encodings: Recent[MessageEncoding] = attrs.field(factory=lambda: Recent[MessageEncoding](_MODULES_KEPT))
    doors: Recent[str] = attrs.field(factory=lambda: Recent[str](_MODULES_KEPT))
    pacer: Pacer = attrs.field(factory=Pacer)

    def forget(self) -> None:
        """Forget what was found out of modules and hosts. Connections that are open stay counted."""
        self.answers.clear()
        self.encodings.clear()
        self.doors.clear()
        self.pacer.forget()


#: The one of this process.
PROCESS = Shared()
