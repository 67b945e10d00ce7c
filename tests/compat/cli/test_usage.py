"""Wrong usage of the command line: what is wrong and what to do, in two lines."""

from __future__ import annotations

import gzip
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from compat import inspect
from tests.support.nobody import IS_ROOT, as_nobody
from tests.support.plugins import FIXTURES

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


WRONG_USAGE = [
    (("stream",), "No such command 'stream'.", "See 'plugin-compat --help'"),
    (("inspct", PLUGIN), "No such command 'inspct'.", "Did you mean 'inspect'? See 'plugin-compat --help'"),
    (("help",), "No such command 'help'.", "Write 'plugin-compat --help'"),
    (("help", "run"), "No such command 'help'.", "Write 'plugin-compat run --help'"),
    ((PLUGIN,), "No such command", f"plugin-compat inspect {PLUGIN}, or plugin-compat run {PLUGIN} KEY"),
    (("missing.wasm",), "No such command 'missing.wasm'.", "The command comes before the file: plugin-compat inspect"),
    (("--verbose",), "No such option", "See 'plugin-compat --help'"),
    (("inspect",), "Missing argument 'PATH...'.", "See 'plugin-compat inspect --help'"),
    (("inspect", "missing.wasm"), "'missing.wasm' does not exist.", "Check the path"),
    (("inspect", PLUGIN.with_name("legcy.wasm")), "does not exist.", f"Did you mean '{PLUGIN}'?"),
    (("info", PLUGIN.parent), "is a folder.", "Name a file in it: generic.wasm, legacy.wasm"),
    (("info", Path(__file__).parent), "is a folder.", "Name a .wasm file"),
    (("inspect", ""), "the path is empty.", "Name a .wasm file"),
    (("inspect", PLUGIN / "x"), f"'{PLUGIN / 'x'}' does not exist.", f"'{PLUGIN}' is a file, not a folder"),
    (("inspect", PLUGIN / "x" / "y"), "does not exist.", f"'{PLUGIN}' is a file, not a folder"),
    (("inspect", "/missing.wasm"), "'/missing.wasm' does not exist.", "Check the path"),
    (("inspect", "no/such/folder/x.wasm"), "does not exist.", "The folder 'no/such/folder' does not exist either"),
    (("inspect", PLUGIN, "missing.wasm"), "'missing.wasm' does not exist.", "Check the path"),
    (("inspect", PLUGIN, "--format", "xml"), "'xml' is not one of 'text', 'json', 'ndjson', 'sarif'", "See"),
    (("info",), "Missing argument 'FILE...'.", "See 'plugin-compat info --help'"),
    (("run", PLUGIN), "Missing argument 'KEY'.", "See 'plugin-compat run --help'"),
    (("run", "missing.wasm", KEY), "'missing.wasm' does not exist.", "Check the path"),
    (("run", KEY, PLUGIN), "does not exist.", "the file comes first, then the key"),
    (("run", PLUGIN, PLUGIN), "it needs three parts", "the plugin's file comes first, then the key"),
    (("run", PLUGIN, ""), "'' is not a stream key", "such as 'ohlcv:woox:PERP_BTC_USDT"),
    (("run", PLUGIN, "."), "'.' is not a stream key", "such as 'ohlcv:woox:PERP_BTC_USDT"),
    (("run", PLUGIN, "ohlcv:simex"), "it needs three parts separated by colons.", "such as 'ohlcv:woox:PERP_BTC_USDT"),
    (("run", PLUGIN, "ohlcv:simex:BTC?timeframe"), "has no value.", "Write type:source:identifier?name=value"),
    (("run", PLUGIN, KEY, "--count", "0"), "x>=1", "See 'plugin-compat run --help'"),
    (("run", PLUGIN, KEY, "--count", "many"), "'many' is not a valid whole number.", "See"),
    (("run", PLUGIN, KEY, "--count"), "Option '--count' requires an argument.", "See 'plugin-compat run --help'"),
    (
        ("run", PLUGIN, KEY, "--kind", "foo"),
        "'foo' is not one of 'generic', 'legacy'.",
        "See 'plugin-compat run --help'",
    ),
    (("run", PLUGIN, KEY, "--kind", ""), "'' is not one of 'generic', 'legacy'.", "See 'plugin-compat run --help'"),
    (("run", PLUGIN, KEY, "--format", "xml"), "'xml' is not one of 'text', 'json', 'ndjson'.", "See"),
    (("run", PLUGIN, KEY, "--rewrite", "wss://a.example"), "FROM=TO with two URL prefixes, like wss://a", "See"),
    (("run", PLUGIN, KEY, "--rewrite", "a.example=ws://127.0.0.1:1"), "FROM=TO", "See"),
    (("run", PLUGIN, KEY, "--rewrite", "wss://a=http://b"), "their protocols differ.", "ws:// or wss://"),
    (("run", PLUGIN, KEY, "--rewrite", "wss://a=ftp://b"), "no plugin uses ftp://.", "Begin it with ws:// or wss://"),
    (("run", PLUGIN, KEY, "--rewrite", "wss://a=ws://b:99999"), "host or port is not valid.", "from 1 to 65535"),
    (("run", PLUGIN, KEY, "--config-file", ""), "the path is empty.", "Name a .toml or .json file"),
    (("run", PLUGIN, KEY, "--config", "api_key"), "NAME=VALUE", "See 'plugin-compat run --help'"),
    (("run", PLUGIN, KEY, "--config-file", "missing.toml"), "'missing.toml' does not exist.", "Check the path"),
    (("run", PLUGIN, KEY, "--config-file", Path(__file__).parent), "is a folder.", "Name a .toml or .json file"),
    (("run", PLUGIN, KEY, "--config-file", PLUGIN), "ends in neither .toml nor .json.", "Rename it to what it is"),
    (("run", PLUGIN, KEY, "--everything"), "No such option", "See 'plugin-compat run --help'"),
    (
        ("run", PLUGIN, KEY, "horse"),
        "Got unexpected extra argument.",
        "It takes: plugin-compat run [OPTIONS] FILE KEY. See",
    ),
    (("call", PLUGIN), "Missing argument 'EXPORT'.", "See 'plugin-compat call --help'"),
    (("call", PLUGIN, "get_name", "{symbol:1}"), "it is no JSON.", "Quote it for the shell"),
    (("call", PLUGIN, "get_name", "@missing.json"), "'missing.json': No such file", "@ is followed by a file's path"),
    (("call", PLUGIN, "get_name", "@"), "@ is followed by nothing.", "Write @ and a file's path"),
    (
        ("call", "get_name", PLUGIN),
        "'get_name' does not exist.",
        f"The plugin's file comes first: plugin-compat call {PLUGIN}",
    ),
    (("call", PLUGIN, "get_name", "--timeout", "x"), "'x' is not a valid number.", "See"),
    (("call", PLUGIN, "get_name", "--timeout", "0"), "0.0 is not in the range x>0.", "See"),
    (("simulate", "--port", "70000"), "70000 is not in the range", "See 'plugin-compat simulate --help'"),
    (("completion", "tcsh"), "'tcsh' is not one of 'bash', 'zsh', 'fish'.", "See"),
    (("demo", "--seed", "x"), "'x' is not a valid integer.", "See 'plugin-compat demo --help'"),
]


