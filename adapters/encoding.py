"""How a message is given to a plugin of the command dialect: as a text, or as bytes in base64.

The type changed with the SDK on 26 December 2025, and no export tells which one a plugin wants (ABI 2b). What decides,
in this order: the user; the SDK's version, where the module tells it; what the plugin makes of its first messages,
which is remembered. The rules are tables from what it did to what follows.

A plugin reads one of the two forms. The other is noise to it, which it refuses or ignores, so that a message given in
both forms has been delivered once.
"""

from __future__ import annotations

import base64
import binascii
import enum
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol, TypeVar

import attrs

from adapters.plugin_info import MessageEncoding
from adapters.recent import Recent

if TYPE_CHECKING:
    from detectors.report import ModuleReport

__all__ = ["AFTER_BASE64", "AFTER_TEXT", "Encoder", "Taken", "Verdict", "declared", "encoded", "took"]

_SDK = "github.com/plusev-terminal/go-plugin-common"
_CHANGED = datetime(2025, 12, 26, tzinfo=UTC).date()
_PSEUDO_VERSION = re.compile(r"[-.](\d{14})-[0-9a-f]{12}(?:\+incompatible)?$")
# Go's decoder names it. The other is all that the SDK says of a request whose fields are not of the types it expects,
# and of ours only the message's type is in doubt.
_WANTS_BASE64 = re.compile(r"base-?64|failed to parse stream message request", re.IGNORECASE)


class Taken(enum.Enum):
    """How a plugin took a message."""

    ANSWERED = enum.auto()  # with data, or with something to send
    ACCEPTED = enum.auto()  # without a failure and without either
    REFUSED = enum.auto()  # it failed
    MISREAD = enum.auto()  # it failed, and said that base64 was expected


@attrs.frozen
class Verdict:
    """What follows from how a message was taken.

    Attributes:
        proven: The encoding that is known from now on; ``None``: it still is not.
        counts: Whether this is the plugin's answer to the message. If not, another form of it is, or was.
    """

    proven: MessageEncoding | None
    counts: bool


_TEXT = Verdict(MessageEncoding.TEXT, counts=True)
_BASE64 = Verdict(MessageEncoding.BASE64, counts=True)
_OPEN = Verdict(None, counts=True)
_TRY_THE_OTHER = Verdict(None, counts=False)
_NOISE = Verdict(None, counts=False)

#: After a message was given as text, by whether it is valid base64 as well, so that a plugin may have read something
#: else in it. Where that does not count, it is given in base64 next.
AFTER_TEXT: dict[tuple[bool, Taken], Verdict] = {
    (False, Taken.ANSWERED): _TEXT,
    (False, Taken.ACCEPTED): _TEXT,
    (False, Taken.REFUSED): _TRY_THE_OTHER,
    (False, Taken.MISREAD): _TRY_THE_OTHER,
    (True, Taken.ANSWERED): _OPEN,
    (True, Taken.ACCEPTED): _TRY_THE_OTHER,  # a plugin that reads base64 may ignore what it found in the text
    (True, Taken.REFUSED): _TRY_THE_OTHER,
    (True, Taken.MISREAD): _TRY_THE_OTHER,
}

#: After the same message was given in base64, by how its text was taken before; ``None`` if it has no text. Where that
#: does not count, the answer to the text does.
AFTER_BASE64: dict[tuple[Taken | None, Taken], Verdict] = {
    **{(before, taken): _NOISE for before in (*Taken, None) for taken in Taken},
    **{(before, Taken.ANSWERED): _BASE64 for before in (*Taken, None)},
    # It asked for base64 and can read it, whatever it makes of the message.
    (Taken.MISREAD, Taken.ACCEPTED): _BASE64,
    (Taken.MISREAD, Taken.REFUSED): _BASE64,
}


def took(*, failed: bool, reason: str, answered: bool) -> Taken:
    """How a plugin took a message.

    Args:
        failed: Whether it failed on it.
        reason: Why, in its words.
        answered: Whether there is data in its answer, or something to send.
    """
    if failed:
        return Taken.MISREAD if _WANTS_BASE64.search(reason) else Taken.REFUSED
    return Taken.ANSWERED if answered else Taken.ACCEPTED


def encoded(message: str | bytes) -> str:
    """A message in base64."""
    return base64.b64encode(message.encode() if isinstance(message, str) else message).decode()


def _is_base64(text: str) -> bool:
    """Whether a text can be read as base64, an empty one too. Line breaks do not matter, as in Go."""
    try:
        base64.b64decode(text.replace("\r", "").replace("\n", ""), validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def declared(report: ModuleReport) -> MessageEncoding | None:
    """What the version of the SDK tells; only the time in a pseudo-version does, and not that of the very day."""
    sdks = report.toolchain.sdks if report.toolchain else ()
    version = next((sdk.version for sdk in sdks if sdk.name == _SDK), "")
    found = _PSEUDO_VERSION.search(version)
    if found is None:
        return None
    try:
        built = datetime.strptime(found[1], "%Y%m%d%H%M%S").replace(tzinfo=UTC).date()
    except ValueError:
        return None
    if built == _CHANGED:
        return None
    return MessageEncoding.TEXT if built < _CHANGED else MessageEncoding.BASE64


class Reply(Protocol):
    """A plugin's answer to a message."""

    @property
    def taken(self) -> Taken:
        """How it took it."""
        ...


R = TypeVar("R", bound=Reply)


class Encoder:
    """Gives messages to one plugin in the encoding that it wants, and finds out which one that is.

    Args:
        sha256: The digest of the plugin's module.
        decided: The encoding, where that is no question; see ``declared``.
        proven: Where it is kept by digest once it was found out: a module wants the same whoever runs it.
    """

    def __init__(self, sha256: str, decided: MessageEncoding | None, proven: Recent[MessageEncoding]) -> None:
        self._sha256 = sha256
        self._decided = decided
        self._proven = proven

    def known(self) -> MessageEncoding | None:
        """What the plugin wants, as far as is known now; another plugin of the same module may have shown it."""
        if self._decided is None:
            self._decided = self._proven.get(self._sha256)
        return self._decided

    async def deliver(self, message: str | bytes, give: Callable[[str], Awaitable[R]]) -> R | None:
        """Give the plugin a message, once or in both forms.

        Args:
            message: A text, or bytes that are none.
            give: Calls the plugin with a message in one of its forms.

        Returns:
            The reply that counts; ``None`` if the plugin wants texts, or may want them, and the message is none.
        """
        if message == "":  # it has but one form
            return await give(message)
        if self.known() == MessageEncoding.TEXT:
            return await give(message) if isinstance(message, str) else None
        text = None
        if isinstance(message, str) and self.known() is None:
            text = await give(message)
            # Streams share a plugin: what it wants may have become known meanwhile.
            if self._concluded(AFTER_TEXT[_is_base64(message), text.taken]) or self.known() == MessageEncoding.TEXT:
                return text
        in_base64 = await give(encoded(message))
        if self.known() == MessageEncoding.BASE64:
            return in_base64
        before = None if text is None else text.taken
        return in_base64 if self._concluded(AFTER_BASE64[before, in_base64.taken]) else text

    def _concluded(self, verdict: Verdict) -> bool:
        if verdict.proven is not None:
            self._decided = verdict.proven
            self._proven.put(self._sha256, verdict.proven)
        return verdict.counts
