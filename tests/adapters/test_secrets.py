"""No value of a configuration is shown."""

from __future__ import annotations

import pytest

from adapters.secrets import Redactor

CONFIG = {
    "api_key": "correct-horse",
    "longer": "correct-horse-battery",
    "nested": [{"secret": "staple"}, ("tuples", 12345678)],
    "flag": True,
    "nothing": None,
    "short": "abc",
    "small": 1e-7,
    "bytes": b"trombone",
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
        ("", ""),
    ],
)
def test_every_value_is_replaced_the_longest_first(text: str, shown: str) -> None:
    assert Redactor(CONFIG)(text) == shown


def test_without_a_configuration_a_text_stays_as_it_is() -> None:
    assert Redactor({})("correct-horse") == "correct-horse"
