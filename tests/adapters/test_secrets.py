"""No value of a configuration is shown."""

from __future__ import annotations

import logging

import pytest

from adapters.secrets import Redactor
from adapters.voice import Voice

CONFIG = {
    "api_key": "correct-horse",
    "longer": "correct-horse-battery",
    "nested": [{"secret": "staple"}, ("tuples", 12345678)],
    "flag": True,
    "nothing": None,
    "short": "abc",
    "small": 1e-7,
    "bytes": b"trombone",
    "padded": "xyz  \n",
    "many": {"saxophone"},
    "odd": 'a "b"\n&ü',
}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("key correct-horse is wrong", "key *** is wrong"),
        ("correct-horse-battery", "***"),
        ("staple 12345678 tuples", "*** *** ***"),
        ("api_key is True, None or abc", "api_key is True, None or abc"),
        (r'{"odd": "a \"b\"\n&ü"}', '{"odd": "***"}'),
        (r'{"odd": "a \"b\"\n&\u00fc"}', '{"odd": "***"}'),
        ("?odd=a%20%22b%22%0A%26%C3%BC&x=1", "?odd=***&x=1"),
        ("?odd=a+%22b%22%0A%26%C3%BC&x=1", "?odd=***&x=1"),
        ("1e-7, 1e-07, dHJvbWJvbmU=, saxophone", "***, ***, ***, ***"),
        ("xyz xyz", "xyz xyz"),
        ("", ""),
    ],
)
def test_every_value_is_replaced_the_longest_first(text: str, shown: str) -> None:
    assert Redactor(CONFIG)(text) == shown


KEY = "-----BEGIN EC PRIVATE KEY-----\n  MHcCAQEEIIGH\nAwEHoUQDQ+gAE\n----\nQ==\n\n-----END EC PRIVATE KEY-----\n"


@pytest.mark.parametrize(
    "config", [KEY, KEY.replace("\n", "\r\n"), KEY.replace("\n", "\\n")], ids=["lf", "crlf", "escaped"]
)
@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("MHcCAQEEIIGH", "***"),
        ("key:   MHcCAQEEIIGH", "key:   ***"),
        ("?key=AwEHoUQDQ%2BgAE", "?key=***"),
        ("-----BEGIN EC PRIVATE KEY-----", "-----BEGIN EC PRIVATE KEY-----"),
        ("no -----END EC PRIVATE KEY----- was found", "no -----END EC PRIVATE KEY----- was found"),
        ("----", "----"),
        ("Q==", "Q=="),
    ],
)
def test_each_line_of_a_secret_is_one_but_those_that_say_nothing(config: str, line: str, shown: str) -> None:
    assert Redactor({"key": config})(line) == shown
    assert Redactor({"key": config})(config) == "***"


def test_a_key_that_a_plugin_logs_or_prints_is_told_in_none_of_its_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    voice = Voice(logging.getLogger("compat.plugin.example"), redact=Redactor({"key": KEY}))
    voice.say(logging.INFO, f"the key is {KEY}")
    for line in KEY.splitlines(keepends=True):
        voice.stderr(line.encode())
    told = [*(record.getMessage() for record in caplog.records), voice.last_words()]
    assert told.count("***") == 3  # the last words have it whole
    assert not any("MHc" in line or "AwE" in line for line in told)


def test_without_a_configuration_a_text_stays_as_it_is() -> None:
    assert Redactor({})("correct-horse") == "correct-horse"
