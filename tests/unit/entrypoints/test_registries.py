"""Which registry a deployment has."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.registry.local import LocalRegistry
from homeostat.domain.errors import ConfigError
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.settings import load

MODELS = """\
models:
  - {name: fraud, task: binary, classes: [no, yes], features: {a: numeric}, labels: {maturity: 1d}}
"""


def config(folder: Path, text: str = "") -> Path:
    file = folder / "homeostat.yaml"
    file.write_text(text + MODELS)
    return file


def test_the_data_folder_by_default(tmp_path: Path) -> None:
    settings = load(config(tmp_path))
    found = open_registry(settings, SystemClock())
    assert isinstance(found, LocalRegistry)
    assert found.root == settings.models_folder


def test_mlflow_needs_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    settings = load(config(tmp_path, "registry: {mlflow: http://mlflow:5000}\n"))
    with pytest.raises(ConfigError, match=r"homeostat\[mlflow\]"):
        open_registry(settings, SystemClock())


@pytest.mark.parametrize("url", ["mlflow", "http://user:secret@mlflow"])
def test_addresses_that_are_none(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError, match=r"registry\.mlflow") as raised:
        load(config(tmp_path, f"registry: {{mlflow: '{url}'}}\n"))
    assert "secret" not in str(raised.value)
