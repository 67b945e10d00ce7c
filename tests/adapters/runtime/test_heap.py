"""That guests which come and go leave no memory behind, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import pytest

SCRIPT = textwrap.dedent("""
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


def resident_after(rounds: str) -> list[float]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", rounds], capture_output=True, text=True, check=True, timeout=50, env=environment
    )
    return [float(line) for line in run.stdout.split()]


@pytest.mark.endurance
def test_guests_that_come_and_go_leave_no_memory_behind() -> None:
    assert max(resident_after(SCRIPT)) < 400  # 230; 730 where large blocks are kept


@pytest.mark.parametrize(
    ("name", "value"),
    [("MALLOC_MMAP_THRESHOLD_", "131072"), ("GLIBC_TUNABLES", "glibc.malloc.mmap_threshold=131072")],
)
def test_what_the_environment_has_chosen_is_left_alone(name: str, value: str) -> None:
    code = "from adapters.runtime.heap import map_large_blocks; print(map_large_blocks())"
    for environment, fixed in (({name: value}, "False"), ({}, "True")):
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=20, env=environment
        )
        assert run.stdout.strip() == fixed
