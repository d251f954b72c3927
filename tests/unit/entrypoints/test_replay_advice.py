"""What is proposed is written as homeostat.yaml has it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.alerting.budget import LeftOut
from homeostat.domain.verdict import DEGRADED
from homeostat.domain.window import Window
from homeostat.engine.knobs import Setting
from homeostat.engine.tuning import Advice, Advised, Option
from homeostat.entrypoints.replay_advice import Proposal, snippet
from homeostat.entrypoints.settings import load
from homeostat.stats.intervals import Interval

CONFIG = """\
alerts:
  rules:
    shared: {metric: accuracy, below: 0.8, hold: 90m}
models:
  - name: toy
    task: binary
    features: {signal: numeric}
    labels: {maturity: 1d}
    monitors:
      thresholds:
        - {metric: auc, below: 0.8}
        - {metric: log_loss, dynamic: above, history: 56d, since: 2026-03-01}
    alerts:
      rules:
        burn:
          metric: error_rate
          burn: {objective: 0.99, pairs: [{long: 1h, short: 5m, factor: 10}]}
          severity: critical
"""
NOTHING = Interval(0.0, 1.0)
START = datetime(2026, 1, 1, tzinfo=UTC)


def advice(rule: str, knob: str, value: Setting, subject: str = "") -> Advice:
    option = Option(knob, value, value, 0.0, LeftOut(0.0, NOTHING), None, None)
    return Advice(rule, subject, 1.0, NOTHING, 0.5, (option,), option)


def merged(tmp_path: Path, *advised: Advice, config: str = CONFIG) -> Any:
    """Return the lines as read, once they have replaced what is there and that loads."""
    file = tmp_path / "homeostat.yaml"
    file.write_text(config)
    lines = yaml.safe_load(snippet(load(file), "toy", advised))
    whole = yaml.safe_load(config)
    whole["alerts"]["rules"] |= lines.get("alerts", {}).get("rules", {})
    for model in lines.get("models", ()):
        assert model.pop("name") == "toy"
        whole["models"][0]["monitors"] |= model.get("monitors", {})
        whole["models"][0]["alerts"] |= {"overrides": model.get("alerts", {}).get("overrides", {})}
        whole["models"][0]["alerts"]["rules"] |= model.get("alerts", {}).get("rules", {})
    file.write_text(yaml.safe_dump(whole))
    load(file)
    return lines


def test_one_threshold_is_changed_among_the_others(tmp_path: Path) -> None:
    lines = merged(tmp_path, advice("metric_threshold", "below", 0.75, "auc limit"))
    (model,) = lines["models"]
    assert model["monitors"]["thresholds"] == [
        {"metric": "auc", "below": 0.75},
        {"metric": "log_loss", "dynamic": "above", "history": "56d",
         "since": model["monitors"]["thresholds"][1]["since"]},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("knob", "value", "field"),
    [("above", 0.2, "max_degraded"), ("min_rows", 60, "min_rows")],
)
def test_the_limit_on_fallback_answers_has_a_name_of_its_own(
    tmp_path: Path, knob: str, value: float, field: str
) -> None:
    lines = merged(tmp_path, advice("degraded_answers", knob, value, DEGRADED))
    assert lines == {"models": [{"monitors": {"service": {field: value}}}]}


def test_rules_are_changed_where_they_are_written(tmp_path: Path) -> None:
    half = timedelta(minutes=30)
    lines = merged(
        tmp_path,
        advice("data_drift", "hold", half),
        advice("burn", "hold", half),
        advice("shared", "windows", 3),
    )
    assert lines["alerts"] == {
        "rules": {"shared": {"metric": "accuracy", "below": 0.8, "hold": "1h30m", "windows": 3}}
    }
    (model,) = lines["models"]
    assert model["alerts"]["overrides"] == {"data_drift": {"hold": "30m"}}
    burn = model["alerts"]["rules"]["burn"]
    assert (burn["hold"], burn["severity"]) == ("30m", "critical")
    assert burn["burn"]["pairs"] == [{"long": "1h", "short": "5m", "factor": 10.0}]


def test_nothing_proposed_is_nothing_written(tmp_path: Path) -> None:
    file = tmp_path / "homeostat.yaml"
    file.write_text(CONFIG)
    assert snippet(load(file), "toy", [Advice("a", "", 0.0, NOTHING, 0.0)]) == ""


def test_what_is_written_there_already_stays(tmp_path: Path) -> None:
    override = {"severity": "info", "receivers": [], "keep_firing": "2d"}
    whole = yaml.safe_load(CONFIG)
    toy = whole["models"][0]
    toy["alerts"]["overrides"] = {"data_drift": override}
    toy["monitors"]["service"] = {"max_latency": "1s", "max_degraded": 0.3}
    lines = merged(
        tmp_path,
        advice("data_drift", "hold", timedelta(days=1)),
        advice("degraded_answers", "above", 0.4, DEGRADED),
        config=yaml.safe_dump(whole),
    )
    (model,) = lines["models"]
    assert model["alerts"]["overrides"] == {"data_drift": override | {"hold": "1d"}}
    assert model["monitors"]["service"] == {"max_latency": "1s", "max_degraded": 0.4}


def test_a_rule_that_models_share_is_changed_for_one_of_them(tmp_path: Path) -> None:
    whole = yaml.safe_load(CONFIG)
    whole["models"].append(whole["models"][0] | {"name": "other"})
    lines = merged(tmp_path, advice("shared", "windows", 3), config=yaml.safe_dump(whole))
    changed = {"metric": "accuracy", "below": 0.8, "hold": "1h30m", "windows": 3}
    assert lines == {"models": [{"alerts": {"rules": {"shared": changed}}}]}


def test_it_is_said_of_critical_rules_what_was_not_tried_and_what_a_hold_means() -> None:
    held = replace(advice("mine", "hold", timedelta(hours=4)), critical=True)
    spared = Advice("model_down", "", 2.0, NOTHING, 0.5, critical=True, spared=True)
    stuck = Advice("data_drift", "", 2.0, NOTHING, 0.5)
    span = Window(START, START + timedelta(days=42))
    advised = Advised(6.0, 6.0, 4.0, (held, spared, stuck), (), (0,) * 6)
    assert Proposal("toy", 0.5, advised, span, None, "", only_false=False).warnings == (
        "model_down: it is critical: no hold duration was tried; --critical asks for one",
        "mine: it is critical, and would be told 4h after it began",
        "data_drift: nothing tried keeps it within the budget",
    )
