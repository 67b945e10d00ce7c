"""How an open WebSocket connection ended, in words.

The close frames and exceptions of the ``websockets`` library are translated here. What goes wrong while a connection
is opened is in ``problems.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.frames import Close, CloseCode

from adapters.net.problems import Words

if TYPE_CHECKING:
    from websockets.exceptions import ConnectionClosed

__all__ = ["how_it_ended"]

_SILENT = "no answer to a ping: the connection is half-open"


def how_it_ended(error: ConnectionClosed, limit: int | None, cause: BaseException | None = None) -> Words:
    """How an open connection ended, and what helps.

    Args:
        error: What the library says of it.
        limit: Bytes that a message may have; ``None`` if that is not known.
        cause: What ended the connection below, if that is known.
    """
    sent, received = error.sent, error.rcvd
    if sent is not None and not (received is not None and error.rcvd_then_sent):
        return _ended_by_us(sent, limit)
    if received is not None:
        reason = f" {received.reason!r}" if received.reason else ""
        return f"the other end closed it with code {received.code}{reason}", ""
    why = ": connection reset" if isinstance(cause, ConnectionResetError) else ""
    return f"it broke off without a closing handshake{why}", ""


def _ended_by_us(sent: Close, limit: int | None) -> Words:
    if sent.code == CloseCode.MESSAGE_TOO_BIG and "fragments" not in sent.reason:
        length = "its connection allows" if limit is None else f"{limit} bytes"
        return f"a message is longer than {length}", "If that is a message as it should be, raise max_message"
    if sent.code == CloseCode.INTERNAL_ERROR and sent.reason.startswith("keepalive"):  # of a function of one's own
        return _SILENT, ""
    words = _OURS.get(sent.code)
    return (words.format(sent.reason) if words else f"closed by us ({sent})"), ""


_OURS: dict[int, str] = {
    CloseCode.PROTOCOL_ERROR: "what came breaks the WebSocket protocol: {}",
    CloseCode.INVALID_DATA: "a text message that came is not UTF-8: {}",
    CloseCode.MESSAGE_TOO_BIG: "a message that came has {}",
}
