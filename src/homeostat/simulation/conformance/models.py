"""What every `Registry` and `Trainer` must do."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from homeostat.domain.alias import CHALLENGER, CHAMPION, PREVIOUS, AliasChange
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import ArtifactError, ConflictError, DataError, NotFoundError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.window import Window
from homeostat.engine.ports import Registry, Trainer
from homeostat.engine.ports_training import Sourced
from homeostat.simulation.conformance.raising import must_raise

T0 = datetime(2024, 1, 1, tzinfo=UTC)


def card(version: str = "", run_id: str = "", hours: int = 0) -> ModelVersion:
    """Return the card of a version of the model ``fraud``."""
    return ModelVersion(
        "fraud", version, "linear", "", T0 + timedelta(hours=hours), run_id=run_id,
        metrics=(("auc", 0.9),),
    )  # fmt: skip


def artifact(folder: Path, name: str, content: str) -> Path:
    """Write a file and return its path."""
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return path


def check_register(registry: Registry, folder: Path) -> None:
    """What was registered is found, with its hash, unchanged, oldest first."""
    first = registry.register(card(), artifact(folder, "a", "one"))
    assert first.version
    assert first.sha256 == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    second = registry.register(card(hours=1), artifact(folder, "b", "two"))
    assert registry.versions("fraud") == (first, second)
    assert registry.get("fraud", second.version) == second
    assert registry.path("fraud", first.version).read_text(encoding="utf-8") == "one"
    assert registry.versions("other") == ()
    with must_raise(NotFoundError):
        registry.get("fraud", "none")
    with must_raise(NotFoundError):
        registry.path("other", first.version)


def check_run_registers_once(registry: Registry, folder: Path) -> None:
    """A second call with the same run returns the first version, whatever it brings."""
    first = registry.register(card(run_id="run"), artifact(folder, "a", "one"))
    again = registry.register(card(run_id="run", hours=2), artifact(folder, "b", "two"))
    assert again == first
    assert registry.versions("fraud") == (first,)


def check_versions_are_immutable(registry: Registry, folder: Path) -> None:
    """The same name with the same bytes is the same version; with others it is refused."""
    one = artifact(folder, "a", "one")
    first = registry.register(card("7"), one)
    assert registry.register(card("7"), one) == first
    with must_raise(ConflictError):
        registry.register(card("7"), artifact(folder, "b", "two"))
    assert registry.register(card(), artifact(folder, "c", "three")).version == "8"


def check_hash_is_verified(registry: Registry, folder: Path) -> None:
    """Bytes that are not those of the card are neither taken nor handed out."""
    path = artifact(folder, "a", "one")
    with must_raise(ArtifactError):
        registry.register(replace(card(), sha256="0" * 64), path)
    with must_raise(ArtifactError):
        registry.register(card(), folder / "absent")
    with must_raise(DataError):
        registry.register(replace(card(), model=""), path)
    assert registry.versions("fraud") == ()
    kept = registry.register(card(), path)
    registry.path("fraud", kept.version).write_text("evil", encoding="utf-8")
    with must_raise(ArtifactError):
        registry.path("fraud", kept.version)


def check_folders_are_artifacts(registry: Registry, folder: Path) -> None:
    """A folder is stored whole; a renamed file in it is another artifact.

    Its hash is that of its list of files, as ``sha256sum`` writes it: who made it can say it.
    """
    for name, inner in (("m1", "x"), ("m2", "y")):
        (folder / name / "deep").mkdir(parents=True)
        artifact(folder / name / "deep", inner, "weights")
    first = registry.register(card(), folder / "m1")
    second = registry.register(card(hours=1), folder / "m2")
    assert first.sha256 != second.sha256
    weights = hashlib.sha256(b"weights").hexdigest()
    assert first.sha256 == hashlib.sha256(f"{weights}  deep/x\n".encode()).hexdigest()
    stored = registry.path("fraud", first.version)
    assert (stored / "deep" / "x").read_text(encoding="utf-8") == "weights"


def check_aliases(registry: Registry, folder: Path) -> None:
    """An alias moves only from where it was thought to be, and every move is on record."""
    for number, name in enumerate(("one", "two")):
        registry.register(card(hours=number), artifact(folder, name, name))
    first, second = (kept.version for kept in registry.versions("fraud"))
    assert registry.aliases("fraud") == {}
    assert registry.moves("fraud") == ()
    one = AliasChange("fraud", CHAMPION, first, "", T0, "homeostat", "adopted")
    two = AliasChange("fraud", CHAMPION, second, first, T0 + timedelta(hours=1), "ana", "\n|'\"ü")
    back = AliasChange("fraud", PREVIOUS, first, "", T0 + timedelta(hours=2))
    registry.point(one)
    registry.point(two)
    registry.point(back)
    assert registry.aliases("fraud") == {CHAMPION: second, PREVIOUS: first}
    with must_raise(ConflictError):
        registry.point(two)
    with must_raise(ConflictError):
        registry.point(replace(one, at=T0 + timedelta(hours=3)))
    with must_raise(NotFoundError):
        registry.point(AliasChange("fraud", CHALLENGER, "none", "", T0 + timedelta(hours=3)))
    gone = AliasChange("fraud", PREVIOUS, "", first, T0 + timedelta(hours=4))
    registry.point(gone)
    assert registry.aliases("fraud") == {CHAMPION: second}
    assert registry.moves("fraud") == (one, two, back, gone)
    assert registry.aliases("other") == {}
    assert registry.moves("other") == ()


RegistryCheck = Callable[[Registry, Path], None]
"""Takes an empty registry and an empty folder for artifacts."""

REGISTRY_CHECKS: tuple[RegistryCheck, ...] = (
    check_register,
    check_run_registers_once,
    check_versions_are_immutable,
    check_hash_is_verified,
    check_folders_are_artifacts,
    check_aliases,
)


def _request(run_id: str) -> StartTraining:
    window = Window(T0, T0 + timedelta(days=1))
    return StartTraining(run_id, "fraud", "1", window, window.end)


def _await(trainer: Trainer, run_id: str) -> str:
    for _ in range(10_000):
        found = trainer.poll("fraud", run_id)
        if found.done:
            assert bool(found.problem) != (found.artifact is not None), "one of both"
            return found.problem
    raise AssertionError(f"run {run_id} did not end")


def check_training_ends_once(trainer: Trainer, spec: ModelSpec, rows: pa.Table) -> None:
    """A run ends with an artifact; starting it again changes nothing."""
    trainer.start(_request("one"), spec, rows)
    assert _await(trainer, "one") == ""
    first = trainer.poll("fraud", "one")
    trainer.start(_request("one"), spec, rows)
    assert trainer.poll("fraud", "one") == first
    trainer.cancel("fraud", "one")
    assert trainer.poll("fraud", "one") == first, "an ended run cannot be cancelled"


def check_unknown_run_has_failed(trainer: Trainer, spec: ModelSpec, rows: pa.Table) -> None:
    """An unknown run is reported as failed; cancelling it is no error."""
    assert len(rows)
    assert spec.name == "fraud"
    trainer.cancel("fraud", "none")
    assert _await(trainer, "none")


def check_runs_are_told_apart(trainer: Trainer, spec: ModelSpec, rows: pa.Table) -> None:
    """Each run has an artifact of its own, and the end of one does not touch another's."""
    found = []
    for run_id in ("one", "two"):
        trainer.start(_request(run_id), spec, rows)
        assert _await(trainer, run_id) == ""
        found.append(trainer.poll("fraud", run_id))
    assert found[0].artifact != found[1].artifact
    trainer.cancel("fraud", "two")
    assert trainer.poll("fraud", "one") == found[0]


