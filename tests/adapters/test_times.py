"""RFC 3339 and nanoseconds: the two directions undo each other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.times import nanoseconds, rfc3339

FORM = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)"
FIRST = -62_135_596_800 * 10**9  # 0001-01-01
LAST = 253_402_300_800 * 10**9 - 1  # 9999-12-31


@given(st.integers(FIRST, LAST))
def test_reading_undoes_writing(value: int) -> None:
    assert nanoseconds(rfc3339(value)) == value


@given(
    st.datetimes(
        datetime(2, 1, 1),  # noqa: DTZ001 - the zone is given separately
        datetime(9998, 1, 1),  # noqa: DTZ001
        timezones=st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
    )
)
def test_it_reads_what_the_standard_library_writes(moment: datetime) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert nanoseconds(moment.isoformat()) == (moment - epoch) // timedelta(microseconds=1) * 1_000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01t00:00:00z", 0),
        ("1970-01-01 00:00:00+00:00", 0),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01T00:00:00.1234567899999Z", 123_456_789),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T19:30:00-04:30", 0),
        ("2026-01-01T00:00:00.000000001Z", 1_767_225_600_000_000_001),
    ],
)
def test_the_forms_of_the_standard_are_read(text: str, value: int) -> None:
    assert nanoseconds(text) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (FIRST, "0001-01-01T00:00:00.000000000Z"),
        (LAST, "9999-12-31T23:59:59.999999999Z"),
    ],
)
def test_what_is_written_has_four_digits_of_year_and_nine_of_fraction(value: int, text: str) -> None:
    assert rfc3339(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-01-01T00:00:00.Z",
        "2026-13-01T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T00:00:00+25:00",
        "0000-01-01T00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library's own text for a date that does not exist
        nanoseconds(text)


@given(
    st.text(max_size=30)
    | st.from_regex(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", fullmatch=True)
)
def test_any_text_is_a_time_or_a_value_error(text: str) -> None:
    try:
        value = nanoseconds(text)
    except ValueError:
        return
    assert isinstance(value, int)
