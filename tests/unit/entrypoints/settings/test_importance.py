"""How often the champion's importances are measured."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.detectors.importance.permutation import ImportanceConfig
from homeostat.engine.plan import ImportancePolicy
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

TEXT = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d}
    monitors: {importance: %s}
"""


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("{}", ImportancePolicy()),
        (
            "{every: 7d, rows: 500, columns: 20}",
            ImportancePolicy(timedelta(days=7), ImportanceConfig(rows=500, columns=20)),
        ),
        ("{enabled: false}", None),
    ],
    ids=["default", "chosen", "off"],
)
def test_the_policy(tmp_path: Path, text: str, policy: ImportancePolicy | None) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(TEXT % text)
    assert model_plan(load(path)).importance == policy
