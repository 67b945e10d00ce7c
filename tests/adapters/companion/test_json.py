"""The companion's reader of JSON: it never accepts what the host would refuse, and finds members where they stand."""

from __future__ import annotations

import functools
import json
from importlib import resources
from typing import Any

import msgspec
import pytest
import wasmtime
from hypothesis import example, given
from hypothesis import strategies as st

from adapters.lenient import Lenient, decode_json, valid_utf8

NAMES = {b"key": 0x400, b"data": 0x408, b"timestamp": 0x410, b"success": 0x420, b"action": 0x428}
AT = 0x2000


class Publication(msgspec.Struct):
    """What a request to publish is read as."""

    key: msgspec.Raw
    data: msgspec.Raw
    timestamp: Any = None


PUBLICATION = Lenient(Publication)


class Reader:
    """The part of the companion that reads JSON, alone."""

    def __init__(self) -> None:
        part = (resources.files("adapters.companion") / "wat" / "8-json.wat").read_text(encoding="utf-8")
        text = f"""(module (memory (export "own") 4) {part}
          (export "object" (func $json_object)) (export "member" (func $json_member)))"""
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        exports = wasmtime.Instance(self._store, wasmtime.Module(engine, text), []).exports(self._store)
        memory, read, member = exports["own"], exports["object"], exports["member"]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(read, wasmtime.Func)
        assert isinstance(member, wasmtime.Func)
        self._memory, self._object, self._member = memory, read, member

    def accepts(self, data: bytes, behind: bytes = b'","key":1}') -> bool:
        """Whether it is sure of some bytes; others stand behind them."""
        self._memory.write(self._store, data + behind, AT)
        return bool(self._object(self._store, AT, AT + len(data)))

    def member(self, name: bytes) -> bytes | int:
        """The value of a member of what was accepted last, as written; 0: it has none, -1: it has several."""
        row: int = self._member(self._store, NAMES[name], len(name))
        if row <= 0:
            return row
        _, _, at, length = (
            int.from_bytes(self._memory.read(self._store, row + field, row + field + 4), "little")
            for field in (0, 4, 8, 12)
        )
        return bytes(self._memory.read(self._store, at, at + length))


@functools.cache
def reader() -> Reader:
    """One reader; what it read before must not matter."""
    return Reader()


SPACE = st.text(" \t\n\r", max_size=2)
NUMBERS = st.from_regex(r"\A-?[0-9]{1,3}(\.[0-9]{0,3})?([eE][+-]?[0-9]{0,3})?\Z")
STRINGS = st.one_of(
    st.text(max_size=20).map(json.dumps),
    st.text(max_size=20).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.from_regex(r'\A"([ -~]|\\["\\/bfnrtu]|\\u[0-9a-fA-F]{3,4}){0,12}"\Z'),
)
SCALARS = st.one_of(STRINGS, NUMBERS, st.sampled_from(["true", "false", "null", "nul", "True", "NaN", ""]))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(STRINGS, inner), max_size=4).map(
            lambda items: "{" + " , ".join(f"{name} :{value}" for name, value in items) + "}"
        ),
    ),
    max_leaves=12,
)
MEMBERS = st.tuples(SPACE, st.one_of(st.sampled_from([f'"{name.decode()}"' for name in NAMES]), STRINGS), SPACE, VALUES)
OBJECTS = st.lists(MEMBERS, max_size=6).map(
    lambda members: "{" + ",".join(f"{a}{name}{b}:{a}{value}{b}" for a, name, b, value in members) + "}"
)


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """An object, perhaps with some bytes exchanged, left out or put in."""
    data = bytearray(draw(SPACE).encode() + draw(OBJECTS).encode(errors="surrogatepass") + draw(SPACE).encode())
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(
            st.one_of(
                st.binary(max_size=2), st.sampled_from([b'"', b"\\", b",", b"}", b"{", b"[", b"]", b"0", b"-", b"e"])
            )
        )
    return bytes(data)


