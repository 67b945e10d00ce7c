"""Whatever a guest does, in whatever order, the companion's kernel does what its model says."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.adapters.companion.heap_view import HEAP, entry, read_heap, read_lists
from tests.adapters.companion.model import ASKED, Model
from tests.adapters.companion.standing_in import QUEUE, TOLD, Companion, Fault, Stats

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.adapters.companion.model import Block

_LOOKED_INTO = 4_096  # larger blocks are compared at the end only

SIZES = st.one_of(
    st.integers(1, 40),
    st.sampled_from([56, 57, 119, 120, 121, 4_040, 4_096, 32_767, 32_768, 32_769, 65_527, 65_528, 65_529]),
    st.integers(41, 20_000),
)
REPLIES = st.one_of(
    st.none(),
    st.just(0),
    st.integers(1, 64),
    st.sampled_from([4_071, 4_072, 4_073, 8_168, 9_000, 70_000]),
)
#: Which of the blocks that there ever were, counted from the latest.
WHICH = st.one_of(st.integers(0, 5), st.integers(0, 300))
#: Where in a block: from its beginning, its end, or the end of what may be read.
WHERE = st.tuples(st.sampled_from(["begin", "end", "padded"]), st.integers(-9, 9))
PLACES = st.lists(WHERE, min_size=1, max_size=8)


def numbered(length: int, seed: int) -> bytes:
    """What the guest's `fill` fills a block with."""
    words = ((seed + number) % 2**64 for number in range(length // 8 + 1))
    return b"".join(word.to_bytes(8, "little") for word in words)[:length]


class Kernel(RuleBasedStateMachine):
    companion: Companion
    model: Model

    @initialize(
        retained=st.sampled_from([0, 1_000, 4_096, 2**15]),
        budget=st.sampled_from([2**13, 2**16, 2**17 + 4_000, 2**20]),
        generations=st.sampled_from([0, 1, 2, 31 * 2**16]),
        log_level=st.integers(0, 4),
        queue=st.sampled_from([0, 1, 40, QUEUE]),
    )
    def instantiated(self, retained: int, budget: int, generations: int, log_level: int, queue: int) -> None:
        limits: dict[str, int] = {
            "retained": retained,
            "budget": budget,
            "generations": generations,
            "log_level": log_level,
            "queue": queue,
        }
        self.companion = Companion(**limits)  # type: ignore[arg-type]
        self.model = Model(self._placed, **limits)
        self.blocks: list[Block] = []  # that there ever were
        self.seed = 0x0123_4567_89AB_CDEF

    def _placed(self, slot: int) -> int:
        return entry(self.companion, slot).byte - 8 - HEAP

    def agree(self, name: str, arguments: tuple[int, ...], expected: Callable[[], Any]) -> Any:
        """Call the companion, and then ask the model: both return the same, or end in the same fault."""
        results: list[Any] = []
        for do in (functools.partial(self.companion.call, name, *arguments), expected):
            try:
                results.append(do())
            except Fault as fault:
                results.append((fault.reason, fault.handle))
        assert results[0] == results[1]
        assert self.companion.take_crossings() == self.model.crossings
        self.model.crossings.clear()
        return results[0]

    def given(self, result: Any) -> None:
        """Remember the block of a handle that was given out."""
        if isinstance(result, int) and result:
            block = self.model.slots[result >> 26 & 0xFFFF]
            assert block not in self.blocks
            self.blocks.append(block)

    def block(self, which: int) -> Block | None:
        return self.blocks[-1 - which % len(self.blocks)] if self.blocks else None

    def handle(self, which: int, where: tuple[str, int] = ("begin", 0)) -> int:
        block = self.block(which)
        if block is None:
            return which << 26
        begin = {"begin": 0, "end": block.length, "padded": len(block.data)}[where[0]]
        return block.handle + begin + where[1]

    def make(self, length: int) -> int:
        result = self.agree("env.alloc", (length,), lambda: self.model.alloc(length))
        self.given(result)
        if isinstance(result, int) and result:
            self.fill(result, length)
            return result
        return 0

    def fill(self, handle: int, length: int) -> None:
        self.seed += 0x0101_0101_0101
        data = numbered(length, self.seed)
        cut = length & -8

        def store() -> None:
            for at in (*range(0, cut, 8), *range(cut, length)):
                self.model.store(handle + at, data[at : at + (8 if at < cut else 1)])

        self.agree("fill", (handle, length, self.seed), store)

    @rule(length=SIZES)
    def allocates(self, length: int) -> None:
        self.make(length)

    @rule(length=SIZES)
    def allocates_and_leaves_it_as_it_is(self, length: int) -> None:
        result = self.agree("env.alloc", (length,), lambda: self.model.alloc(length))
        self.given(result)
        if isinstance(result, int):
            block = self.model.slots[result >> 26 & 0xFFFF]
            found = self.companion.own(HEAP + block.address + 8, HEAP + block.address + 8 + len(block.data))
            assert not any(found[-8:][length - len(found) + 8 :])  # what follows the last byte is nothing
            block.data[:] = found

    @rule(length=st.sampled_from([0, 2**20, 2**26 - 9, 2**26 - 8, 2**26 - 7, 2**32, 2**32 + 1, 2**62, -1, -(2**63)]))
    def allocates_what_is_no_length(self, length: int) -> None:
        self.given(self.agree("env.alloc", (length,), lambda: self.model.alloc(length)))

    @rule(count=st.integers(2, 80), length=st.integers(1, 700))
    def allocates_many(self, count: int, length: int) -> None:
        for _ in range(count):
            self.make(length)

    @rule(count=st.integers(2, 90), length=st.integers(1, 300), every=st.integers(1, 3), backwards=st.booleans())
    def frees_many(self, count: int, length: int, every: int, backwards: bool) -> None:
        made = [self.make(length) for _ in range(count)]
        for handle in made[:: -every if backwards else every]:
            self.agree("env.free", (handle,), functools.partial(self.model.free, handle))

    @rule(which=WHICH, places=PLACES)
    def loads(self, which: int, places: list[tuple[str, int]]) -> None:
        for handle in (self.handle(which, place) for place in places):
            self.agree("env.load_u8", (handle,), functools.partial(self.model.load, handle, 1))
            self.agree("env.load_u64", (handle,), functools.partial(self.model.load, handle, 8))

    @rule(which=WHICH, places=PLACES, value=st.integers(-(2**63), 2**63 - 1))
    def stores(self, which: int, places: list[tuple[str, int]], value: int) -> None:
        for place in places:
            handle = self.handle(which, place)
            data = (value % 2**64).to_bytes(8, "little")
            byte, word = (functools.partial(self.model.store, handle, part) for part in (data[:1], data))
            self.agree("env.store_u8", (handle, value & 0x7FFF_FFFF), byte)
            self.agree("env.store_u64", (handle, value), word)
            value ^= handle

    @rule(which=WHICH, where=WHERE)
    def asks_for_a_length(self, which: int, where: tuple[str, int]) -> None:
        for handle in (self.handle(which), self.handle(which, where)):
            self.agree("env.length", (handle,), functools.partial(self.model.length, handle))
            self.agree("env.length_unsafe", (handle,), functools.partial(self.model.length, handle))

    @rule(which=WHICH, where=WHERE, times=st.integers(1, 2))
    def frees(self, which: int, where: tuple[str, int], times: int) -> None:
        for _ in range(times):
            self.agree("env.free", (self.handle(which),), lambda: self.model.free(self.handle(which)))
        self.agree("env.free", (self.handle(which, where),), lambda: self.model.free(self.handle(which, where)))

    @rule(handle=st.integers(-(2**63), 2**63 - 1), nearby=st.booleans(), which=WHICH)
    def forges_a_handle(self, handle: int, nearby: bool, which: int) -> None:
        if nearby:  # another generation, or another slot
            handle = self.handle(which) + ((handle % 7 - 3) << (42 if handle & 8 else 26))
        for name, does in (("env.length", self.model.length), ("env.free", self.model.free)):
            self.agree(name, (handle,), functools.partial(does, handle))
        self.agree("env.load_u8", (handle,), lambda: self.model.load(handle, 1))
        self.asks("env.var_get", handle, None)

    @rule(name=st.sampled_from(sorted(ASKED)), which=WHICH, nothing=st.booleans(), reply=REPLIES)
    def asks_the_host(self, name: str, which: int, nothing: bool, reply: int | None) -> None:
        self.asks(name, 0 if nothing else self.handle(which), reply)

    @rule(which=WHICH, count=st.integers(2, 80), reply=st.integers(1, 500))
    def asks_many_times(self, which: int, count: int, reply: int) -> None:
        if not self.blocks:
            self.make(reply)
        for _ in range(count):
            self.asks("host.ws_receive", self.handle(which), reply)

    def asks(self, name: str, handle: int, reply: int | None) -> None:
        self.seed += 0x0001_0001_0001
        data = None if reply is None else numbered(reply, self.seed)
        self.companion.reply = data
        self.given(self.agree(name, (handle,), lambda: self.model.ask(ASKED[name], handle, data)))

    @rule(name=WHICH, value=WHICH, nameless=st.booleans(), removed=st.booleans())
    def sets_a_variable(self, name: int, value: int, nameless: bool, removed: bool) -> None:
        handles = (0 if nameless else self.handle(name), 0 if removed else self.handle(value))
        self.companion.reply = None
        self.agree("env.var_set", handles, lambda: self.model.var_set(*handles, None))

    @rule(name=st.sampled_from(sorted(TOLD)), which=WHICH, where=WHERE, times=st.integers(1, 4))
    def logs(self, name: str, which: int, where: tuple[str, int], times: int) -> None:
        for _ in range(times):
            self.agree(name, (self.handle(which),), lambda: self.model.log(name, self.handle(which)))
        self.agree(name, (self.handle(which, where),), lambda: self.model.log(name, self.handle(which, where)))

    @rule(which=WHICH, nothing=st.booleans())
    def sets_an_error(self, which: int, nothing: bool) -> None:
        handle = 0 if nothing else self.handle(which)
        self.agree("env.error_set", (handle,), lambda: self.model.error_set(handle))

    @rule(which=WHICH, where=WHERE, less=st.integers(-9, 9), nothing=st.booleans())
    def sets_the_output(self, which: int, where: tuple[str, int], less: int, nothing: bool) -> None:
        handle = self.handle(which, where)
        block = self.block(which)
        length = 0 if nothing or block is None else len(block.data) - (handle - block.handle) + less
        self.agree("env.output_set", (handle, length), lambda: self.model.output_set(handle, length))

    @rule()
    def asks_for_the_input(self) -> None:
        handle = self.agree("env.input_offset", (), self.model.input_offset)
        block = self.model.slots.get(handle >> 26 & 0xFFFF) if isinstance(handle, int) else None
        if block is not None and block not in self.blocks:
            self.blocks.append(block)

    @rule(level=st.integers(0, 4))
    def the_hosts_log_level_changes(self, level: int) -> None:
        self.companion.log_level = self.model.host_level = level

    @rule()
    def asks_for_the_log_level(self) -> None:
        self.agree("env.get_log_level", (), lambda: self.model.log_level)

    @rule(nanoseconds=st.integers(0, 2**63 - 1))
    def sleeps(self, nanoseconds: int) -> None:
        self.agree("sleep", (nanoseconds,), lambda: self.model.sleep(nanoseconds))

    @rule(length=st.sampled_from([0, 1, 17, 3_000]))
    def the_next_call_begins(self, length: int) -> None:
        self.agree("end", (), self.model.flush)
        data = numbered(length, self.seed)
        self.companion.begin(data)
        self.model.begin(data)

    @invariant()
    def everything_fits_together(self) -> None:
        if hasattr(self, "companion"):
            self.compare(_LOOKED_INTO)

    def teardown(self) -> None:
        if hasattr(self, "companion"):
            self.compare(2**26)

    def compare(self, longest: int) -> None:
        model, companion = self.model, self.companion
        assert companion.dishonest() == 0
        assert companion.output() == model.output
        living = [*model.crossed, *model.private]
        assert companion.stats() == Stats(
            blocks=len(living),
            bytes=model.bytes_of(model.crossed) + model.bytes_of(model.private),
            crossed=len(model.crossed),
            crossed_bytes=model.bytes_of(model.crossed),
            slots=len(model.slots) + 1,
            heap_bytes=model.heap.length,
            reclaimed=model.reclaimed,
            idle=len(model.idle),
        )
        heap = read_heap(companion, model.heap.length)
        assert heap.used == {block.address: block.order for block in living}
        assert heap.free == model.heap.free
        lists = read_lists(companion, len(model.slots) + 1)
        assert lists.crossed == [block.handle for block in model.crossed]
        assert lists.private == [block.handle for block in model.private]
        for block in living:
            if block.length <= longest:
                at = HEAP + block.address + 8
                assert companion.own(at, at + len(block.data)) == block.data


TestKernel = pytest.mark.timeout(3_600)(Kernel.TestCase)  # of the nightly's many examples
TestKernel.settings = settings(stateful_step_count=40)
