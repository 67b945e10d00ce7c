"""The manager's errors: whose fault, which facts, and what to do."""

from __future__ import annotations

from compat import CompatError, SourceTakenError, SubscriberTooSlowError, UnknownSourceError, UsageError


def test_an_unknown_source_names_the_known_ones() -> None:
    error = UnknownSourceError("x", ("a", "b"))
    assert str(error) == "no plugin is registered as source 'x'. Registered sources: a, b"
    assert (error.source, error.known) == ("x", ("a", "b"))
    assert isinstance(error, LookupError)


def test_an_unknown_source_says_so_if_none_is_known() -> None:
    assert UnknownSourceError("x", ()).remedy == "Registered sources: none"


def test_a_taken_source_is_named_with_the_remedy() -> None:
    error = SourceTakenError("woox")
    assert str(error) == "source 'woox' is taken. Unregister it first, or choose another name"
    assert error.source == "woox"


def test_a_subscriber_that_is_too_slow_learns_the_stream_the_buffer_and_the_remedy() -> None:
    error = SubscriberTooSlowError("ohlcv:woox:BTC", 16)
    assert str(error) == (
        "the subscription to ohlcv:woox:BTC fell more than 16 items behind and was ended. "
        "Take items faster, or subscribe with a larger buffer"
    )
    assert (error.stream, error.buffer) == ("ohlcv:woox:BTC", 16)


def test_all_of_them_are_the_caller_s_fault() -> None:
    for kind in (UnknownSourceError, SourceTakenError, SubscriberTooSlowError):
        assert issubclass(kind, UsageError)
        assert issubclass(kind, CompatError)
