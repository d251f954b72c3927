"""Early answers on tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest

from homeostat.domain.errors import ConfigError, DataError
from homeostat.domain.predictions import PredictionSpec
from homeostat.entrypoints.labels import early_rates

START = np.datetime64("2024-01-01")
SPEC = PredictionSpec(label="fraud", timestamp="at", arrival="came", maturity=timedelta(days=20))


def table(days: int = 100, seed: int = 0) -> pa.Table:
    rng, n = np.random.default_rng(seed), days * 40
    at = START + np.arange(n) * np.timedelta64(36, "m")
    fraud = rng.random(n) < 0.3
    came = at + np.where(fraud, 1, 10) * np.timedelta64(1, "D")
    late = came > START + np.timedelta64(days, "D")
    return pa.table(
        {
            "at": at.astype("datetime64[us]"),
            "score": rng.random(n),
            "desk": rng.integers(0, 2, n),
            "fraud": pa.array(fraud, mask=late),
            "came": pa.array(came.astype("datetime64[us]"), mask=late),
        }
    )


def test_every_young_window_is_told_with_its_coverage() -> None:
    found = early_rates(table(), SPEC, timedelta(days=5), delay_by=("desk",))
    assert [one.window.length for one in found] == [timedelta(days=5)] * len(found)
    assert found[-1].window.end <= datetime(2024, 4, 10, tzinfo=found[-1].window.end.tzinfo)
    coverage = [one.positive.coverage for one in found]
    assert coverage == sorted(coverage, reverse=True)
    for one in found:
        assert one.positive.share == pytest.approx(0.3, abs=0.1)
        assert one.positive.interval.lower <= one.positive.share
        assert len(one.classes) == len(one.shares) == 2
    assert found[-1].positive.naive > 0.5


def test_what_came_later_is_not_looked_at() -> None:
    """As of a past day the answer is the one that was given on that day."""
    whole, then = table(100), table(60)
    past = early_rates(whole, SPEC, timedelta(days=5), datetime(2024, 3, 1))
    told = early_rates(then, SPEC, timedelta(days=5), datetime(2024, 3, 1))
    assert [one.window for one in past] == [one.window for one in told]
    early, now = past[-1].positive, told[-1].positive
    assert early.rows == now.rows
    assert 0.0 <= early.coverage < 1.0


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(replace(SPEC, maturity=None), id="no maturity"),
        pytest.param(replace(SPEC, arrival=""), id="no arrival"),
        pytest.param(replace(SPEC, task="regression", label="score"), id="regression"),
    ],
)
def test_a_spec_that_says_too_little_is_refused(spec: PredictionSpec) -> None:
    with pytest.raises(ConfigError):
        early_rates(table(), spec)


def test_data_without_arrivals_are_refused() -> None:
    with pytest.raises(DataError, match="no column 'came'"):
        early_rates(table().drop_columns(["came"]), SPEC)


def test_without_rows_there_are_no_windows() -> None:
    assert early_rates(table().slice(0, 0), SPEC) == ()


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"every": timedelta(0)}, "too short; give a second"),
        ({"every": timedelta(seconds=1)}, "windows; at most 1,000"),
        ({"every": timedelta(days=1_000_000)}, "too long"),
        ({"every": 7}, "every is 7; give a timedelta"),
        ({"as_of": "2024-03-01"}, "as_of is '2024-03-01'; give a datetime"),
        ({"as_of": datetime(9999, 12, 31)}, "outside the years"),
    ],
    ids=["nothing", "seconds", "ages", "number", "text", "end of time"],
)
def test_windows_and_moments_that_cannot_be_are_refused(
    options: dict[str, object], match: str
) -> None:
    with pytest.raises(ConfigError, match=match):
        early_rates(table(), SPEC, **options)  # type: ignore[arg-type]


def test_one_column_may_be_named_by_itself() -> None:
    week = timedelta(days=5)
    alone = early_rates(table(), SPEC, week, delay_by="desk")
    assert alone == early_rates(table(), SPEC, week, delay_by=("desk",))


def test_before_any_label_came_nothing_can_be_told() -> None:
    rows = table()
    for name in ("came", "fraud"):
        rows = rows.set_column(rows.column_names.index(name), name, pa.nulls(len(rows)))
    found = early_rates(rows, SPEC, timedelta(days=5))
    assert found
    assert all(one.positive.reason.startswith("not yet identifiable") for one in found)


def test_windows_are_printed_as_lines() -> None:
    found = early_rates(table(), SPEC, timedelta(days=5))
    newest, share = found[-1], found[-1].positive
    assert str(newest) == (
        f"{newest.window}, labels of {share.coverage:.0%}: "
        f"true {share.share:.4g} [{share.interval.lower:.4g}, {share.interval.upper:.4g}]"
    )
    assert f"<EarlyWindow {newest}>" in str(found)
    three = replace(newest, classes=("a", "b", "c"), shares=(share,) * 3)
    assert str(three).split(": ", 1)[1].startswith(f"a {share.share:.4g} [")
    assert str(three).count("[") == 3


def test_windows_that_cannot_be_told_are_printed_with_the_reason() -> None:
    rows = table()
    for name in ("came", "fraud"):
        rows = rows.set_column(rows.column_names.index(name), name, pa.nulls(len(rows)))
    assert "not yet identifiable" in str(early_rates(rows, SPEC, timedelta(days=5))[0])
