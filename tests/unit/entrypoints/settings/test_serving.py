"""How models are served, and what their artifacts may do."""

from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.settings import load

TEXT = """\
gateway:
  upstream_hosts: [models:8080, other]
  breaker: {faults: 3}
models:
  - name: fraud
    task: binary
    features: {amount: numeric}
    labels: {maturity: 60d}
    serving:
      batch: 64
      trusted_types: [sklearn.tree._tree.Tree]
      allow_pickle: [HASH]
"""
HASH = "0123456789abcdef" * 4


def write(folder: Path, text: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_artifacts_may_do_what_the_configuration_allows(tmp_path: Path) -> None:
    settings = load(write(tmp_path, TEXT.replace("HASH", HASH)))
    made = loader(settings, {"A": "secret"})
    assert made.hosts == {"models:8080", "other"}
    assert made.trusted_types == {"sklearn.tree._tree.Tree"}
    assert made.allow_pickle == {HASH}
    assert made.breaker.faults == 3
    assert "secret" not in repr(made)
    deployment = open_deployment(settings, SystemClock(), durable=False)
    assert deployment.route_table().models["fraud"].batch == 64
    deployment.close()


def test_by_default_nothing_is_allowed(tmp_path: Path) -> None:
    text = TEXT.partition("    serving:")[0].partition("models:\n")[2]
    made = loader(load(write(tmp_path, f"models:\n{text}")), {})
    assert not made.hosts | made.trusted_types | made.allow_pickle


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("HASH", "abc", "is no SHA-256"),
        ("HASH", HASH.upper(), "is no SHA-256"),
        ("other", "http://other/x", "is no host"),
        ("other", "Other", "is no host"),
        ("batch: 64", "batch: 0", "batch"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, before: str, after: str, told: str) -> None:
    path = write(tmp_path, TEXT.replace(before, after).replace("HASH", HASH))
    with pytest.raises(ConfigError, match=told):
        load(path)
