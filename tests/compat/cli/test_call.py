"""``plugin-compat call``: input in every form, output as it is, and failures in the plugin's words."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import wasmtime

from compat.cli.call import _Input
from tests.support.guests import Answer, guest
from tests.support.legacy import META, legacy
from tests.support.plugins import FIXTURES, wat

if TYPE_CHECKING:
    from tests.compat.cli.conftest import Command

PLUGINS = {fixture.id: fixture.path for fixture in FIXTURES}
CALLBACK, COMMAND, GENERIC = (PLUGINS[name] for name in ("legacy-callback", "legacy-command", "generic-blocking"))
MARKETS = '{"name": "getMarkets", "params": {}}'


def test_text_is_the_output_as_it_is(command: Command) -> None:
    outcome = command("call", CALLBACK, "get_name")
    assert (outcome.code, outcome.out, outcome.err) == (0, b"SimEx\n", "")


def test_json_is_laid_out_and_ndjson_is_one_line(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "markets.wasm"
    path.write_bytes(legacy("callback", list_markets=Answer('[{"a":1.50},\n2]')))
    text, document, line = (
        command("call", path, "list_markets", "--format", style).out for style in ("text", "json", "ndjson")
    )
    assert (text, line) == (b'[{"a":1.50},\n2]\n', b'[{"a":1.50},2]\n')
    assert document == b'[\n  {\n    "a": 1.50\n  },\n  2\n]\n'


def test_the_input_is_given_as_it_stands_from_a_file_or_from_stdin(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin, path = tmp_path / "plugin.wasm", tmp_path / "request.json"
    script = (Answer("as it stands", when=MARKETS), Answer("something else"))
    plugin.write_bytes(guest({"meta": Answer(META), "handle_command": script, "handle_stream_message": Answer()}))
    path.write_text(MARKETS)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(MARKETS.encode())))
    for given in (MARKETS, f"@{path}", "-"):
        assert command("call", plugin, "handle_command", given).out == b"as it stands\n"
    assert command("call", plugin, "handle_command").out == b"something else\n"


def test_the_plugin_s_reason_is_told(command: Command) -> None:
    outcome = command("call", COMMAND, "handle_command", '{"name": "nope", "params": {}}')
    assert (outcome.code, outcome.out) == (1, b"")
    assert outcome.err.startswith("error: plugin 'legacy-command': handle_command failed: ")


def test_an_export_that_is_not_there_is_answered_with_those_that_are(command: Command) -> None:
    outcome = command("call", CALLBACK, "get_nmae")
    assert outcome.code == 1
    what, remedy = outcome.err.splitlines()
    assert what == "error: plugin 'legacy' exports no function 'get_nmae' that can be called"
    assert remedy.startswith("  Did you mean 'get_name'? It exports meta, ")


def test_the_configuration_goes_first_and_a_refused_one_is_told_without_its_value(command: Command) -> None:
    good = command("call", CALLBACK, "get_name", "--config", "api_key=correct-horse")
    assert (good.code, good.out) == (0, b"SimEx\n")
    bad = command("call", CALLBACK, "get_name", "--config", "api_key=invalid")
    assert bad.code == 1
    assert "configuration refused" in bad.err
    assert "invalid" not in bad.err


def test_what_is_no_json_is_told_where_json_is_asked_for(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "named.wasm"
    path.write_bytes(legacy("callback", get_name=Answer("SimEx")))
    for style in ("json", "ndjson"):
        outcome = command("call", path, "get_name", "--format", style)
        assert (outcome.code, outcome.out) == (1, b"")
        assert outcome.err == "error: the output of get_name is no JSON; --format text shows it as it is\n"


def test_what_comes_from_a_file_or_stdin_is_taken_byte_for_byte_whether_it_is_json_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"no JSON, and no text: \xff"
    given = tmp_path / "data"
    given.write_bytes(data)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert _Input().convert(f"@{given}", None, None) == _Input().convert("-", None, None) == data


def test_a_trap_is_told_with_what_to_do_and_debug_shows_the_backtrace(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "traps.wasm"
    path.write_bytes(wat("traps"))
    outcome = command("call", path, "start_stream")
    assert outcome.code == 1
    what, remedy = outcome.err.splitlines()
    assert what.startswith("error: plugin 'traps': start_stream trapped: ")
    assert remedy.startswith("  A defect of the plugin: give its author the backtrace (--debug")
    assert "wasm backtrace" not in outcome.err
    assert "wasm backtrace" in command("call", path, "start_stream", "--debug").err


@pytest.mark.parametrize("arguments", [("{}", "get_name"), ("@x.json", "get_name"), ("-",), ('"horse"',), ("[1]",)])
def test_json_in_the_place_of_the_export_is_told_and_not_repeated(command: Command, arguments: tuple[str, ...]) -> None:
    outcome = command("call", CALLBACK, *arguments)
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err.splitlines() == [
        "error: Invalid value for 'EXPORT': it is no export's name.",
        "  The export comes first, then the JSON: plugin-compat call FILE EXPORT [JSON]",
    ]


def test_an_input_that_is_no_json_is_not_repeated(command: Command) -> None:
    outcome = command("call", CALLBACK, "set_credentials", "{api_key: correct-horse}")
    assert outcome.code == 2
    assert "horse" not in outcome.err


def test_a_call_that_does_not_end_is_cancelled(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "loops.wasm"
    path.write_bytes(wat("loops"))
    outcome = command("call", path, "start_stream", "--timeout", "0.3")
    assert outcome.code == 1
    assert outcome.err.startswith("error: plugin 'loops': start_stream did not return within 0.3 s\n  Its guest")


def test_a_start_section_needs_no_permission(command: Command, tmp_path: Path) -> None:
    path = tmp_path / "starts.wasm"
    exports = "".join(
        f'(func (export "{name}") (result i32) (i32.const 0))' for name in ("start_stream", "stop_stream")
    )
    path.write_bytes(wasmtime.wat2wasm(f"(module {exports} (func $init) (start $init))"))
    assert command("call", path, "stop_stream").code == 0


def test_what_a_plugin_requires_can_be_asked_for_without_giving_it(command: Command, tmp_path: Path) -> None:
    fields = [{"name": "api_key", "required": True}]
    path = tmp_path / "wants.wasm"
    exports = {"get_credential_fields": fields, "set_credentials": {}, "list_markets": []}
    path.write_bytes(legacy("callback", **{name: Answer(output) for name, output in exports.items()}))  # type: ignore[arg-type]
    assert json.loads(command("call", path, "get_credential_fields").out) == fields
    outcome = command("call", path, "list_markets", "--config", "apikey=correct-horse")
    assert (outcome.code, outcome.out) == (1, b"")
    what, remedy = outcome.err.splitlines()
    assert what == "error: plugin 'wants': configuration refused: it requires api_key, which is not given"
    assert remedy.startswith("  Is apikey, which it does not declare, meant to be api_key? Give config=")
    assert "--config api_key=" in remedy
    assert "correct-horse" not in outcome.err
