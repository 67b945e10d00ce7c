"""What a guest seldom does, and what happens at the edges: each of these once went wrong."""

from __future__ import annotations

import pytest
import wasmtime

from adapters.companion.exchange import Operation, Record
from tests.adapters.companion.heap_view import read_heap, read_lists
from tests.adapters.companion.standing_in import Companion, Crossing, Fault


@pytest.mark.parametrize("name", ["env.log_info", "env.error_set", "host.log_record.1", "env.output_set"])
def test_what_crosses_without_a_reply_is_retained_no_longer_than_other_blocks(name: str) -> None:
    companion = Companion(retained=2**13)
    for number in range(300):
        block = companion.make(b"text %d" % number)
        companion.call(name, *([block, 8] if name == "env.output_set" else [block]))
    stats = companion.stats()
    assert stats.blocks == 2**13 // 32
    assert stats.crossed_bytes == 2**13


def test_inputs_are_retained_no_longer_than_other_blocks() -> None:
    companion = Companion(retained=2**13)
    for number in range(300):
        companion.begin(b"input %d" % number)
        companion.call("env.input_offset")
        assert companion.stats().crossed_bytes <= 2**13


def test_the_input_can_be_asked_for_again_after_its_block_has_gone() -> None:
    companion = Companion(retained=0)
    companion.begin(b"the input")
    first = companion.call("env.input_offset")
    assert companion.call("env.input_offset") == first
    companion.call("env.free", first)
    assert companion.call("env.input_offset") == first  # it is still there
    companion.reply = b"reply"
    for _ in range(70):
        companion.call("host.time_now", 0)
    with pytest.raises(Fault):
        companion.call("env.load_u8", first)
    again = companion.call("env.input_offset")
    assert again != first
    assert companion.read(again, 9) == b"the input"


def test_a_variable_without_a_name_is_not_the_one_that_was_set_before() -> None:
    companion = Companion()
    value = companion.make(b"value")
    companion.call("env.var_set", companion.make(b"name"), value)
    companion.call("env.var_set", 0, value)
    assert companion.take_crossings() == [
        Crossing(Operation.VAR_SET, b"value", ((Record.NAME, b"name"),)),
        Crossing(Operation.VAR_SET, b"value", ((Record.NAME, b""),)),
    ]


def test_an_output_may_begin_anywhere_also_in_the_last_block_of_the_memory() -> None:
    companion = Companion()
    length = 2**16 - 8  # with it the heap is as long as the memory was
    block = companion.call("env.alloc", length)
    companion.call("fill", block, length, 1)
    for start in range(9):
        companion.call("env.output_set", block + start, length - start)
        assert companion.output() == b"".join(n.to_bytes(8, "little") for n in range(1, 8192))[start:]
    assert companion.dishonest() == 0


def test_an_output_that_is_a_fault_leaves_the_one_before() -> None:
    companion = Companion()
    block = companion.make(b"output")
    companion.call("env.output_set", block, 6)
    for handle, length in ((block, 9), (block + 1, 2**24 + 1), (1, 1)):
        with pytest.raises(Fault):
            companion.call("env.output_set", handle, length)
        assert companion.output() == b"output"
    companion.call("env.output_set", 0, 0)
    assert companion.output() == b"output"  # as in Extism
    companion.call("env.output_set", block, 0)
    assert companion.output() == b""
    assert companion.dishonest() == 0


def test_of_several_outputs_the_last_counts_and_the_others_are_given_back() -> None:
    companion = Companion()
    block = companion.make(b"output")
    for length in range(1, 7):
        companion.call("env.output_set", block, length)
        assert companion.output() == b"output"[:length]
        assert companion.living() == 2  # with the window
    companion.call("env.output_set", block, 0)
    assert companion.living() == 1  # the window
    assert companion.dishonest() == 0


def test_a_kernel_without_room_for_the_window_ends_the_call_and_every_later_one() -> None:
    companion = Companion()
    companion.call("env.log_info", companion.make(b"said"))
    companion.begin()
    room = companion.kernel["room"]
    room.set_value(companion.store, 100)
    for name in ("flush", "host.time_now", "end"):
        with pytest.raises(wasmtime.Trap):
            companion.call(name, *([0] if name == "host.time_now" else []))
    assert companion.dishonest() == 0
    room.set_value(companion.store, 2**30)
    companion.call("end")
    assert companion.take_crossings() == [Crossing(Operation.FLUSH, records=((Record.LOG_INFO, b"said"),))]


