"""Seasonal bands in homeostat.yaml."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.alerting.conditions.band import Band
from homeostat.domain.errors import ConfigError
from unit.engine.ruled import DAY, plan_of

GUIDE = Path(__file__).parents[4] / "docs/guide/alert-rules.md"


def condition(folder: Path, rule: str) -> Band:
    plan = plan_of(folder, f"alerts: {{rules: {{odd: {{{rule}}}}}}}")
    (found,) = [rule.condition for rule in plan.rules if rule.name == "odd"]
    assert isinstance(found, Band)
    return found


def test_the_guides_examples_are_read(tmp_path: Path) -> None:
    blocks = re.findall(r"(?:^    .*\n)+", GUIDE.read_text(), re.MULTILINE)
    (shown,) = [block for block in blocks if "band:" in block]
    plan = plan_of(tmp_path, "".join(line[4:] + "\n" for line in shown.splitlines()))
    bands = {rule.name: rule.condition for rule in plan.rules if isinstance(rule.condition, Band)}
    assert sorted(bands) == ["odd_accuracy", "odd_errors", "odd_traffic"]
    assert bands["odd_errors"].rare == 28 * DAY


def test_one_setting_serves_all(tmp_path: Path) -> None:
    band = condition(tmp_path, "metric: error_rate, band: {}")
    assert (band.rare, band.ways, band.min_change, band.min_rows) == (7 * DAY, "both", 0.0, 30)
    assert band.series.every == timedelta(minutes=5)
    assert condition(tmp_path, "metric: requests, over: 2h, band: {}").rare == 14 * DAY


def test_every_setting_arrives(tmp_path: Path) -> None:
    rule = "metric: accuracy, min_rows: 7, band: {rare: 30d, ways: below, min_change: 0.01}"
    band = condition(tmp_path, rule)
    assert (band.rare, band.ways, band.min_change, band.min_rows) == (30 * DAY, "below", 0.01, 7)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("metric: error_rate, band: {rare: 6d}", "that is too often; write 7d or more"),
        ("metric: requests, over: 1d, band: {rare: 30d}", "write 168d or more"),
        ("metric: error_rate, band: {min_change: -1}", "greater than or equal to 0"),
        ("metric: error_rate, band: {ways: up}", "'both', 'above' or 'below'"),
        ("metric: error_rate, band: {}, windows: 2", "means nothing beside a band"),
        ("metric: error_rate, band: {}, sure: true", "means nothing beside a band"),
        ("metric: error_rate, band: {}, against: 28d", "means nothing beside a band"),
        ("metric: error_rate, band: {}, above: 0.1", "two conditions"),
        ("metric: version_age, band: {}", "is of this moment"),
        ("band: {}", "is a condition on no metric"),
    ],
    ids=[
        "often", "long-figures", "negative", "way", "windows", "sure", "against", "two", "gauge",
        "no-metric",
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_with_the_remedy(
    tmp_path: Path, rule: str, told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        condition(tmp_path, rule)
