"""That guests which come and go leave no memory behind, each time in a process of its own."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap

import pytest

from tests.support.waiting import HANG

# A block of 8 MiB that was freed has glibc keep all up to that size in its heap, unless the threshold is fixed. Is a
# block of 4 MiB mapped by itself then? The C library counts the bytes of such blocks (malloc.h, mallinfo2).
MAPPED = textwrap.dedent("""
    import ctypes

    class Info(ctypes.Structure):
        _fields_ = [(name, ctypes.c_size_t) for name in
                    ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks",
                     "keepcost")]

    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.mallinfo2.restype = Info

    libc.free(libc.malloc(8 * 2**20))
    before = libc.mallinfo2().hblkhd
    block = libc.malloc(4 * 2**20)
    print(libc.mallinfo2().hblkhd - before >= 4 * 2**20)
""")
INSTANCE = textwrap.dedent("""
    import wasmtime
    from adapters.runtime.engine import Instance

    Instance(bytes(wasmtime.wat2wasm("(module)")), []).free()
""")
FIXED = textwrap.dedent("""
    from adapters.runtime.heap import map_large_blocks

    print(map_large_blocks())
""")

RESIDENT = textwrap.dedent("""
    import asyncio, sys
    import compat
    from compat.demo import plugin_path

    def resident():
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * 4096 / 2**20

    async def main():
        async def come_and_go():
            for _ in range(3):
                async with compat.open_plugin(plugin_path("generic")) as plugin:
                    await plugin.call("meta")
        for _ in range(2):
            await asyncio.gather(*(come_and_go() for _ in range(8)))
            print(resident())

    asyncio.run(main())
""")


def run(script: str, **chosen: str) -> list[str]:
    """What a script prints where the environment has chosen this of the C library's heap, and nothing else."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    command = [sys.executable, "-c", script]
    ended = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=2 * HANG, env=environment | chosen
    )
    return ended.stdout.split()


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallinfo2"), reason="only glibc 2.33 and newer counts them")
def test_after_the_first_instance_large_blocks_are_mapped_one_by_one() -> None:
    assert run(MAPPED) == ["False"]
    assert run(INSTANCE + MAPPED) == ["True"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072")],
)
def test_what_the_environment_has_chosen_is_left_alone(name: str, value: str) -> None:
    assert run(FIXED, **{name: value}) == ["False"]
    assert run(FIXED) == ["True"]


@pytest.mark.nightly
def test_guests_that_come_and_go_leave_no_memory_behind() -> None:
    assert max(map(float, run(RESIDENT))) < 400  # MiB: 230; 730 where large blocks are kept