def test_a_kernel_without_room_for_a_larger_window_has_none() -> None:
    companion = Companion()
    companion.call("host.time_now", 0)
    request, text = companion.call("env.alloc", 10_000), companion.make(b"text")
    room = companion.kernel["room"]
    room.set_value(companion.store, 100)
    for _ in range(2):
        with pytest.raises(wasmtime.Trap):
            companion.call("host.ws_send", request)
        companion.call("env.log_info", text)
        with pytest.raises(wasmtime.Trap):
            companion.call("end")
    assert companion.dishonest() == 0
    assert companion.living() == 0


@pytest.mark.parametrize("length", range(32_736, 32_769))
def test_records_fill_the_outbox_to_its_end_and_no_further(length: int) -> None:
    companion = Companion()
    first, second = (companion.call("env.alloc", count) for count in (32_768, length))
    companion.call("fill", first, 32_768, 1)
    companion.call("fill", second, length, 2**60)
    for block in (first, second, second):
        companion.call("env.log_info", block)
    companion.call("end")
    crossings = companion.take_crossings()
    texts = [text for crossing in crossings for _, text in crossing.records]
    lengths = [[len(text) for _, text in crossing.records] for crossing in crossings]
    if length <= 32_744:
        assert lengths == [[32_768, length], [length]]
    else:
        assert lengths == ([[32_768], [length, length]] if length <= 32_752 else [[32_768], [length], [length]])
    assert texts[1] == texts[2]
    assert read_lists(companion, companion.stats().slots).crossed == [first, second]


@pytest.mark.parametrize(("length", "told"), [(32_767, 32_767), (32_768, 32_768), (32_769, 32_768), (2**17, 32_768)])
def test_a_record_is_cut_off_after_32_kib(length: int, told: int) -> None:
    companion = Companion()
    block = companion.call("env.alloc", length)
    companion.call("fill", block, length, 5)
    companion.call("env.log_error", block)
    companion.call("end")
    (crossing,) = companion.take_crossings()
    assert [len(text) for _, text in crossing.records] == [told]


@pytest.mark.parametrize("length", [0, 1, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 2**24])
def test_an_errors_text_comes_in_parts_and_a_byte_more_than_there_may_be(length: int) -> None:
    companion = Companion(retained=0)
    block = companion.call("env.alloc", length)
    companion.call("fill", block, length, 5)
    companion.call("env.error_set", block)
    companion.call("end")
    records = [record for crossing in companion.take_crossings() for record in crossing.records]
    assert [kind for kind, _ in records] == [Record.ERROR, *[Record.ERROR_GOES_ON] * (len(records) - 1)]
    text = b"".join(text for _, text in records)
    assert len(text) == min(length, 2**16 + 1)
    for at in range(0, len(text), 257):  # all bytes would take a while
        assert text[at : at + 1] == companion.read(block + at, 1)
    assert all(len(text) == 2**15 for _, text in records[:-1])


def test_buddies_at_the_very_end_of_the_heap_are_joined() -> None:
    companion = Companion(retained=0)
    blocks = [companion.make(b"x") for _ in range(66)]
    companion.read(blocks[63], 1)  # the one that was used last would be spared
    for block in (blocks[65], blocks[64], *blocks[:64]):  # the latest 64 stay
        companion.call("env.free", block)
    heap_bytes = companion.stats().heap_bytes
    assert heap_bytes == 66 * 32
    assert read_heap(companion, heap_bytes).free == {64 * 32: 6}


def test_outputs_that_grow_take_no_more_than_a_few_times_the_last() -> None:
    companion = Companion()
    largest = 2**20
    block = companion.call("env.alloc", largest)
    before = companion.kernel["memory"].data_len(companion.store)
    for length in range(2**14, largest + 1, 2**14):
        companion.call("env.output_set", block, length)
    assert companion.kernel["memory"].data_len(companion.store) - before <= 3 * largest
    assert companion.dishonest() == 0
