"""Floors that can never do what their owner wants are told of when the file is read."""

from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.settings import load

CONFIG = """\
models:
  - name: m
    task: {task}
    features: {{a: numeric}}
    labels: {{maturity: 1d}}
    retraining: {{trainer: 'train.py:train', {floors}}}
"""


@pytest.mark.parametrize(
    ("task", "floors", "field", "words"),
    [
        ("binary", "floor: {accuracyy: 0.8}", "floor.accuracyy", "no such metric of a binary"),
        ("binary", "floor: {brier: 0.2}", "floor.brier", "a lower value is a better one"),
        ("regression", "floor: {rmse: 3}", "floor.rmse", "a lower value is a better one"),
        ("binary", "floor: {auc: 2}", "floor.auc", "every value lies below 2"),
        ("binary", "floor: {auc: 0}", "floor.auc", "no value lies below 0"),
        ("binary", "estimated_floor: {bias: 0.1}", "estimated_floor.bias", "no such metric"),
    ],
)  # fmt: skip
def test_it_is_refused(tmp_path: Path, task: str, floors: str, field: str, words: str) -> None:
    (tmp_path / "homeostat.yaml").write_text(CONFIG.format(task=task, floors=floors))
    with pytest.raises(ConfigError, match=words) as found:
        load(tmp_path / "homeostat.yaml")
    assert found.value.field == f"models.0.retraining.{field}"


@pytest.mark.parametrize(
    ("task", "floors"),
    [
        ("binary", "floor: {auc: 0.8}, estimated_floor: {auc: 0.7}"),
        ("regression", "floor: {r2: 0}"),
    ],
)
def test_a_floor_of_what_rises_with_quality_is_taken(
    tmp_path: Path, task: str, floors: str
) -> None:
    (tmp_path / "homeostat.yaml").write_text(CONFIG.format(task=task, floors=floors))
    assert load(tmp_path / "homeostat.yaml").models[0].retraining is not None
