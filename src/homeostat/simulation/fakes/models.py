"""Registry, trainer and scorer in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.domain.alias import AliasChange, pointing
from homeostat.domain.answers import Answers, read_outputs
from homeostat.domain.effect import StartTraining
from homeostat.domain.errors import ArtifactError, ConflictError, DataError, NotFoundError
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.engine.ports import Training

ScoreFunction = Callable[[pa.Table], NDArray[np.float64]]


def _digest(artifact: Path) -> str:
    if artifact.is_file():
        return hashlib.sha256(artifact.read_bytes()).hexdigest()
    digest = hashlib.sha256()
    for file in sorted(path for path in artifact.rglob("*") if path.is_file()):
        name = file.relative_to(artifact).as_posix()
        digest.update(f"{_digest(file)}  {name}\n".encode())
    return digest.hexdigest()


@dataclass
class MemoryRegistry:
    """Implements `homeostat.engine.ports.Registry` over artifacts that stay where they are."""

    _cards: dict[str, dict[str, ModelVersion]] = field(default_factory=dict)
    _artifacts: dict[tuple[str, str], Path] = field(default_factory=dict)
    _moves: list[AliasChange] = field(default_factory=list)

    def register(self, version: ModelVersion, artifact: Path) -> ModelVersion:
        """Note an artifact; see `homeostat.adapters.registry` for the rules."""
        if not version.model:
            raise DataError("a model version needs the name of its model")
        if not artifact.exists():
            raise ArtifactError(f"the artifact {artifact} does not exist")
        digest = _digest(artifact)
        if version.sha256 not in {"", digest}:
            raise ArtifactError(f"the artifact {artifact} is not what its card says")
        cards = self._cards.setdefault(version.model, {})
        for card in cards.values():
            if version.run_id and card.run_id == version.run_id:
                return card
        name = version.version or str(1 + max((int(v) for v in cards if v.isdecimal()), default=0))
        card = cards.setdefault(name, replace(version, version=name, sha256=digest))
        if card.sha256 != digest:
            raise ConflictError(f"version {name} of {version.model} exists with another artifact")
        self._artifacts.setdefault((version.model, name), artifact)
        return card

    def get(self, model: str, version: str) -> ModelVersion:
        """Return a version's card; raises NotFoundError."""
        try:
            return self._cards[model][version]
        except KeyError:
            raise NotFoundError(f"model {model!r} has no version {version!r}") from None

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first."""
        return tuple(self._cards.get(model, {}).values())

    def path(self, model: str, version: str) -> Path:
        """Return the artifact's path after checking its hash; raises ArtifactError."""
        card, artifact = self.get(model, version), self._artifacts[model, version]
        if not artifact.exists() or _digest(artifact) != card.sha256:
            raise ArtifactError(f"the artifact of version {version} of {model} was changed")
        return artifact

    def size(self, model: str, version: str) -> int:
        """Return the artifact's bytes; raises NotFoundError, ArtifactError."""
        artifact = self.path(model, version)
        files = [artifact] if artifact.is_file() else artifact.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def aliases(self, model: str) -> dict[str, str]:
        """Return the version that each alias points at."""
        return pointing(self.moves(model))

    def point(self, change: AliasChange) -> None:
        """Move an alias; raises ConflictError, or NotFoundError for an unknown version."""
        if change.version:
            self.get(change.model, change.version)
        if self.aliases(change.model).get(change.alias, "") != change.before:
            raise ConflictError(f"the alias {change.alias} of {change.model} was moved meanwhile")
        self._moves.append(change)

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        """Return how the aliases moved, oldest first."""
        return tuple(change for change in self._moves if change.model == model)


@dataclass
class MemoryTrainer:
    """Implements `homeostat.engine.ports.Trainer` with a function that trains at once.

    Parameters
    ----------
    train : callable
        Called as ``train(request, spec, rows)``; its result is what `poll` returns.
    polls : int
        Polls that find a run unfinished before the one that finds its result.
    """

    train: Callable[[StartTraining, ModelSpec, pa.Table], Training]
    polls: int = 0
    runs: dict[tuple[str, str], Training] = field(default_factory=dict)
    _left: dict[tuple[str, str], int] = field(default_factory=dict)

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Run the function; a repeated call for a known run does nothing."""
        key = (request.model, request.run_id)
        if key not in self.runs:
            self.runs[key] = self.train(request, spec, rows)
            self._left[key] = self.polls

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state; an unknown run is reported as failed."""
        key = (model, run_id)
        if key not in self.runs:
            return Training(done=True, problem=f"there is no run {run_id}")
        if self._left[key] > 0:
            self._left[key] -= 1
            return Training(done=False)
        return self.runs[key]

    def cancel(self, model: str, run_id: str) -> None:
        """Stop the run: it is reported as failed from now on, unless it had ended."""
        key = (model, run_id)
        if self._left.get(key, 0) > 0:
            self.runs[key] = Training(done=True, problem="cancelled")
            self._left[key] = 0


@dataclass
class MemoryScorer:
    """Implements `homeostat.engine.ports.Scorer` with one function for each version."""

    functions: dict[tuple[str, str], ScoreFunction] = field(default_factory=dict)

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Return one score a row; raises NotFoundError for an unknown version."""
        return self.answer(spec, version, rows).scores

    def answer(self, spec: ModelSpec, version: str, rows: pa.Table) -> Answers:
        """Return scores and probabilities; raises NotFoundError for an unknown version."""
        try:
            function = self.functions[spec.name, version]
        except KeyError:
            raise NotFoundError(f"model {spec.name!r} has no version {version!r}") from None
        found = function(rows)
        return Answers(found) if found.ndim == 1 else read_outputs(spec, found, rows.num_rows)
