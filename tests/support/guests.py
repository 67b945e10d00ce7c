"""Guests made to order: every export has a script of canned answers, chosen by what stands in its input.

They are written in WebAssembly text and speak the kernel's own interface, so at the border they behave like real
plugins. They keep no state from one call to the next.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import wasmtime

__all__ = ["Answer", "guest"]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


@attrs.frozen
class Answer:
    """What an export does when ``when`` stands in its input.

    Attributes:
        output: Its output; a text or bytes as they are, everything else as JSON. ``None``: no output at all.
        when: What has to stand in the input; empty: always.
        calls: Host functions called first, in this order, with these requests.
        code: The return code.
        error: What is put into error memory; empty: nothing.
        then: ``return``, ``trap``, ``loop`` for ever, or make the calls ``again`` and again.
    """

    output: Any = None
    when: str = ""
    calls: Sequence[tuple[str, Any]] = ()
    code: int = 0
    error: str = ""
    then: str = "return"


_KERNEL = (
    ("alloc", "(param i64) (result i64)"),
    ("input_length", "(result i64)"),
    ("input_load_u8", "(param i64) (result i32)"),
    ("store_u8", "(param i64 i32)"),
    ("output_set", "(param i64 i64)"),
    ("error_set", "(param i64)"),
)

_LIBRARY = """
  ;; Copies the input to 1 MiB; returns its length.
  (func $input (result i32)
    (local $i i32) (local $length i32)
    (local.set $length (i32.wrap_i64 (call $input_length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $length)))
        (i32.store8
          (i32.add (i32.const 0x100000) (local.get $i))
          (call $input_load_u8 (i64.extend_i32_u (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $length))

  ;; Whether the input of that length holds the text.
  (func $holds (param $length i32) (param $text i32) (param $size i32) (result i32)
    (local $at i32) (local $i i32)
    (block $no
      (loop $here
        (br_if $no (i32.gt_u (i32.add (local.get $at) (local.get $size)) (local.get $length)))
        (local.set $i (i32.const 0))
        (block $differs
          (loop $next
            (if (i32.eq (local.get $i) (local.get $size)) (then (return (i32.const 1))))
            (br_if $differs (i32.ne
              (i32.load8_u (i32.add (i32.const 0x100000) (i32.add (local.get $at) (local.get $i))))
              (i32.load8_u (i32.add (local.get $text) (local.get $i)))))
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $next)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $here)))
    (i32.const 0))

  ;; A kernel block with the text.
  (func $block (param $text i32) (param $size i32) (result i64)
    (local $block i64) (local $i i32)
    (local.set $block (call $alloc (i64.extend_i32_u (local.get $size))))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $size)))
        (call $store_u8
          (i64.add (local.get $block) (i64.extend_i32_u (local.get $i)))
          (i32.load8_u (i32.add (local.get $text) (local.get $i))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.get $block))
"""


def guest(exports: Mapping[str, Answer | Iterable[Answer]]) -> bytes:
    """A module with these exports. The first answer that fits is given; if none does, the guest traps."""
    scripts = {name: (script,) if isinstance(script, Answer) else tuple(script) for name, script in exports.items()}
    called = sorted({function for script in scripts.values() for answer in script for function, _ in answer.calls})
    texts = _Texts()
    functions = "".join(_export(name, script, texts) for name, script in scripts.items())
    imports = [f'(import "extism:host/env" "{name}" (func ${name} {type_}))' for name, type_ in _KERNEL]
    imports += [f'(import "env" "{name}" (func ${name} (param i64) (result i64)))' for name in called]
    head = "\n".join(imports)
    return _compiled(f'(module {head} (memory (export "memory") 64) {texts.segments()} {_LIBRARY} {functions})')


@functools.lru_cache
def _compiled(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


class _Texts:
    """Texts in the guest's memory, from 16 to 1 MiB."""

    def __init__(self) -> None:
        self._data = bytearray()

    def place(self, value: object) -> str:
        """Put a text there; returns its address and size, as operands."""
        text = value if isinstance(value, bytes) else _text(value).encode()
        at = 16 + len(self._data)
        self._data += text
        assert len(self._data) < 0xF0000
        return f"(i32.const {at}) (i32.const {len(text)})"

    def segments(self) -> str:
        escaped = "".join(f"\\{byte:02x}" for byte in self._data)
        return f'(data (i32.const 16) "{escaped}")'


def _export(name: str, script: Sequence[Answer], texts: _Texts) -> str:
    steps = "".join(_step(answer, texts) for answer in script)
    head = "(local $length i32) (local.set $length (call $input))"
    return f'(func (export "{name}") (result i32) {head} {steps} unreachable)'


def _step(answer: Answer, texts: _Texts) -> str:
    body = [f"(drop (call ${function} (call $block {texts.place(request)})))" for function, request in answer.calls]
    if answer.output is not None:
        place = texts.place(answer.output)
        size = place.rpartition("(i32.const ")[2].rstrip(")")
        body.append(f"(call $output_set (call $block {place}) (i64.const {size}))")
    if answer.error:
        body.append(f"(call $error_set (call $block {texts.place(answer.error)}))")
    if answer.then == "again":
        body = ["(loop $again", *body, "(br $again))"]
    ends = {
        "again": "unreachable",
        "trap": "unreachable",
        "loop": "(loop $ever (br $ever))",
        "return": f"(return (i32.const {answer.code}))",
    }
    body.append(ends[answer.then])
    steps = " ".join(body)
    if not answer.when:
        return steps
    return f"(if (call $holds (local.get $length) {texts.place(answer.when)}) (then {steps}))"
