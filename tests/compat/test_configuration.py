"""Configuration files: both formats, references, and what can be wrong with them."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest

from compat import ConfigFileError, read_config
from tests.support.nobody import IS_ROOT, as_nobody

TOML = """
api_key = { env = "SIMEX_KEY" }
api_secret = { file = "secret.txt" }
depth = 5
ratio = 0.5
live = true
names = ["a", { env = "SIMEX_KEY" }]

[limits]
per_second = 10
token = { file = "secret.txt" }
"""
JSON = """
{"api_key": {"env": "SIMEX_KEY"}, "api_secret": {"file": "secret.txt"}, "depth": 5, "ratio": 0.5, "live": true,
 "names": ["a", {"env": "SIMEX_KEY"}], "limits": {"per_second": 10, "token": {"file": "secret.txt"}}}
"""
READ = {
    "api_key": "correct-horse",
    "api_secret": "battery\nstaple",
    "depth": 5,
    "ratio": 0.5,
    "live": True,
    "names": ["a", "correct-horse"],
    "limits": {"per_second": 10, "token": "battery\nstaple"},
}


def write(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.mark.parametrize(("name", "text"), [("c.toml", TOML), ("c.json", JSON), ("C.TOML", TOML)])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_both_formats_say_the_same_and_references_are_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, end: str
) -> None:
    monkeypatch.setenv("SIMEX_KEY", "correct-horse")
    write(tmp_path, "secret.txt", f"battery\nstaple{end}")
    monkeypatch.chdir("/")
    assert read_config(write(tmp_path, name, text)) == READ


def test_tables_that_are_no_references_are_values(tmp_path: Path) -> None:
    values: dict[str, object] = {
        "a": {"env": {"name": "X"}, "depth": 1},
        "b": {"other": "x"},
        "c": {},
        "d": {"end": "2025"},
        "e": {"filter": "x"},
        "f": {"field": "x"},
        "g": {"profile": "x"},
        "h": {"fiel": 1},
        "i": {"fiel": "x", "depth": 1},
    }
    assert read_config(write(tmp_path, "c.json", json.dumps(values))) == values


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (
            '{ fiel = "horse" }',
            "{} has the key fiel, which is no reference to the environment or a file. Did you mean file?",
        ),
        ('{ files = "horse" }', "Did you mean file?"),
        ('{ evn = "horse" }', "Did you mean env?"),
        ('{ ENV = "horse" }', "Did you mean env?"),
        ('{ " env" = "horse" }', "Did you mean env?"),
        ("{ env = 5 }", "{}.env names an environment variable, and is not a text. Put what it names in quotes"),
        ('{ file = ["horse"] }', "{}.file names a file, and is not a text. Put what it names in quotes"),
        ('{ env = "A", file = "horse" }', "{} has both env and file, and a reference"),
        ('{ file = "horse", default = "staple" }', "{} has both file and default, and a reference"),
        ('{ note = "staple", env = "A", depth = 5 }', "Remove the other keys, or rename env if no reference is meant"),
    ],
)
@pytest.mark.parametrize(("text", "name"), [("x = %s", "x"), ("[a.b]\ny = [1, %s]", "a.b.y[1]")])
def test_a_table_that_was_meant_as_a_reference_and_is_none_is_refused(
    tmp_path: Path, text: str, name: str, table: str, told: str
) -> None:
    with pytest.raises(ConfigFileError) as caught:
        read_config(write(tmp_path, "c.toml", text % table))
    assert told.format(name) in str(caught.value)
    assert "horse" not in str(caught.value)
    assert "staple" not in str(caught.value)


def test_a_file_in_the_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, "key", "correct-horse\n")
    assert read_config(write(tmp_path, "c.toml", 'key = { file = "~/key" }')) == {"key": "correct-horse"}


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("c.yaml", "a: 1", "its name ends in neither .toml nor .json. Rename it to what it is"),
        ("c", "a = 1", "ends in neither"),
        ("c.toml", "a = correct-horse", "it is no TOML: Invalid value (at line 1, column 5)"),
        ("c.json", "{", "it is no JSON: Expecting property name"),
        ("c.json", "", "it is no JSON: "),
        ("c.json", '["correct-horse"]', 'it holds no names and values. Write {"name": "value", ...}'),
        ("c.json", "[" * 100_000, "it is nested too deeply"),
        ("c.toml", b'a = "\xff"', "it is no TOML: it is not UTF-8 text"),
        ("c.json", '{"a": 1, "b": {"c": "horse", "c": 2}}', "the name c stands twice in one table. Keep one of them"),
        ("c.toml", "a = 1\na = 2", "it is no TOML: Cannot overwrite a value"),
        ("c.json", '{"a": [1, NaN]}', "a[1] is not a finite number"),
        ("c.json", '{"a": {"b": -Infinity}}', "a.b is not a finite number, and plugins are given JSON"),
        ("c.json", '{"a": 1e999}', "a is not a finite number"),
        ("c.toml", "a = nan", "a is not a finite number"),
        ("c.toml", "a = -inf", "Write a number, or put it in quotes"),
        ("c.toml", "since = 2025-01-01", "since is a date or time. Put it in quotes"),
        ("c.toml", 'x = [{ y = { env = "NOT_SET_AT_ALL" } }]', "x[0].y comes from the environment variable"),
        ("c.toml", 'x = { env = "NOT_SET_AT_ALL" }', "NOT_SET_AT_ALL, which is not set. Set NOT_SET_AT_ALL"),
        ("c.toml", 'x = { env = "" }', "which is not set"),
        ("c.json", '{"x": {"env": "a\\u0000b"}}', "which is not set"),
        ("c.toml", 'x = { file = "missing" }', "which cannot be read: No such file or directory"),
        ("c.toml", 'x = { file = "." }', "which cannot be read: Is a directory"),
        ("c.toml", 'x = { file = "binary" }', "which cannot be read: it is not UTF-8 text"),
    ],
)
def test_what_is_wrong_is_named_and_no_value_is_shown(
    tmp_path: Path, name: str, text: str | bytes, problem: str
) -> None:
    write(tmp_path, "binary", b"\xff\xfe")
    path = write(tmp_path, name, text)
    with pytest.raises(ConfigFileError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"configuration file {path}: ")
    assert problem in str(caught.value)
    assert "horse" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_file_that_is_not_there_is_the_systems_error() -> None:
    with pytest.raises(FileNotFoundError):
        read_config("missing.toml")


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
def test_a_secret_that_may_not_be_read_is_told_with_the_command_that_allows_it() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        secret, path = write(Path(folder), "secret", "horse"), write(Path(folder), "c.toml", 'x = { file = "secret" }')
        secret.chmod(0)
        with as_nobody(), pytest.raises(ConfigFileError) as caught:
            read_config(path)
    assert caught.value.problem == "x comes from the file secret, which cannot be read: Permission denied"
    assert caught.value.remedy == f"Allow it to yourself: chmod u+r '{secret}'"
