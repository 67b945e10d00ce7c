"""The command line as a whole: the installed command, wrong usage, and how it ends."""

from __future__ import annotations

import gzip
import importlib.metadata
import os
import re
import runpy
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
import wasmtime

from compat import inspect
from compat.cli import cli
from compat.demo.exchange import Exchange
from tests.support.nobody import IS_ROOT, as_nobody
from tests.support.plugins import FIXTURES, MISBUILT
from tests.support.processes import COMPAT, INSTALLED, end_of, python
from tests.support.terminal import on_a_terminal

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command, Start

PLUGIN = FIXTURES[0].path
KEY = "ohlcv:simex:BTC-USDT?timeframe=1m"


def test_the_installed_command_tells_its_version() -> None:
    end = python(INSTALLED, "--version")
    assert (end.code, end.err) == (0, "")
    assert end.out.decode().split()[-1] == importlib.metadata.version("plugin-compat")


def test_the_module_is_the_command() -> None:
    end = python(*COMPAT, "inspect", PLUGIN)
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith(f"{PLUGIN}: legacy".encode())


def test_running_the_module_is_running_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["plugin-compat", "--help"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("compat", run_name="__main__")
    assert stop.value.code == 0
    assert "Run legacy and generic WebAssembly datasource plugins" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [(), *((name,) for name in cli.commands)], ids=" ".join)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_goes_to_stdout(command: Command, arguments: tuple[str, ...], option: str) -> None:
    outcome = command(*arguments, option)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(" ".join(["Usage: plugin-compat", *arguments, "["]).encode())


def test_the_commands_are_listed_in_the_order_in_which_they_are_needed(command: Command) -> None:
    listed = command("--help").out.decode().partition("Commands:\n")[2].partition("\n\n")[0]
    names = [line.split()[0] for line in listed.splitlines()]
    assert names == ["demo", "inspect", "info", "run", "call", "simulate", "completion"]
    assert all(len(line.split()) > 3 for line in listed.splitlines())
    assert "..." not in listed


def test_every_option_of_every_command_has_a_help_text() -> None:
    for name, found in cli.commands.items():
        for parameter in found.params:
            assert isinstance(parameter, click.Argument) or parameter.help, f"{name} {parameter.name}"


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


def test_debug_may_stand_before_the_command(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something odd"))
    assert command("--debug", "run", PLUGIN, KEY).err.startswith("Traceback (most recent call last):\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device")
@pytest.mark.parametrize(("arguments", "code"), [(("run", "missing.wasm", KEY), 2), (("info", MISBUILT), 1)])
def test_the_exit_code_is_kept_even_if_nobody_can_be_told(arguments: tuple[object, ...], code: int) -> None:
    with Path("/dev/full").open("w") as full:
        assert python(*COMPAT, *arguments, stderr=full).code == code


def test_without_a_command_the_help_is_shown(command: Command) -> None:
    outcome = command()
    assert (outcome.code, outcome.out) == (2, b"")
    assert "Commands:" in outcome.err


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


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(sys.modules["compat.cli.parameters"], "open_plugin", fail)


def test_an_interruption_exits_with_130(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    outcome = command("run", PLUGIN, KEY)
    assert (outcome.code, outcome.out, outcome.err.strip()) == (130, b"", "")


def test_an_error_of_the_system_names_the_file(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, OSError(28, "No space left on device", "/tmp/x"))
    outcome = command("run", PLUGIN, KEY)
    assert outcome.code == 1
    assert outcome.err.splitlines() == [
        "error: /tmp/x: No space left on device",
        "  Make room where the output goes, or write it elsewhere",
    ]


def test_a_defect_is_told_as_one_without_a_traceback(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something\nodd about correct-horse"))
    outcome = command("run", PLUGIN, KEY, "--config", "api_key=correct-horse")
    assert (outcome.code, outcome.out) == (1, b"")
    what, remedy = outcome.err.splitlines()
    assert what == "error: unexpected RuntimeError: something odd about ***"
    assert "--debug" in remedy


def test_debug_shows_the_traceback_without_secrets(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, RuntimeError("something odd about correct-horse"))
    outcome = command("run", PLUGIN, KEY, "--config", "api_key=correct-horse", "--debug")
    assert outcome.code == 1
    assert outcome.err.startswith("Traceback (most recent call last):\n")
    assert "RuntimeError: something odd about ***" in outcome.err
    assert "horse" not in outcome.err


async def test_debug_shows_what_the_library_logs_and_nothing_of_other_libraries(start: Start) -> None:
    async with Exchange(mode="replay", limit=1) as exchange:
        options = [part for pair in exchange.rewrites.items() for part in ("--rewrite", "=".join(pair))]
        secret = ("--config", "api_key=correct-horse")
        end = await end_of(
            await start("run", PLUGIN, KEY, *options, "--allow-private", "--count", 1, "--debug", *secret)
        )
    assert end.code == 0
    assert f"compat.plugin.legacy: stream {KEY}, item 0: starting" in end.err
    *logged, last = end.err.splitlines()
    assert all(line.startswith("compat.") for line in logged)
    assert last.endswith(" 1 item, 0 gaps")
    assert "horse" not in end.err


# More than fits into a pipe, and less.
@pytest.mark.parametrize("arguments", [("inspect", *[PLUGIN] * 300), ("call", PLUGIN, "get_name")])
async def test_a_reader_that_has_gone_is_no_failure(start: Start, arguments: tuple[object, ...]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = await start(*arguments, stdout=writing)
    os.close(writing)
    end = await end_of(process)
    assert (end.code, end.err) == (0, "")


SEEN = re.compile(r"\x1b\[[0-9;]*m")


def test_lists_are_broken_to_the_width_of_a_terminal() -> None:
    _, shown = on_a_terminal("inspect", PLUGIN, columns=60)
    lines = [line for line in SEEN.sub("", shown).splitlines() if line.startswith((" " * 11, "  exports"))]
    assert len(lines) > 3
    assert max(map(len, lines)) <= 60


@pytest.mark.parametrize("environment", [{}, {"NO_COLOR": "1"}], ids=str)
def test_colours_are_for_terminals_that_want_them_in_reports_and_errors(environment: dict[str, str]) -> None:
    code, shown = on_a_terminal("inspect", MISBUILT, "/proc/self/mem", environment=environment)
    report, mark, error = shown.partition("error:")
    assert (code, mark) == (1, "error:")
    assert "go-command-module" in report
    assert "/proc/self/mem: Input/output error" in error
    assert [bool(SEEN.search(report)), bool(SEEN.search(error))] == [not environment] * 2


def test_wrong_usage_is_not_told_in_colours_that_nobody_wants() -> None:
    code, shown = on_a_terminal("inspect", "missing.wasm", environment={"NO_COLOR": "1"})
    assert (code, shown.partition("'missing.wasm'")[0]) == (2, "error: Invalid value for 'PATH...': ")
    assert not SEEN.search(shown)
