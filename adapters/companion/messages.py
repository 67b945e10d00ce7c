"""Several messages in one call of Extism's, as the companion takes and answers them in ``wat/9-messages.wat``.

A bare call of Extism's costs about a fifth of what a message does that a legacy plugin handles.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from adapters.companion.exchange import BorderError

__all__ = ["Returned", "encode_inputs", "read_returned"]

_BYTES = struct.Struct("<Q")
_RETURNED = struct.Struct("<iI")
_OF_CALL, _LAST = 1, 2


class Returned(NamedTuple):
    """How the guest's call for one message has ended.

    Attributes:
        code: Its return code.
        output: Its output; ``None``: it is that of Extism's call.
        last: Whether no further message is given to the guest.
    """

    code: int
    output: bytes | None
    last: bool


def encode_inputs(inputs: Iterable[bytes]) -> bytes:
    """Return the input of a call for several messages."""
    return b"".join(part for data in inputs for part in (_BYTES.pack(len(data)), data))


def read_returned(body: bytes) -> Returned:
    """Read a record of the kind ``RETURNED``.

    Raises:
        BorderError: It is too short.
    """
    if len(body) < _RETURNED.size:
        raise BorderError(f"a return in {len(body)} bytes")
    code, flags = _RETURNED.unpack_from(body)
    return Returned(code, None if flags & _OF_CALL else body[_RETURNED.size :], bool(flags & _LAST))
