"""The manager's errors: whose fault, which facts, and what to do."""

from __future__ import annotations

from compat import (
    CompatError,
    ConfigFileError,
    SourceTakenError,
    SubscriberTooSlowError,
    UnknownSourceError,
    UsageError,
)


def test_an_unknown_source_names_the_known_ones() -> None:
    error = UnknownSourceError("x", ("a", "b"))
    assert str(error) == "no plugin is registered as source 'x'. Registered are a, b"
    assert (error.source, error.known) == ("x", ("a", "b"))
    assert isinstance(error, LookupError)


def test_an_unknown_source_says_so_if_none_is_known() -> None:
    assert UnknownSourceError("x", ()).remedy == "None is yet: call register() first"


def test_a_taken_source_is_named_with_the_remedy() -> None:
    error = SourceTakenError("woox")
    assert str(error) == "source 'woox' is taken. Unregister it first, or choose another name"
    assert error.source == "woox"


def test_a_subscriber_that_is_too_slow_learns_the_stream_the_buffer_and_the_remedy() -> None:
    error = SubscriberTooSlowError("ohlcv:woox:BTC", 16)
    assert str(error) == (
        "the subscription to ohlcv:woox:BTC fell behind by more than 16 items and was ended. "
        "Take items faster, or subscribe with a larger buffer or another overflow policy"
    )
    assert "by more than 1 item and" in str(SubscriberTooSlowError("ohlcv:woox:BTC", 1))
    assert (error.stream, error.buffer) == ("ohlcv:woox:BTC", 16)


def test_a_configuration_file_is_named_with_what_is_wrong() -> None:
    error = ConfigFileError("woox.toml", "api_key is a date or time", remedy="Put it in quotes")
    assert str(error) == "configuration file woox.toml: api_key is a date or time. Put it in quotes"
    assert (error.path, error.problem) == ("woox.toml", "api_key is a date or time")


def test_all_of_them_are_the_caller_s_fault() -> None:
    for kind in (ConfigFileError, UnknownSourceError, SourceTakenError, SubscriberTooSlowError):
        assert issubclass(kind, UsageError)
        assert issubclass(kind, CompatError)
