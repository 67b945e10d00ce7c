"""A machine that has nothing left is told as that, whatever it is that fails for it: child processes, real limits."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from tests.hostile.lacking import WASM
from tests.support.processes import COMPAT, python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="its limits, and its words for them")

FILES = "this process has too many files open"
THREADS = "no further thread can be started"
MEMORY = "there is no memory left"
ROOM = "there is no room left on the disk, or in its quota"
CACHE = "the cache of compiled plugins cannot be used: Unable to compile Extism plugin: Not a directory (os error 20)"

#: What is lacking, what is done, what was not possible, what is told, and what the remedy names.
CASES = (
    ("files", "open", "it could not be opened", FILES, "ulimit -n"),
    ("files", "call", "", FILES, "ulimit -n"),
    ("files", "connect", "could not connect to ws://127.0.0.1:PORT/", FILES, "ulimit -n"),
    ("files", "request", "could not make a request to http://127.0.0.1:PORT/", FILES, "ulimit -n"),
    ("files", "block", "plugin 'guest' cannot begin", FILES, "ulimit -n"),
    ("addresses", "call", "", MEMORY, "ulimit -v"),
    ("addresses", "call first", "", MEMORY, "ulimit -v"),
    ("threads", "open", "it could not be opened", THREADS, "ulimit -u"),
    ("threads", "call", "", THREADS, "ulimit -u"),
    ("threads", "block", "plugin 'guest' cannot begin", THREADS, "ulimit -u"),
    ("room", "call first", "", ROOM, "XDG_CACHE_HOME"),
    ("cache", "call first", "", CACHE, "XDG_CACHE_HOME"),
    ("cache", "call", "", CACHE, "XDG_CACHE_HOME"),
)


@pytest.mark.parametrize(("lack", "work", "doing", "what", "remedy"), CASES, ids=[f"{c[0]}, {c[1]}" for c in CASES])
def test_what_the_machine_lacks_is_told_with_the_plugin_and_what_helps(
    lack: str, work: str, doing: str, what: str, remedy: str, tmp_path: Path
) -> None:
    ended = python("-m", "tests.hostile.lacking", lack, work, tmp_path)
    told = json.loads(ended.out)
    assert (told["error"], told.get("what")) == ("MachineError", what), told
    host, _, port = told["doing"].rpartition(":")
    assert (f"{host}:PORT/" if port.rstrip("/").isdigit() else told["doing"]) == doing
    assert told["message"].startswith("plugin 'guest'")
    assert told["message"].endswith(what)
    assert remedy in told["remedy"]
    assert "s3cret" not in ended.out.decode()


def test_the_command_line_tells_it_in_two_lines(tmp_path: Path) -> None:
    plugin, cache = tmp_path / "guest.wasm", tmp_path / "cache"
    plugin.write_bytes(WASM)
    cache.touch()
    ended = python(*COMPAT, "call", plugin, "take", env={**os.environ, "XDG_CACHE_HOME": str(cache)})
    what, remedy = ended.err.splitlines()
    assert (ended.code, what) == (1, f"error: plugin 'guest': {CACHE}")
    assert "XDG_CACHE_HOME" in remedy
