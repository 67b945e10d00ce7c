"""The configuration fields that a plugin declares, in every spelling, and what is said of those that are missing."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import ConfigurationError
from adapters.fields import ConfigurationField, as_text, completed, misspelt, read_fields

KEY = ConfigurationField("api_key", required=True, secret=True)
SECRET = ConfigurationField("api_secret", label="Secret", required=True, secret=True)
TESTNET = ConfigurationField("testnet", type="boolean", default=False)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ("api_key", ConfigurationField("api_key")),
        ({"name": "api_key"}, ConfigurationField("api_key")),
        ({"key": "api_key", "required": True}, ConfigurationField("api_key", required=True)),
        ({"id": "api_key", "required": None}, ConfigurationField("api_key")),
        # the callback dialect's own form
        (
            {"name": "api_key", "encrypt": True, "mask": False, "omitEmpty": True},
            ConfigurationField("api_key", secret=True),
        ),
        # the command dialect's own form
        (
            {
                "name": "depth",
                "label": "Depth",
                "type": "number",
                "required": True,
                "encrypt": False,
                "mask": False,
                "placeholder": "5",
                "description": "Levels",
                "default": 5,
                "options": {"max": 10},
            },
            ConfigurationField("depth", "Depth", "number", required=True, description="Levels", default=5),
        ),
        ({"name": "pin", "type": "Password"}, ConfigurationField("pin", type="Password", secret=True)),
        ({"name": "note", "label": 5, "default": ""}, ConfigurationField("note")),
    ],
)
def test_a_field_is_read_in_every_spelling(item: object, field: ConfigurationField) -> None:
    assert read_fields("get_credential_fields", [item]) == ((field,), ())


@pytest.mark.parametrize(
    ("items", "told"),
    [
        ([{"label": "API key"}], "a field without a name was left out"),
        ([5, None, "", {"name": ""}], "a field without a name was left out"),
        (["a", {"name": "a"}], "a is declared twice; the first is used"),
        ([{"name": "a", "required": "yes"}], "required of a is neither true nor false, and taken as false"),
        ([f"f{number}" for number in range(300)], "of 300 fields the first 256 are used"),
    ],
)
def test_what_is_not_understood_is_told(items: list[object], told: str) -> None:
    fields, problems = read_fields("get_credential_fields", items)
    assert problems == (f"get_credential_fields: {told}",)
    assert not any(field.required for field in fields)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ITEMS = VALUES | st.fixed_dictionaries({}, optional=dict.fromkeys(("name", "key", "required", "default"), VALUES))


@given(st.lists(ITEMS, max_size=5))
def test_whatever_is_declared_the_fields_are_well_formed(items: list[object]) -> None:
    fields, _ = read_fields("e", items)
    assert len({field.name for field in fields}) == len({*fields}) == len(fields) <= len(items)
    assert all(field.name for field in fields)
    assert msgspec.json.encode(fields)


@pytest.mark.parametrize("config", [{}, {"api_key": None, "api_secret": ""}])
def test_what_is_missing_is_named_with_the_ways_to_give_it(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        completed("woox", (KEY, SECRET, TESTNET), config)
    assert caught.value.missing == ("api_key", "api_secret")
    assert str(caught.value) == (
        "plugin 'woox': configuration refused: it requires api_key and api_secret (Secret), which are not given. "
        'Give config={"api_key": ..., "api_secret": ...}; on the command line --config-file, or --config api_key=...'
    )


def test_a_misspelt_name_is_pointed_out_and_no_value_is_shown() -> None:
    with pytest.raises(ConfigurationError) as caught:
        completed("woox", (KEY,), {"apiKey": "correct-horse"})
    assert "Is apiKey, which it does not declare, meant to be api_key? Give config=" in str(caught.value)
    assert "correct-horse" not in f"{caught.value}{vars(caught.value)}"


def test_what_is_not_given_is_what_is_declared_for_it() -> None:
    required = ConfigurationField("depth", required=True, default=5)
    assert completed("x", (required, TESTNET), {}) == {"depth": 5, "testnet": False}
    assert completed("x", (required, TESTNET), {"depth": 9, "other": 1}) == {"depth": 9, "testnet": False, "other": 1}
    assert completed("x", (required,), {"depth": ""}) == {"depth": 5}
    assert completed("x", (TESTNET,), {"testnet": None, "note": ""}) == {"testnet": False, "note": ""}
    assert completed("x", (), {"anything": ""}) == {"anything": ""}


@pytest.mark.parametrize(
    ("given_names", "found"),
    [
        (("apiKey",), [("apiKey", "api_key")]),
        (("API-KEY",), [("API-KEY", "api_key")]),
        (("api_kye",), [("api_kye", "api_key")]),
        (("api_key", "apiKey"), []),
        (("colour",), []),
    ],
)
def test_a_name_that_is_nearly_a_declared_one_is_found(
    given_names: tuple[str, ...], found: list[tuple[str, str]]
) -> None:
    assert list(misspelt((KEY, TESTNET), dict.fromkeys(given_names, "x"))) == found


def test_a_value_becomes_a_text_as_json_unless_it_is_one() -> None:
    assert [as_text(value) for value in ("a", 5, True, None, {"a": [1]})] == ["a", "5", "true", "null", '{"a":[1]}']
