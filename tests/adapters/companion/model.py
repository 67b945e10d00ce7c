"""What the companion's kernel has to do, in Python: a model of blocks, of the two lists and of the heap.

It predicts everything but one thing, which of several free pieces a block is cut from; that is looked up, and judged.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NoReturn

import attrs

from adapters.companion.exchange import HOST_OPERATIONS, Operation, Record
from tests.adapters.companion.model_heap import ModelHeap
from tests.adapters.companion.standing_in import TOLD, Crossing, Fault

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ASKED", "Block", "Model"]

#: The functions that ask the host something, by their names, and what crosses.
ASKED: dict[str, int] = {
    "env.config_get": Operation.CONFIG_GET,
    "env.var_get": Operation.VAR_GET,
    **{f"host.{name}": number for name, number in HOST_OPERATIONS.items() if name != "time_now"},
}

_LONGEST = 2**26 - 8
_LARGEST = 2**24  # bytes of a request, or of an output
_LONGEST_RECORD = 2**15
_LONGEST_ERROR = 2**16
_OUTBOX = 2**16
_SLOTS = 65_535
_BYTE = 2**26
_LAST_GENERATION = 2**21 - 1
_U64 = 2**64


@attrs.define(eq=False)
class Block:
    """A block, whether it is there or has gone."""

    handle: int
    length: int
    order: int
    address: int  # from the heap's beginning
    data: bytearray  # up to a multiple of eight
    private: bool = True
    freed: bool = False
    gone: bool = False
    squeezed: bool = False  # gone for want of room, and the guest had not freed it
    reclaimed: bool = False


class Model:
    """One guest's kernel.

    Args:
        placed: Where the block of a slot has been put, from the heap's beginning.
        queue: How many idle slots wait, as long as there are fresh ones.
        retained: As in the greeting; so are the others.
    """

    def __init__(
        self,
        placed: Callable[[int], int],
        *,
        retained: int,
        budget: int,
        generations: int,
        log_level: int,
        queue: int,
    ) -> None:
        self.heap = ModelHeap(budget)
        self.crossings: list[Crossing] = []
        self.slots: dict[int, Block] = {}
        self.crossed: dict[Block, None] = {}
        self.private: dict[Block, None] = {}
        self.idle: deque[int] = deque()
        self.reclaimed = 0
        self.worn = False
        self.output = b""
        self.input = b""
        self._input: Block | None = None
        self._placed = placed
        self._retained = retained
        self._queue = queue
        self._generations = generations
        self.host_level = log_level
        self.log_level = log_level
        self._at: Block | None = None  # the block that was used last, which is found without a look-up
        self._records: list[tuple[int, bytes]] = []
        self._waiting = 0  # bytes of them

    # Lists

    def bytes_of(self, blocks: dict[Block, None]) -> int:
        return sum(1 << block.order for block in blocks)

    def _list(self, block: Block) -> dict[Block, None]:
        return self.private if block.private else self.crossed

    def _touch(self, block: Block) -> None:
        blocks = self._list(block)
        del blocks[block]
        blocks[block] = None

    def _cross_block(self, block: Block) -> None:
        del self._list(block)[block]
        block.private = False
        self.crossed[block] = None

    def _drop_oldest(self, blocks: dict[Block, None]) -> Block:
        block = next(iter(blocks))
        if block is self._at:
            self._touch(block)
            block = next(iter(blocks))
        del blocks[block]
        block.gone = True
        if block is self._at:
            self._at = None
        if not block.freed:
            block.reclaimed = True
            self.reclaimed += 1
        if block.handle >> 42 < _LAST_GENERATION:
            self.idle.append(block.handle >> 26 & 0xFFFF)
        return block

    def _trim(self) -> None:
        while len(self.crossed) > 64 and self.bytes_of(self.crossed) > self._retained:
            dropped = self._drop_oldest(self.crossed)
            self.heap.give(dropped.address, dropped.order)

    def _squeeze(self) -> Block | None:
        blocks = self.crossed if len(self.crossed) > 8 else self.private if len(self.private) > 64 else None
        if blocks is None:
            return None
        block = self._drop_oldest(blocks)
        block.squeezed = not block.freed
        return block

    # Blocks

    def alloc(self, length: int) -> int:
        length %= _U64
        if not length:
            return 0
        if length > _LONGEST:
            self._fault(10, length)
        order = max(5, (length + 7).bit_length())
        while not self.heap.fits(order):
            dropped = self._squeeze()
            if dropped is None:
                self._fault(4, length)
            self.heap.give(dropped.address, dropped.order)
        handle, squeezed = self._new_handle(length)
        slot = handle >> 26 & 0xFFFF
        address = self._placed(slot)
        self.heap.take(address, order)
        for dropped in squeezed:  # for want of a slot, once there was room
            self.heap.give(dropped.address, dropped.order)
        block = Block(handle, length, order, address, bytearray(length + (-length & 7)))
        self.slots[slot] = block
        self.private[block] = None
        return handle

    def _new_handle(self, length: int) -> tuple[int, list[Block]]:
        squeezed: list[Block] = []
        while len(self.idle) <= (self._queue if len(self.slots) + 1 < _SLOTS else 0):
            if len(self.slots) + 1 < _SLOTS:
                return (len(self.slots) + 1) << 26, squeezed
            dropped = self._squeeze()
            if dropped is None:
                self._fault(4, length)
            squeezed.append(dropped)
        handle = self.slots[self.idle.popleft()].handle + (1 << 42)
        self.worn |= handle >> 42 >= self._generations
        return handle, squeezed

    def _find(self, handle: int) -> Block | None:
        block = self.slots.get(handle >> 26 & 0xFFFF)
        base = handle % _U64 & -_BYTE
        if block is None or base > block.handle:
            return None
        if base < block.handle or block.gone:
            self._fault(9 if block.squeezed and base == block.handle else 1, handle)
        return block

    def _use(self, handle: int, count: int) -> tuple[Block, int]:
        if self._at is not None:
            offset = handle - self._at.handle
            if 0 <= offset <= len(self._at.data) - count:
                return self._at, offset
        return self._look_up(handle, count)

    def _look_up(self, handle: int, count: int) -> tuple[Block, int]:
        block = self._find(handle)
        if block is None:
            self._fault(3, handle)
        self._touch(block)
        self._at = block
        offset = handle - block.handle
        if offset + count > len(block.data):
            self._fault(2, handle)
        return block, offset

    def load(self, handle: int, count: int) -> int:
        block, offset = self._use(handle, count)
        return int.from_bytes(block.data[offset : offset + count], "little", signed=count == 8)

    def store(self, handle: int, data: bytes) -> None:
        block, offset = self._use(handle, len(data))
        block.data[offset : offset + len(data)] = data

    def length(self, handle: int) -> int:
        block = self.slots.get(handle >> 26 & 0xFFFF)
        if handle % _BYTE or block is None:
            return 0
        if block.handle == handle and block.freed:
            return 0
        found = self._find(handle)
        return found.length if found else 0

    def free(self, handle: int) -> None:
        block = self.slots.get(handle >> 26 & 0xFFFF)
        if block is None or block.handle != handle or block.gone or block.freed:
            return
        self._cross_block(block)
        block.freed = True
        self._trim()

    # What crosses

    def _cross(self, operation: int, request: bytes = b"", one: int = 0, other: int = 0) -> None:
        self.crossings.append(Crossing(operation, request, tuple(self._records), one, other, self.worn))
        self._records, self._waiting = [], 0

    def _fault(self, reason: int, handle: int) -> NoReturn:
        signed = (handle + 2**63) % _U64 - 2**63
        self._cross(Operation.FAULT, one=signed, other=reason)
        raise Fault(reason, signed)

    def _passed(self, handle: int) -> Block:
        block = self._find(handle)
        if block is None or handle % _BYTE:
            self._fault(3, handle)
        self._cross_block(block)
        return block

    def _receive(self, reply: bytes | None) -> int:
        if reply is not None:
            self.log_level = self.host_level
        handle = self.alloc(len(reply)) if reply else 0
        if reply:
            block = self.slots[handle >> 26 & 0xFFFF]
            block.data[: len(reply)] = reply
            self._cross_block(block)
        self._trim()
        return handle

    def ask(self, operation: int, handle: int, reply: bytes | None) -> int:
        request = b""
        if handle:
            block = self._passed(handle)
            if block.length > _LARGEST:
                self._fault(7, block.length)
            request = bytes(block.data[: block.length])
        self._cross(operation, request)
        return self._receive(reply)

    def _record(self, kind: int, data: bytes) -> None:
        if self._waiting + len(data) + 16 > _OUTBOX:
            self.flush()
        self._records.append((kind, data))
        self._waiting += 8 + len(data) + (-len(data) & 7)

    def flush(self) -> None:
        if self._records:
            self._cross(Operation.FLUSH)
            self._receive(None)

    def tell(self, kind: int, handle: int) -> None:
        if not handle:
            return
        block = self._passed(handle)
        self._record(kind, bytes(block.data[: min(block.length, _LONGEST_RECORD)]))
        self._trim()

    def log(self, name: str, handle: int) -> None:
        if TOLD[name] - Record.LOG_TRACE >= self.log_level:
            self.tell(TOLD[name], handle)

    def error_set(self, handle: int) -> None:
        data = b""
        if handle:
            block = self._passed(handle)
            data = bytes(block.data[: min(block.length, _LONGEST_ERROR + 1)])
        self._record(Record.ERROR, data[:_LONGEST_RECORD])
        for at in range(_LONGEST_RECORD, len(data), _LONGEST_RECORD):
            self._record(Record.ERROR_GOES_ON, data[at : at + _LONGEST_RECORD])
        self._trim()

    def var_set(self, name: int, value: int, reply: bytes | None) -> None:
        if not name:
            self._record(Record.NAME, b"")
        self.tell(Record.NAME, name)
        self.ask(Operation.VAR_SET if value else Operation.VAR_REMOVE, value, reply)

    def output_set(self, handle: int, length: int) -> None:
        length %= _U64
        if not length:
            self.output = b""
            return
        if length > _LARGEST:
            self._fault(8, length)
        block, offset = self._look_up(handle, length)
        self._cross_block(block)
        self.output = bytes(block.data[offset : offset + length])
        self._trim()

    def input_offset(self) -> int:
        if self._input is None or self._input.gone:
            handle = self.alloc(len(self.input))
            if not handle:
                return 0
            self._input = self.slots[handle >> 26 & 0xFFFF]
            self._input.data[: len(self.input)] = self.input
            self._cross_block(self._input)
            self._trim()
        return self._input.handle

    def sleep(self, nanoseconds: int) -> None:
        self._cross(Operation.SLEEP, one=nanoseconds)
        self._receive(None)

    # Calls

    def begin(self, data: bytes = b"") -> None:
        self.input, self._input, self.output = data, None, b""
        for block in list(self.private):
            self._cross_block(block)
        self._trim()