@pytest.mark.parametrize(
    ("arguments", "problem", "hint"),
    WRONG_USAGE,
    ids=[" ".join(Path(str(part)).name for part in arguments) for arguments, _, _ in WRONG_USAGE],
)
def test_wrong_usage_is_told_in_two_lines_what_and_what_to_do(
    command: Command, arguments: tuple[object, ...], problem: str, hint: str
) -> None:
    outcome = command(*arguments)
    assert (outcome.code, outcome.out) == (2, b"")
    what, remedy = outcome.err.splitlines()
    assert what.startswith("error: ")
    assert problem in what
    assert remedy.startswith("  ")
    assert hint in remedy
    assert "horse" not in outcome.err


def test_only_files_that_may_be_meant_and_can_be_typed_are_suggested(command: Command, tmp_path: Path) -> None:
    for name in (b"legacy.txt", b"legacy.toml", b"legac\xff.wasm", b"legacy"):
        (tmp_path / os.fsdecode(name)).write_bytes(b"")
    (tmp_path / "legac.wasm").mkdir()
    assert "Check the path" in command("inspect", tmp_path / "legacy.wasm").err
    told = command("run", PLUGIN, KEY, "--config-file", tmp_path / "legacy.txt.toml").err
    assert f"Did you mean '{tmp_path / 'legacy.toml'}'?" in told