@given(damaged())
@example(b'{"key":1,"data":2,"timestamp":1e99}')
@example(b'{"key":{},"data":[[]],"timestamp":"\xff"}')
@example(b'{"key":1,"data":-' + b"9" * 127 + b',"timestamp":' + b"9" * 128 + b"}")
def test_what_it_accepts_the_host_reads_and_finds_the_same_in(data: bytes) -> None:
    if not reader().accepts(data):
        return
    decode_json(data)
    found = {name: reader().member(name) for name in NAMES}
    key, value = found[b"key"], found[b"data"]
    if isinstance(key, bytes) and isinstance(value, bytes) and found[b"timestamp"] != -1:
        read = PUBLICATION.decode(data)
        assert (bytes(read.key), bytes(read.data)) == (valid_utf8(key), valid_utf8(value))
    elif key == 0 or value == 0:
        with pytest.raises(msgspec.ValidationError):
            PUBLICATION.decode(data)


PLAIN = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63),
        st.floats(-1e9, 1e9).map(lambda number: round(number, 6)),
        st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text("abc\u00e9", max_size=9), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(PLAIN, st.booleans(), st.sampled_from([None, 2]))
def test_what_libraries_write_is_accepted(value: object, ascii_only: bool, indent: int | None) -> None:
    data = json.dumps({"key": {"type": "ohlcv"}, "data": value}, ensure_ascii=ascii_only, indent=indent).encode()
    assert reader().accepts(data)
    found = reader().member(b"data")
    assert isinstance(found, bytes)
    assert json.loads(found) == value


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{} {}",
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":[[],]}',
        b'{"a":{},}',
        b'{"a":[{},}}',
        b'{"a":[}',
        b'{"a":{]}',
        b'{"a":01}',
        b'{"a":-}',
        b'{"a":1.}',
        b'{"a":.5}',
        b'{"a":+1}',
        b'{"a":1e}',
        b'{"a":1e999}',
        b'{"a":' + b"1" * 129 + b"}",
        b'{"a":"\n"}',
        b'{"a":"\\x"}',
        b'{"a":"\\u12g4"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"a":"unfinished',
        b'{"a":"\\',
        b'{"a":tru',
        b'{"a":nulL}',
        b'{"\\u006bey":1}',
        b"{a:1}",
        b'{"a" 1}',
        b"\xef\xbb\xbf{}",
        b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
        b"{" + b",".join(b'"%d":1' % number for number in range(33)) + b"}",
    ],
)
def test_what_it_is_not_sure_of(data: bytes) -> None:
    assert not reader().accepts(data)


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b' {"a" : [ ] , "b" : { } } \r\n',
        b'{"a":[0,-0,1.5e+09,true,false,null,"","\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9"]}',
        b'{"\xff":"\xff\xed\xa0\x80"}',
        b'{"a":' + b"[" * 63 + b"]" * 63 + b"}",
        b"{" + b",".join(b'"%d":1' % number for number in range(32)) + b"}",
    ],
)
def test_what_it_is_sure_of(data: bytes) -> None:
    assert reader().accepts(data)
    assert reader().accepts(data, behind=b"")


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"key" : {"a":[1]} , "data":2}', {b"key": b'{"a":[1]}', b"data": b"2", b"timestamp": 0}),
        (b'{"data":{"key":1}, "keys":0,"ke":0}', {b"key": 0, b"data": b'{"key":1}'}),
        (b'{"key":1,"key":2,"key":3,"data":"x,\\"y"}', {b"key": -1, b"data": b'"x,\\"y"'}),
        (b'{"success":true,"action":"data","timestamp":null}', {b"success": b"true", b"action": b'"data"', b"key": 0}),
        (b'{"action":{},"data":[]}', {b"action": b"{}", b"data": b"[]"}),
    ],
)
def test_members_are_found_as_they_are_written(data: bytes, found: dict[bytes, bytes | int]) -> None:
    assert reader().accepts(data)
    assert {name: reader().member(name) for name in found} == found
