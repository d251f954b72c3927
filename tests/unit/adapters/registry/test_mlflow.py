"""What MLflow makes harder than a folder: it goes away, and others write to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from homeostat.adapters.registry.mlflow import MlflowRegistry, connect
from homeostat.domain.alias import AliasChange
from homeostat.domain.errors import (
    ArtifactError,
    ConfigError,
    ConflictError,
    NotFoundError,
    StorageError,
)
from homeostat.domain.model import ModelVersion
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW
from mlflows import FakeMlflow

NAME = "fraud eu/v2"


@pytest.fixture
def mlflow(tmp_path: Path) -> FakeMlflow:
    return FakeMlflow(tmp_path / "store")


def opened(mlflow: FakeMlflow, cache: Path) -> MlflowRegistry:
    return MlflowRegistry(mlflow, cache, SimulatedClock(NOW))


def registered(registry: MlflowRegistry, folder: Path, content: str = "one") -> ModelVersion:
    artifact = folder / "artifact"
    artifact.write_text(content)
    return registry.register(ModelVersion(NAME, "", "linear", "", NOW), artifact)


def test_what_was_fetched_is_at_hand_while_mlflow_is_away(
    mlflow: FakeMlflow, tmp_path: Path
) -> None:
    card = registered(opened(mlflow, tmp_path / "one"), tmp_path)
    here = opened(mlflow, tmp_path / "two")
    assert here.path(NAME, card.version).read_text() == "one"
    mlflow.away = True
    again = opened(mlflow, tmp_path / "two")
    assert again.get(NAME, card.version) == card
    assert again.path(NAME, card.version).read_text() == "one"
    elsewhere = opened(mlflow, tmp_path / "three")
    for ask in (
        lambda: elsewhere.path(NAME, card.version),
        lambda: elsewhere.get(NAME, card.version),
        lambda: again.versions(NAME),
        lambda: again.aliases(NAME),
        lambda: again.moves(NAME),
        lambda: again.point(AliasChange(NAME, "champion", "1", "", NOW)),
        lambda: registered(again, tmp_path),
    ):
        with pytest.raises(StorageError, match="mlflow"):
            ask()
    mlflow.away = False
    assert elsewhere.path(NAME, card.version).read_text() == "one"


def test_a_registration_cut_short_leaves_no_version(mlflow: FakeMlflow, tmp_path: Path) -> None:
    registry = opened(mlflow, tmp_path / "cache")
    mlflow.away = True
    with pytest.raises(StorageError):
        registered(registry, tmp_path)
    mlflow.away = False
    assert registry.versions(NAME) == ()
    assert registered(registry, tmp_path).version == "1"
    assert [path.name for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []


def test_bytes_changed_at_mlflow_are_never_handed_out(mlflow: FakeMlflow, tmp_path: Path) -> None:
    card = registered(opened(mlflow, tmp_path / "one"), tmp_path)
    (version,) = mlflow.versions("fraud%20eu%2Fv2")
    (Path(version.source) / "artifact").write_text("evil")
    here = opened(mlflow, tmp_path / "two")
    with pytest.raises(ArtifactError, match="never load it"):
        here.path(NAME, card.version)
    shutil.rmtree(version.source)
    Path(version.source).mkdir()
    with pytest.raises(ArtifactError, match="is not one artifact"):
        here.path(NAME, card.version)


def test_a_copy_changed_here_is_fetched_again(mlflow: FakeMlflow, tmp_path: Path) -> None:
    registry = opened(mlflow, tmp_path / "cache")
    card = registered(registry, tmp_path)
    registry.path(NAME, card.version).write_text("evil")
    with pytest.raises(ArtifactError, match="fetched again"):
        registry.path(NAME, card.version)
    assert registry.path(NAME, card.version).read_text() == "one"


def test_versions_of_others_are_left_alone(mlflow: FakeMlflow, tmp_path: Path) -> None:
    registry = opened(mlflow, tmp_path / "cache")
    name = "fraud%20eu%2Fv2"
    mlflow.create(name)
    mlflow.add(name, _folder(tmp_path / "theirs"), {})
    mlflow.alias(name, "champion", "1")
    assert registry.versions(NAME) == ()
    card = registered(registry, tmp_path)
    assert card.version == "1", "our names are our own: MLflow calls it 2"
    assert registry.aliases(NAME) == {"champion": "mlflow-1"}
    registry.point(AliasChange(NAME, "champion", "1", "mlflow-1", NOW))
    assert mlflow.models[name].aliases == {"champion": "2"}
    with pytest.raises(ConflictError, match="points at 1, not at none"):
        registry.point(AliasChange(NAME, "champion", "1", "", NOW))


def test_of_two_that_raced_the_first_counts(mlflow: FakeMlflow, tmp_path: Path) -> None:
    """Another machine registers the same version between our look and our upload."""
    other = opened(mlflow, tmp_path / "other")

    class Raced(FakeMlflow):
        def create(self, name: str) -> None:
            mlflow.create(name)
            registered(other, tmp_path, "theirs")

    raced = Raced(mlflow.store, mlflow.models, mlflow.kept)
    (tmp_path / "ours").write_text("ours")
    ours = opened(raced, tmp_path / "cache")
    with pytest.raises(ConflictError):
        ours.register(ModelVersion(NAME, "", "linear", "", NOW), tmp_path / "ours")
    assert other.path(NAME, "1").read_text() == "theirs"
    assert ours.versions(NAME) == other.versions(NAME)


def test_moves_of_one_moment_are_all_kept(mlflow: FakeMlflow, tmp_path: Path) -> None:
    registry = opened(mlflow, tmp_path / "cache")
    registered(registry, tmp_path)
    for _ in range(12):
        registry.point(AliasChange(NAME, "champion", "1", "", NOW))
        registry.point(AliasChange(NAME, "champion", "", "1", NOW))
    assert [move.version for move in registry.moves(NAME)] == ["1", ""] * 12


def test_a_disk_that_takes_nothing(mlflow: FakeMlflow, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(StorageError, match="cannot keep versions"):
        registered(opened(mlflow, tmp_path / "cache"), tmp_path)


def test_unknown_versions(mlflow: FakeMlflow, tmp_path: Path) -> None:
    registry = opened(mlflow, tmp_path / "cache")
    with pytest.raises(NotFoundError):
        registry.point(AliasChange(NAME, "champion", "9", "", NOW))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"pip install homeostat\[mlflow\]"):
        connect("http://localhost:5000")


def _folder(path: Path) -> Path:
    path.mkdir()
    (path / "m").write_text("theirs")
    return path
