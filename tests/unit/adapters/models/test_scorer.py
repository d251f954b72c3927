"""Scoring outside the serving path."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import (
    Predictor,
    RegistryScorer,
    Term,
    load_predictor,
    save_linear,
    save_softmax,
)
from homeostat.domain.alias import AliasChange
from homeostat.domain.errors import ArtifactError, BreakerOpenError, NotFoundError
from homeostat.domain.model import (
    Column,
    ColumnKind,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)

SPEC = ModelSpec(
    "fraud",
    Task.BINARY,
    Schema((Column("amount", ColumnKind.NUMERIC),)),
    LabelSpec(timedelta(days=1)),
)
ROWS = pa.table({"amount": [0.0, 1.0]})


class FolderRegistry:
    """A registry whose versions are folders of linear models."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for number, weight in enumerate((1.0, -1.0, 2.0)):
            save_linear(root / f"v{number}", 0.0, [Term("amount", weight)])

    def register(self, version: ModelVersion, artifact: Path) -> ModelVersion:
        raise AssertionError("a scorer registers nothing")

    def get(self, model: str, version: str) -> ModelVersion:
        if not (self.root / version).exists():
            raise NotFoundError(f"{model} has no version {version}")
        return ModelVersion(model, version, "linear", "", datetime(2024, 1, 1, tzinfo=UTC))

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        return tuple(self.get(model, path.name) for path in sorted(self.root.iterdir()))

    def path(self, model: str, version: str) -> Path:
        return self.root / version

    def aliases(self, model: str) -> dict[str, str]:
        raise AssertionError("a scorer follows no alias")

    def point(self, change: AliasChange) -> None:
        raise AssertionError("a scorer moves no alias")

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        raise AssertionError("a scorer follows no alias")


def test_versions_are_loaded_once_while_they_are_in_use(tmp_path: Path) -> None:
    loads: list[str] = []

    def load(path: Path, flavour: str) -> Predictor:
        loads.append(path.name)
        return load_predictor(path, flavour)

    scorer = RegistryScorer(FolderRegistry(tmp_path), load, keep=2)
    for version in ("v0", "v1", "v0", "v2", "v0", "v1"):
        scorer.score(SPEC, version, ROWS)
    assert loads == ["v0", "v1", "v2", "v1"]
    assert scorer.score(SPEC, "v0", ROWS)[1] == pytest.approx(1 / (1 + np.exp(-1)))


def test_several_classes_give_an_index_and_probabilities(tmp_path: Path) -> None:
    save_softmax(tmp_path / "v0", [(0.0, [Term("amount", w)]) for w in (0.0, 1.0, 2.0)])
    scorer = RegistryScorer(FolderRegistry(tmp_path / "of"))
    (tmp_path / "of" / "v0").rename(tmp_path / "old")
    (tmp_path / "v0").rename(tmp_path / "of" / "v0")
    three = replace(SPEC, task=Task.MULTICLASS, classes=("a", "b", "c"))
    rows = pa.table({"amount": [-5.0, 5.0]})
    found = scorer.answer(three, "v0", rows)
    assert found.scores.tolist() == scorer.score(three, "v0", rows).tolist() == [0.0, 2.0]
    assert found.probabilities is not None
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1.0)
    with pytest.raises(ArtifactError, match=r"v0: 2 rows gave scores of shape \(2, 3\)"):
        scorer.score(SPEC, "v0", rows)


def test_unknown_version(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="v9"):
        RegistryScorer(FolderRegistry(tmp_path)).score(SPEC, "v9", ROWS)


def test_a_model_must_give_one_number_a_row(tmp_path: Path) -> None:
    class Short:
        features = ("amount",)

        def predict(self, table: pa.Table) -> np.ndarray:
            return np.zeros(1)

    scorer = RegistryScorer(FolderRegistry(tmp_path), lambda *_: Short())
    with pytest.raises(ArtifactError, match=r"2 rows gave scores of shape \(1,\)"):
        scorer.score(SPEC, "v0", ROWS)


@pytest.mark.parametrize("raised", [ValueError("Input X contains NaN."), RuntimeError("x" * 999)])
def test_whatever_a_model_raises_is_its_own_fault(tmp_path: Path, raised: Exception) -> None:
    class Broken:
        features = ("amount",)

        def predict(self, table: pa.Table) -> object:
            raise raised

    scorer = RegistryScorer(FolderRegistry(tmp_path), lambda *_: Broken())  # type: ignore[arg-type]
    with pytest.raises(ArtifactError, match=f"fraud v1 raised {type(raised).__name__}") as found:
        scorer.score(SPEC, "v1", ROWS)
    assert len(str(found.value)) < 400


def test_a_server_that_is_away_says_nothing_of_its_model(tmp_path: Path) -> None:
    class Away:
        features = ("amount",)

        def predict(self, table: pa.Table) -> object:
            raise BreakerOpenError("fraud/v1", 1.0)

    scorer = RegistryScorer(FolderRegistry(tmp_path), lambda *_: Away())  # type: ignore[arg-type]
    with pytest.raises(BreakerOpenError):
        scorer.score(SPEC, "v1", ROWS)
