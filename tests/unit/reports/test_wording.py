from datetime import UTC, datetime, timedelta

import pytest

from homeostat.reports.wording import number, span, when


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "—"),
        (float("nan"), "—"),
        (float("-inf"), "-∞"),
        (0.9996, "1"),
        (0.05, "0.05"),
        (-12.345, "-12.3"),
        (99.96, "100"),
        (1e6, "1,000,000"),
    ],
)
def test_numbers_have_three_digits(value: float | None, text: str) -> None:
    assert number(value) == text


def test_when_is_to_the_minute_and_names_the_zone() -> None:
    assert when(datetime(2024, 1, 2, 3, 4, 59, tzinfo=UTC)) == "2024-01-02 03:04 UTC"


def test_one_is_singular() -> None:
    assert span(timedelta(days=1, hours=23)) == "1 day"
