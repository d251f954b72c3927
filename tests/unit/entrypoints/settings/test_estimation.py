"""From how many labelled rows performance without labels is estimated."""

from pathlib import Path

import pytest

from homeostat.engine.plan import EstimationPolicy
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

TEXT = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d}
    monitors: {estimation: %s}
"""


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("{}", EstimationPolicy(5_000)),
        ("{rows: 900}", EstimationPolicy(900)),
        ("{enabled: false}", None),
    ],
    ids=["default", "chosen", "off"],
)
def test_the_policy(tmp_path: Path, text: str, policy: EstimationPolicy | None) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(TEXT % text)
    assert model_plan(load(path)).estimation == policy