def check_what_a_trainer_says(trainer: Trainer, spec: ModelSpec, rows: pa.Table) -> None:
    """Progress is a part of the whole and only of a run under way; metrics are finite numbers."""
    trainer.start(_request("one"), spec, rows)
    for _ in range(10_000):
        found = trainer.poll("fraud", "one")
        assert found.progress is None or 0.0 <= found.progress <= 1.0
        if found.done:
            break
    assert found.done
    assert found.progress is None
    assert all(math.isfinite(value) for _, value in found.metrics)
    assert found.metrics == tuple(sorted(found.metrics))
    assert not isinstance(trainer, Sourced) or trainer.source()


def check_cancel_before_the_end(trainer: Trainer, spec: ModelSpec, rows: pa.Table) -> None:
    """A run that is cancelled ends, with one outcome that stays."""
    trainer.start(_request("one"), spec, rows)
    trainer.cancel("fraud", "one")
    _await(trainer, "one")
    first = trainer.poll("fraud", "one")
    trainer.start(_request("one"), spec, rows)
    assert trainer.poll("fraud", "one") == first, "a run that has ended does not begin again"


TrainerCheck = Callable[[Trainer, ModelSpec, pa.Table], None]
"""Takes a trainer that succeeds on the rows, the model ``fraud`` and labelled rows."""

TRAINER_CHECKS: tuple[TrainerCheck, ...] = (
    check_training_ends_once,
    check_unknown_run_has_failed,
    check_runs_are_told_apart,
    check_what_a_trainer_says,
    check_cancel_before_the_end,
)
