"""The exchange between the companion and the host, as its other end describes it in ``wat/5-exchange.wat``.

A crossing carries records, which want no answer, and one request; its answer carries answers. Both stand in a block of
Extism's memory. The companion writes what a guest wants, never what a guest says of itself, and still nothing here is
taken on trust: whatever does not fit is a ``BorderError``.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterator
from typing import NamedTuple

from detectors.errors import PluginError
from detectors.rules import HOST_FUNCTIONS

__all__ = [
    "ACCEPTED",
    "HEAD",
    "HOST_OPERATIONS",
    "LONGEST_ASKED",
    "LONGEST_RECORD",
    "STOP",
    "VERSION",
    "BorderError",
    "Crossed",
    "Operation",
    "Record",
    "encode_answer",
    "greeting",
    "read_head",
    "read_records",
]

VERSION = 2
HEAD = 48  # bytes before the records
LONGEST_RECORD = 2**15  # bytes; what is longer has been cut there, or comes in several

_CROSSING = struct.Struct("<HHIIIIIqqQ")
_ANSWER = struct.Struct("<IIQ")
_LENGTHS = struct.Struct("<II")
_SETTINGS = struct.Struct("<QQQQQQQQ")

_ENDS_HERE, _OWN_BLOCK, _GRANTED, _WITHDRAWN = 1, 2, 4, 8  # an answer's flags
_WORN, _DROPPED = 1, 2  # a crossing's
_LOGS_WAIT, _OWN_CLOCK = 1, 2  # what the greeting allows

#: What a publication that is accepted is answered.
ACCEPTED = b'{"success":true}'
#: Bytes of a request that messages may be handed out for beyond the one that it asks for.
LONGEST_ASKED = 4_096

#: The answer that ends the guest's call where it is.
STOP = _ANSWER.pack(0, _ENDS_HERE, 0)


class Operation(enum.IntEnum):
    """What a crossing is for. Those of the host functions are in ``HOST_OPERATIONS``."""

    GREET = 1  # the first call begins: the settings are asked for
    FAULT = 2  # the guest did what nobody can make good; (handle or bytes, reason), and the call ends
    FLUSH = 3  # only the records
    CONFIG_GET = 4  # a name
    VAR_GET = 5  # a name
    VAR_SET = 6  # a value; its name has just come as a record
    VAR_REMOVE = 7  # likewise, without a value
    EXIT = 8  # the guest ends itself; (exit code), and the call ends
    SLEEP = 9  # (nanoseconds)
    COLLECT = 10  # a call did not come to its end; (pages of memory, -1: nobody can tell; entries of its largest table)


_FIRST_HOST_OPERATION = 32

#: The operation of every host function, by name.
HOST_OPERATIONS = {function.name: _FIRST_HOST_OPERATION + number for number, function in enumerate(HOST_FUNCTIONS)}


class Record(enum.IntEnum):
    """The kinds of records."""

    ERROR = 1  # what the guest puts into error memory; empty: nothing any more
    NAME = 2  # of the variable that is about to be set
    STDOUT = 3
    STDERR = 4
    ERROR_GOES_ON = 5  # more of the same, behind it
    RETURNED = 6  # one message of a batch has been handled; see ``messages.py``
    PUBLICATION = 32  # one of a key that is granted
    HOST_LOG = 33  # a request to log_record
    LOG_TRACE = 16
    LOG_DEBUG = 17
    LOG_INFO = 18
    LOG_WARN = 19
    LOG_ERROR = 20


class BorderError(PluginError):
    """What crossed the border is not what the protocol allows, so that the guest's memory is in doubt."""


