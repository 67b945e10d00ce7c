"""RFC 3339 and nanoseconds: the two directions undo each other."""

from __future__ import annotations

import itertools
import math
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.times import UNITS, moment, nanoseconds, rfc3339

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


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (1, 10**9),
        (1_735_689_600, 1_735_689_600 * 10**9),
        (1_735_689_600.123, 1_735_689_600_123 * 10**6),  # as it is written, not as a float holds it
        ("1735689600.123456789", 1_735_689_600_123_456_789),
        (1_735_689_600_123, 1_735_689_600_123 * 10**6),
        (1_735_689_600_123.5, 1_735_689_600_123_500_000),
        ("1.7356896e12", 1_735_689_600 * 10**9),
        (1_735_689_600_123_456, 1_735_689_600_123_456_000),
        (1_735_689_600_123_456_789, 1_735_689_600_123_456_789),
        ("1e-999999", 0),
        ("2025-01-01T00:00:00Z", 1_735_689_600 * 10**9),
    ],
)
def test_a_number_is_a_time_in_the_unit_that_its_magnitude_tells(value: object, expected: int) -> None:
    assert moment(value) == expected


def test_each_unit_begins_where_the_one_before_ends() -> None:
    assert [border for _, border in UNITS] == [10**11, 10**14, 10**17, LAST + 1]
    for unit, border in UNITS:
        assert moment(border - 1) == (border - 1) * unit
    for (_, border), (unit, _) in itertools.pairwise(UNITS):
        assert moment(border) == border * unit
    assert moment(LAST) == LAST
    with pytest.raises(ValueError, match="is not a unix time from 1970 to 9999"):
        moment(LAST + 1)


@pytest.mark.parametrize(
    "value",
    [-1, -0.5, math.nan, math.inf, 1e300, 10**5_000, "", "NaN", "-1", "1e99999999999999999999", True, None, [], {}],
    ids=lambda value: repr(value) if value != 10**5_000 else "enormous",
)
def test_what_is_no_time_is_a_value_error(value: object) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - Python's own text for a number of too many digits
        moment(value)


def test_a_long_text_is_not_repeated_whole() -> None:
    with pytest.raises(ValueError, match="is not an RFC 3339 time") as caught:
        moment("x" * 10_000)
    assert len(str(caught.value)) < 200
