"""``plugin-compat completion``: the scripts, and what a shell would be told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.plugins import FIXTURES

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

PLUGIN = FIXTURES[0].path
PROGRAM = Path(sys.executable).with_name("plugin-compat")


def completions(*words: object) -> list[str]:
    """What bash is offered for the last word."""
    environment = os.environ | {
        "_PLUGIN_COMPAT_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["plugin-compat", *map(str, words)]),
        "COMP_CWORD": str(len(words)),
    }
    finished = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True, check=True)
    return finished.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script_for_this_command(command: Command, shell: str) -> None:
    outcome = command("completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    assert b"plugin-compat" in outcome.out
    assert f"_PLUGIN_COMPAT_COMPLETE={shell}_complete".encode() in outcome.out


def test_commands_options_values_files_and_exports_are_offered() -> None:
    assert completions("in") == ["plain,inspect", "plain,info"]
    assert "plain,--config-file" in completions("run", PLUGIN, "--conf")
    assert completions("inspect", "--format", "nd") == ["plain,ndjson"]
    assert completions("run", PLUGIN, "--kind", "") == ["plain,generic", "plain,legacy"]
    assert completions("inspect", "x") == ["file,x"]
    assert completions("call", PLUGIN, "get_t") == ["plain,get_timeframes"]
    assert completions("call", "missing.wasm", "get_t") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script() -> None:
    script = 'eval "$(plugin-compat completion bash)" && complete -p plugin-compat'
    environment = os.environ | {"PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    finished = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert "_plugin_compat_completion" in finished.stdout
