"""The suites of the storage ports, on the fakes and on the real adapters."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.stores import object_store
from homeostat.adapters.records import DatabaseRecords
from homeostat.adapters.registry import LocalRegistry
from homeostat.adapters.registry.mlflow import MlflowRegistry
from homeostat.domain.effect import StartTraining
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import (
    Notifier,
    PredictionLog,
    Records,
    Registry,
    Routes,
    Trainer,
    Training,
)
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance import (
    LOG_CHECKS,
    NOTIFIER_CHECKS,
    RECORDS_CHECKS,
    REGISTRY_CHECKS,
    ROUTES_CHECKS,
    TRAINER_CHECKS,
)
from homeostat.simulation.conformance.log import NOW, SPEC, predictions
from homeostat.simulation.fakes import (
    MemoryLog,
    MemoryNotifier,
    MemoryRecords,
    MemoryRegistry,
    MemoryRoutes,
    MemoryTrainer,
)
from mlflows import FakeMlflow


def named(checks: Sequence[Callable[..., None]]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("check", checks, ids=lambda check: check.__name__)


@contextmanager
def database(request: pytest.FixtureRequest, folder: Path) -> Iterator[DatabaseRecords]:
    """Open records in the database that the fixture's parameter names."""
    url = f"sqlite:///{folder}/records.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("postgres_url")
    records = DatabaseRecords(url, SimulatedClock(NOW))
    yield records
    records.close()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def records(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Records]:
    if request.param == "memory":
        yield MemoryRecords(SimulatedClock(NOW))
        return
    with database(request, tmp_path) as real:
        yield real


@pytest.fixture(params=["memory", "sqlite", "postgresql", "objects"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PredictionLog]:
    if request.param == "memory":
        yield MemoryLog(SimulatedClock(NOW))
        return
    with database(request, tmp_path) as real:
        place = None
        if request.param == "objects":
            place = object_store(request.getfixturevalue("s3").storage(), {})
        files = FilePredictionLog(tmp_path / "log", real, place=place)
        yield files
        files.close()


@pytest.fixture(params=["memory", "local", "mlflow"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    if request.param == "memory":
        return MemoryRegistry()
    if request.param == "mlflow":
        mlflow = FakeMlflow(tmp_path / "store")
        return MlflowRegistry(mlflow, tmp_path / "cache", SimulatedClock(NOW))
    return LocalRegistry(tmp_path / "registry", SimulatedClock(NOW))


@named(RECORDS_CHECKS)
def test_records(check: Callable[[Records], None], records: Records) -> None:
    check(records)


@named(LOG_CHECKS)
def test_log(check: Callable[[PredictionLog], None], log: PredictionLog) -> None:
    check(log)


@named(REGISTRY_CHECKS)
def test_registry(
    check: Callable[[Registry, Path], None], registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "artifacts"
    folder.mkdir()
    check(registry, folder)


@named(ROUTES_CHECKS)
def test_router_in_memory(check: Callable[[Routes], None]) -> None:
    check(MemoryRoutes())


@named(NOTIFIER_CHECKS)
def test_notifier_in_memory(check: Callable[[Notifier, object], None]) -> None:
    notifier = MemoryNotifier()
    check(notifier, lambda: [(n.incident, n.action) for n in notifier.delivered.values()])


@named(TRAINER_CHECKS)
def test_trainer_in_memory(
    check: Callable[[Trainer, ModelSpec, pa.Table], None], tmp_path: Path
) -> None:
    def train(request: StartTraining, spec: ModelSpec, rows: pa.Table) -> Training:
        return Training(done=True, artifact=tmp_path / request.run_id)

    spec = ModelSpec("fraud", SPEC.task, SPEC.schema, SPEC.labels)
    rows = predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2)))
    check(MemoryTrainer(train, polls=2), spec, rows)
