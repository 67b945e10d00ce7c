"""The manager's branch of the error tree."""

from __future__ import annotations

from detectors.errors import UsageError

__all__ = ["ConfigFileError", "SourceTakenError", "SubscriberTooSlowError", "UnknownSourceError"]


class ConfigFileError(UsageError):
    """A configuration file cannot be used.

    Attributes:
        path: The file.
        problem: What is wrong; never a value.
    """

    def __init__(self, path: str, problem: str, *, remedy: str = "") -> None:
        super().__init__(f"configuration file {path}: {problem}", remedy=remedy)
        self.path = path
        self.problem = problem


class UnknownSourceError(UsageError, LookupError):
    """No plugin is registered under a source name.

    Attributes:
        source: The name asked for.
        known: The names that are registered.
    """

    def __init__(self, source: str, known: tuple[str, ...]) -> None:
        names = f"Registered are {', '.join(known)}" if known else "None is yet: call register() first"
        super().__init__(f"no plugin is registered as source {source!r}", remedy=names)
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
            f"the subscription to {stream} fell behind by more than {buffer} item{'s'[: buffer != 1]} and was ended",
            remedy="Take items faster, or subscribe with a larger buffer or another overflow policy",
        )
        self.stream = stream
        self.buffer = buffer
