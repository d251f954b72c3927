"""Whether windows are measured while their labels come, and from how many rows."""

from pathlib import Path

import pytest

from homeostat.engine.plan import EarlyPolicy
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.plan import model_plan

TEXT = """\
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d%s}
    monitors: {early: %s}
"""
AUDIT = ", audit: {column: audited, maturity: 1d}"


@pytest.mark.parametrize(
    ("audit", "text", "policy"),
    [
        ("", "{}", EarlyPolicy(3_000)),
        ("", "{rows: 900}", EarlyPolicy(900)),
        ("", "{enabled: false}", None),
        (AUDIT, "{}", None),
    ],
    ids=["default", "chosen", "off", "audited"],
)
def test_the_policy(tmp_path: Path, audit: str, text: str, policy: EarlyPolicy | None) -> None:
    path = tmp_path / "homeostat.yaml"
    path.write_text(TEXT % (audit, text))
    assert model_plan(load(path)).early == policy
