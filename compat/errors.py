"""The manager's branch of the error tree."""

from __future__ import annotations

from detectors.errors import UsageError

__all__ = ["SourceTakenError", "SubscriberTooSlowError", "UnknownSourceError"]


class UnknownSourceError(UsageError, LookupError):
    """No plugin is registered under a source name.

    Attributes:
        source: The name asked for.
        known: The names that are registered.
    """

    def __init__(self, source: str, known: tuple[str, ...]) -> None:
        names = ", ".join(known) or "none"
        super().__init__(f"no plugin is registered as source {source!r}", remedy=f"Registered sources: {names}")
        self.source = source
        self.known = known


class SourceTakenError(UsageError):
    """Another plugin is registered under a source name.

    Attributes:
        source: The name.
    """

    def __init__(self, source: str) -> None:
        super().__init__(f"source {source!r} is taken", remedy="Unregister it first, or choose another name")
        self.source = source


class SubscriberTooSlowError(UsageError):
    """A subscription's buffer overflowed, so the subscription ended; nothing before that was lost.

    Attributes:
        stream: The text form of the key.
        buffer: How many items may wait.
    """

    def __init__(self, stream: str, buffer: int) -> None:
        super().__init__(
            f"the subscription to {stream} fell more than {buffer} items behind and was ended",
            remedy="Take items faster, or subscribe with a larger buffer",
        )
        self.stream = stream
        self.buffer = buffer