def test_a_link_to_nothing_is_told_as_one(command: Command, tmp_path: Path) -> None:
    link = tmp_path / "legacy.wasm"
    link.symlink_to("gone.wasm")
    assert command("inspect", link).err.splitlines() == [
        f"error: Invalid value for 'PATH...': '{link}' does not exist.",
        "  It is a link to 'gone.wasm', where nothing is",
    ]


def test_a_long_list_of_files_says_that_there_are_more(command: Command, tmp_path: Path) -> None:
    for number in range(5):
        (tmp_path / f"{number}.wasm").touch()
    assert command("info", tmp_path).err.endswith("Name a file in it: 0.wasm, 1.wasm, 2.wasm, 3.wasm, 4.wasm\n")
    (tmp_path / "5.wasm").touch()
    assert command("info", tmp_path).err.endswith("3.wasm, 4.wasm, …\n")


def test_several_plugins_may_be_inspected_and_the_missing_one_is_not_out_of_place(command: Command) -> None:
    assert "comes first" not in command("inspect", "missing.wasm", PLUGIN).err


OTHER_FILES = {
    "a text": (b"hello\n", "not-wasm"),
    "a web page": (b"<!doctype html><html>404</html>", "html"),
    "the text format": (b"(module)", "text-format"),
    "gzip": (gzip.compress(b"x"), "compressed"),
    "nothing": (b"", "not-wasm"),
    "half a plugin": (PLUGIN.read_bytes()[:100_000], "truncated"),
    "a component": (b"\0asm\x0d\0\x01\0", "component"),
    "a plugin of another system": (
        wasmtime.wat2wasm('(module (import "wbg" "__wbindgen_throw" (func (param i32 i32))) (func (export "greet")))'),
        "foreign-abi",
    ),
}


@pytest.mark.parametrize(("data", "slug"), OTHER_FILES.values(), ids=OTHER_FILES)
@pytest.mark.parametrize("verb", [("run", "{}", KEY), ("call", "{}", "meta"), ("info", "{}")], ids=lambda verb: verb[0])
def test_what_is_no_plugin_is_told_in_two_lines_what_it_is_and_what_to_do(
    command: Command, tmp_path: Path, verb: tuple[str, ...], data: bytes, slug: str
) -> None:
    path = tmp_path / "plugin.wasm"
    path.write_bytes(data)
    outcome = command(*(part.format(path) for part in verb))
    assert (outcome.code, outcome.out) == (1, b"")
    (finding,) = inspect(path).errors
    assert finding.slug == slug
    message, remedy = finding.message.rstrip("."), finding.remedy.rstrip(".")
    assert outcome.err.splitlines() == [f"error: {path}: {slug}: {message}", f"  {remedy}"]


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
@pytest.mark.parametrize(
    ("folder_mode", "problem", "hint"),
    [(0o755, "cannot be read: permission denied.", "Allow it: chmod +r "), (0o700, "may not be entered.", "Copy it")],
)
def test_a_file_that_may_not_be_read_is_told_with_the_remedy(
    command: Command, folder_mode: int, problem: str, hint: str
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "plugin.wasm")
        path.write_bytes(PLUGIN.read_bytes())
        path.chmod(0o600)
        Path(folder).chmod(folder_mode)
        with as_nobody():
            outcome = command("inspect", path)
    assert (outcome.code, outcome.out) == (2, b"")
    what, remedy = outcome.err.splitlines()
    assert problem in what
    assert hint in remedy


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
@pytest.mark.parametrize("depth", ["closed", "open/closed"])
def test_a_folder_with_one_in_it_that_may_not_be_read_is_wrong_usage(command: Command, depth: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        Path(folder, "plugin.wasm").write_bytes(PLUGIN.read_bytes())
        closed = Path(folder, depth)
        closed.mkdir(parents=True)
        closed.chmod(0o700)
        with as_nobody():
            outcome = command("inspect", folder)
    assert (outcome.code, outcome.out) == (2, b"")
    what, remedy = outcome.err.splitlines()
    assert f"the folder '{closed}' may not be entered" in what
    assert remedy.startswith("  Copy it somewhere where you may read it")


@pytest.mark.parametrize("text", ["correct-horse", "=correct-horse"])
def test_a_value_in_the_wrong_form_is_not_repeated_for_it_may_be_a_secret(command: Command, text: str) -> None:
    outcome = command("run", PLUGIN, KEY, "--config", text)
    assert outcome.code == 2
    assert "'--config'" in outcome.err
    assert "horse" not in outcome.err
