"""How many rows are looked at when something has changed."""

from pathlib import Path

import pytest

from homeostat.engine.plan import ExplanationPolicy
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

TEXT = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d}
    diagnosis: %s
"""


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("{}", ExplanationPolicy(2_000)),
        ("{rows: 900}", ExplanationPolicy(900)),
        ("{enabled: false}", None),
    ],
    ids=["default", "chosen", "off"],
)
def test_the_policy(tmp_path: Path, text: str, policy: ExplanationPolicy | None) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(TEXT % text)
    assert model_plan(load(path)).diagnosis == policy