class Crossed(NamedTuple):
    """The head of a crossing.

    Attributes:
        operation: One of ``Operation``, or of a host function.
        records: Bytes of the records, which come first.
        request: Bytes of the request, which follows them.
        worn: Whether the guest should be replaced some time.
        left: How many of the messages that were handed out lie in the guest's inbox still.
        dropped: Whether they are in no inbox any more, and go back to where they came from.
        one: A number that belongs to the operation.
        other: Another.
        blocks: How many blocks the guest has.
        bytes_used: How many bytes they take.
    """

    operation: int
    records: int
    request: int
    worn: bool
    one: int
    other: int
    blocks: int
    bytes_used: int
    left: int
    dropped: bool


def read_head(head: bytes, room: int) -> Crossed:
    """Read the first ``HEAD`` bytes of a crossing.

    Args:
        head: The bytes.
        room: Bytes of the block that they stand in.

    Raises:
        BorderError: It is of another version, or longer than its block.
    """
    version, operation, blocks, records, left, request, flags, one, other, used = _CROSSING.unpack(head)
    if version != VERSION:
        raise BorderError(f"the companion speaks version {version} of the exchange, the host version {VERSION}")
    if records & 7 or HEAD + records + request > room:
        raise BorderError(f"a crossing of {records} and {request} bytes does not fit into its block of {room}")
    worn, dropped = bool(flags & _WORN), bool(flags & _DROPPED)
    return Crossed(operation, records, request, worn, one, other, blocks, used, left, dropped)


def read_records(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Read records: each one's kind and bytes.

    Raises:
        BorderError: One is longer than what is left.
    """
    at = 0
    while at < len(data):
        kind, length = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        if at + length > len(data):
            raise BorderError(f"a record of {length} bytes is announced, {len(data) - at} are left")
        yield kind, data[at : at + length]
        at += length + (-length & 7)


def encode_answer(
    *answers: bytes,
    log_level: int | None = None,
    own_block: bool = False,
    granted: bool = False,
    withdrawn: bool = False,
) -> bytes:
    """The answer to a request, as it is written into a block.

    Args:
        answers: Its bytes, and those for requests to come of the same bytes; none: it answers nothing.
        log_level: The lowest level that is logged from now on, as in ``greeting``; ``None`` leaves it as it is.
        own_block: Whether it stands in a block of its own, which the companion gives back, and not in the window; of
            several, it has to.
        granted: Whether publications of the key of the one that this answers need not be asked for any more.
        withdrawn: Whether all have to be that were granted before.
    """
    flags = own_block * _OWN_BLOCK | granted * _GRANTED | withdrawn * _WITHDRAWN
    parts = [_ANSWER.pack(len(answers), flags, 0 if log_level is None else log_level + 1)]
    for answer in answers:
        length = len(answer)
        parts += (_LENGTHS.pack(length, 0), answer, _PADDING[-length & 7])
    if not answers:
        parts.append(bytes(8))  # the least that an answer has
    return b"".join(parts)


_PADDING = [bytes(length) for length in range(8)]


def greeting(
    *,
    retained: int,
    budget: int,
    generations: int,
    log_level: int,
    max_request: int = 16 * 2**20,
    max_output: int = 16 * 2**20,
    max_error: int = 2**16,
    logs_wait: bool = False,
    own_clock: bool = False,
) -> bytes:
    """The answer to ``Operation.GREET``.

    Args:
        retained: Bytes of used blocks that are kept for the guest to come back to.
        budget: Bytes that the guest's blocks may take.
        generations: How often a handle's slot is used before the guest counts as worn.
        log_level: The lowest level that is logged: 0 trace, 1 debug, 2 info, 3 warning, 4 error.
        max_request: Bytes of a request to a host function.
        max_output: Bytes of an output.
        max_error: Bytes of an error's text.
        logs_wait: Whether what it gives to ``log_record`` waits for the next crossing.
        own_clock: Whether ``time_now`` tells the machine's time, without a crossing.
    """
    allowed = logs_wait * _LOGS_WAIT | own_clock * _OWN_CLOCK
    return _SETTINGS.pack(retained, budget, generations, log_level, max_request, max_output, max_error, allowed)
