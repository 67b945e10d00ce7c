"""``plugin-compat completion``: the scripts, and what a shell would be told."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.plugins import FIXTURES
from tests.support.processes import INSTALLED

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

PLUGIN = FIXTURES[0].path


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script_for_this_command(command: Command, shell: str) -> None:
    outcome = command("completion", shell)
    assert (outcome.code, outcome.err) == (0, "")
    assert b"plugin-compat" in outcome.out
    assert f"_PLUGIN_COMPAT_COMPLETE={shell}_complete".encode() in outcome.out


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("in",), ["plain,inspect", "plain,info"]),
        (("run", PLUGIN, "--config-f"), ["plain,--config-file"]),
        (("inspect", "--format", "nd"), ["plain,ndjson"]),
        (("run", PLUGIN, "--kind", ""), ["plain,generic", "plain,legacy"]),
        (("inspect", "x"), ["file,x"]),
        (("call", PLUGIN, "get_t"), ["plain,get_timeframes"]),
        (("call", "missing.wasm", "get_t"), []),
    ],
    ids=["commands", "options", "values", "kinds", "files", "exports", "exports of nothing"],
)
def test_what_there_is_is_offered(
    command: Command, monkeypatch: pytest.MonkeyPatch, words: tuple[object, ...], offered: list[str]
) -> None:
    monkeypatch.setenv("_PLUGIN_COMPAT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", " ".join(["plugin-compat", *map(str, words)]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    outcome = command()
    assert (outcome.code, outcome.err, outcome.out.decode().split()) == (0, "", offered)


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_takes_the_script_and_is_offered_what_there_is() -> None:
    script = """
eval "$(plugin-compat completion bash)" && complete -p plugin-compat
COMP_WORDS=(plugin-compat in) COMP_CWORD=1
_plugin_compat_completion plugin-compat && echo "${COMPREPLY[@]}"
"""
    environment = os.environ | {"PATH": f"{Path(INSTALLED).parent}:{os.environ['PATH']}"}
    finished = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stderr) == (0, "")
    declared, offered = finished.stdout.splitlines()
    assert "-F _plugin_compat_completion plugin-compat" in declared
    assert offered == "inspect info"
