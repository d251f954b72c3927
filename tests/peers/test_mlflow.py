"""The registry's suite against the real MLflow, in an environment that has it.

HOMEOSTAT_MLFLOW is the address of a server that can be thrown away: all its models are deleted.
Without it MLflow keeps files in a folder.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from homeostat.adapters.registry.mlflow import MlflowRegistry, connect
from homeostat.domain.errors import StorageError
from homeostat.engine.ports import Registry
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import REGISTRY_CHECKS
from homeostat.simulation.conformance.log import NOW

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]


@pytest.mark.parametrize("check", REGISTRY_CHECKS, ids=lambda check: check.__name__)
def test_conforms(
    check: Callable[[Registry, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    uri = os.environ.get("HOMEOSTAT_MLFLOW") or (tmp_path / "mlruns").as_uri()
    mlflow = connect(uri)
    if "HOMEOSTAT_MLFLOW" in os.environ:
        from mlflow.tracking import MlflowClient

        client = MlflowClient(uri, uri)
        for model in client.search_registered_models():
            client.delete_registered_model(model.name)
    (tmp_path / "artifacts").mkdir()
    check(MlflowRegistry(mlflow, tmp_path / "cache", SimulatedClock(NOW)), tmp_path / "artifacts")


def test_a_server_that_is_away(tmp_path: Path) -> None:
    registry = MlflowRegistry(connect("http://127.0.0.1:1"), tmp_path, SimulatedClock(NOW))
    with pytest.raises(StorageError, match="mlflow"):
        registry.versions("fraud")
