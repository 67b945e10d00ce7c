"""Damaged and hostile modules for the detector: whatever the bytes are, there must be a report, and soon.

    python -m benchmarks.fuzz [--count 100000] [--seed 1]

First come those that were written by hand to take as much work as they can. Each of the others is one of the fixtures,
changed at random in one to three ways: flipped bits, cut, spliced with another, numbers replaced by hostile ones,
sections swapped, repeated or announced with a million entries, blocks nested deeply. Ends with code 1 at the first that
raises, takes longer than two seconds or costs more memory than it should.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from detectors.formats import HEADER
from detectors.report import ModuleReport, inspect
from fixtures.diagnostics import SLUGS, near_miss, raises

ROOT = Path(__file__).resolve().parent.parent
SLOWEST = 2.0  # seconds
MOST_MEMORY = 1 << 30  # bytes, of the whole process

Mutation = Callable[[bytes, random.Random, Sequence[bytes]], bytes]


@functools.cache
def originals(*, large: bool = False) -> tuple[bytes, ...]:
    """What is mutated: the fixtures of the detector, the small plugins and, if wanted, a Go plugin."""
    slugs = [slug for slug in SLUGS if slug not in {"too-large", "oversized"}]
    folders = ["zig/generic-blocking", "assemblyscript/legacy-callback"]
    folders += ["plugins/legacy-command"] if large else []
    plugins = [(ROOT / "fixtures" / folder / "plugin.wasm").read_bytes() for folder in folders]
    return (*(make(slug) for slug in slugs for make in (raises, near_miss)), *plugins)


def leb(value: int) -> bytes:
    """An unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def section(identity: int, body: bytes, size: int | None = None) -> bytes:
    """A section; of another size, if one is given, than its body has."""
    return bytes([identity]) + leb(len(body) if size is None else size) + body


def flip(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    changed = bytearray(data)
    for _bit in range(numbers.randint(1, 20) if changed else 0):
        changed[numbers.randrange(len(changed))] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def cut(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    return data[: numbers.randint(0, len(data))]


def splice(data: bytes, numbers: random.Random, others: Sequence[bytes]) -> bytes:
    other = numbers.choice(others)
    return data[: numbers.randint(0, len(data))] + other[numbers.randint(0, len(other)) :]


def drop(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    start = numbers.randint(0, len(data))
    return data[:start] + data[start + numbers.randint(1, 64) :]


NUMBERS = (
    b"\xff" * 4 + b"\x0f",
    b"\xff" * 9 + b"\x01",
    b"\xff" * 12,
    b"\x80" * 4 + b"\x00",
    b"\x80" * 20 + b"\x00",
    b"\xff\xff\xff\xff\x07",
    leb(1_000_000),
    b"\x7f",
    b"\x40",
)


def number(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    at = numbers.randint(0, len(data))
    return data[:at] + numbers.choice(NUMBERS) + data[at + numbers.randint(0, 2) :]


def sections(data: bytes) -> list[bytes]:
    """The sections of a module that is whole; what cannot be told apart stays in one piece."""
    found, at = [], len(HEADER)
    while at < len(data):
        end, shift, size = at + 1, 0, 0
        while end < len(data) and shift < 35:
            size |= (data[end] & 0x7F) << shift
            shift += 7
            end += 1
            if data[end - 1] < 0x80:
                break
        found.append(data[at : end + size])
        at = end + size
    return found


def shuffle(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    parts = sections(data)
    if not parts:
        return data
    return HEADER + b"".join(numbers.choice(parts) for _part in range(numbers.randint(1, 2 * len(parts))))


def announce(data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    """A section that announces a million entries and has some of them."""
    count = leb(numbers.choice((1_000_000, 100_001, 0xFFFF_FFFF)))
    body = count + numbers.choice(
        (b"", b"\0" * 4_000, b"\x01\0" * 2_000, b"\0\x41\0\x0b\0" * 1_000, b"\x60\0\0" * 1_000)
    )
    parts = sections(data)
    parts.insert(numbers.randint(0, len(parts)), bytes([numbers.randrange(14)]) + leb(len(body)) + body)
    return HEADER + b"".join(parts)


def nest(_data: bytes, numbers: random.Random, _: Sequence[bytes]) -> bytes:
    """A function of many blocks, or a constant expression of many numbers."""
    depth = numbers.choice((1_000, 50_000))
    if numbers.random() < 0.5:
        code = b"\0" + numbers.choice((b"\x02\x40", b"\x03\x40", b"\x04\x40", b"\x06\x40")) * depth
        body = leb(1) + leb(len(code)) + code
        return HEADER + b"\x01\x04\x01\x60\0\0\x03\x02\x01\0\x0a" + leb(len(body)) + body
    sums = depth // 10
    body = b"\x01\0" + b"\x41\0" * sums + b"\x6a" * (sums - 1) + b"\x0b\x01x"
    return HEADER + b"\x05\x03\x01\0\x01" + b"\x0b" + leb(len(body)) + body


MILLION = 1_000_000
FUNCTION, MEMORY, TABLE = section(1, b"\x01\x60\0\0"), section(5, b"\x01\0\x01"), section(4, b"\x01\x70\0\0")


def _data(contents: bytes) -> bytes:
    """A memory of a hundred pages, and these contents for it."""
    return section(5, b"\x01\0\x64") + section(11, b"\1\0\x41\0\x0b" + leb(len(contents)) + contents)


#: Modules that are made to take as much work as they can, by what there is so much of in them.
HOSTILE: dict[str, bytes] = {name: HEADER + written for name, written in {
    # Those that are valid; of some, only the beginning is read.
    "a million sections": b"\0\x01\0" * MILLION,
    "a million types": section(1, leb(MILLION) + b"\x60\0\0" * MILLION),
    "5,000 imports that look like others": FUNCTION + section(2,
        leb(5_000) + b"".join(b"\3env\x0fws_recieve%05d\0\0" % n for n in range(5_000))),
    "5,000 exports that look like others": section(1, b"\x01\x60\0\x01\x7f") + section(3, b"\x01\0")
        + section(7, leb(5_000)
        + b"".join(b"\x11start_strea%06d\0\0" % n for n in range(5_000))) + section(10, b"\x01\x04\0\x41\0\x0b"),
    "globals each computed from the one before": section(6, leb(10_000) + b"\x7f\0\x41\0\x0b" + b"".join(
        b"\x7f\0\x23" + leb(n) + b"\x41\x7f\x6c\x0b" for n in range(9_999))),
    "passive data segments": MEMORY + section(11, leb(100_000) + b"\1\2xx" * 100_000),
    "active data segments": MEMORY + section(11, leb(100_000) + b"\0\x41\0\x0b\0" * 100_000),
    "a sum": MEMORY + section(11, b"\1\0" + b"\x41\0" * 20_000 + b"\x6a" * 19_999 + b"\x0b\0"),
    "elements": TABLE + section(9, b"\x02" + (b"\5\x70" + leb(500_000) + b"\xd0\x70\x0b" * 500_000) * 2),
    "what looks like beginnings of segments": _data(b"\0\x41" * MILLION),
    "what looks like segments": _data(b"\0\x41\0\x0b\0" * MILLION),
    "what looks like segments far away": _data(b"\0\x41\x7f\x0b\0" * MILLION),
    "what looks like no segments": _data(b"\0\x41\x7f\x01\x0b" * MILLION),
    "what looks like sums": _data(b"\0\x41\0\x41" * MILLION),
    # Those that are not.
    "a million imports": FUNCTION + section(2, leb(MILLION) + b"\0\0\0\0" * MILLION),
    "a million imports announced": section(2, leb(MILLION) + b"\0"),
    "a number without an end": b"\x01" + b"\xff" * 100_000,
    "a section of 4 GB": b"\x0a\xff\xff\xff\xff\x0f",
    "deep nesting": FUNCTION + section(3, b"\x01\0")
        + section(10, b"\x01" + leb(200_003) + b"\0" + b"\x02\x40" * 100_001),
    "a name of a megabyte": FUNCTION + section(2, b"\x01\0" + leb(MILLION) + b"x" * MILLION + b"\0\0"),
    "a name that is no text": FUNCTION + section(2, b"\x01\x02\xff\xff\0\0\0"),
}.items()}  # fmt: skip

MUTATIONS: tuple[Mutation, ...] = (flip, flip, cut, splice, drop, number, number, shuffle, announce, nest)


def mutant(seed: int, whole: Sequence[bytes]) -> bytes:
    """A damaged module, the same for the same seed."""
    numbers = random.Random(seed)
    data = numbers.choice(whole)
    for _ in range(numbers.randint(1, 3)):
        data = numbers.choice(MUTATIONS)(data, numbers, whole)
    return data


def examine(data: bytes) -> tuple[ModuleReport, float]:
    """Inspect a module, see that the report is one, and say how many seconds of processor time it took."""
    begun = time.process_time()
    report = inspect(data)
    took = time.process_time() - begun
    assert report.size == len(data)
    assert len(report.sha256) == 64
    assert report.reason
    assert report.runnable or report.errors
    msgspec.json.encode(report.to_dict())
    assert all((found.message + found.remedy + found.subject).isprintable() for found in report.diagnostics)
    return report, took


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fuzz", description="Damaged modules for the detector.")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    whole, slugs, slowest, which = originals(large=True), Counter[str](), 0.0, ""
    damaged = ((f"seed {seed}", mutant(seed, whole)) for seed in range(options.seed, options.seed + options.count))
    for name, data in itertools.chain(HOSTILE.items(), damaged):
        try:
            report, took = examine(data)
        except Exception:
            print(f"{name}:", file=sys.stderr)
            raise
        slugs.update({found.slug for found in report.diagnostics} or {"(nothing)"})
        slowest, which = max((slowest, which), (took, name))
        if took > SLOWEST:
            print(f"{name}: {took:.1f} s", file=sys.stderr)
            return 1
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    for slug, times in slugs.most_common():
        print(f"{times:>9,}  {slug}")
    count = len(HOSTILE) + options.count
    print(f"{count:,} modules, the slowest {slowest:.3f} s ({which}), {memory >> 20:,} MiB at most")
    return 0 if memory <= MOST_MEMORY else 1


if __name__ == "__main__":
    sys.exit(main())
