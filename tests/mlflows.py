"""An MLflow in memory that refuses what the real one refuses, for `MlflowRegistry`.

``tests/peers/test_mlflow.py`` holds the real one to the same suite.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from homeostat.domain.errors import StorageError


@dataclass
class FakeModel:
    aliases: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class FakeVersion:
    version: str
    source: str
    tags: Mapping[str, str]


@dataclass
class FakeMlflow:
    """Its models and versions; ``away`` makes every call fail."""

    store: Path
    models: dict[str, FakeModel] = field(default_factory=dict)
    kept: dict[str, list[FakeVersion]] = field(default_factory=dict)
    away: bool = False

    def _here(self) -> None:
        if self.away:
            raise StorageError("mlflow: INTERNAL_ERROR: API request failed")

    def model(self, name: str) -> FakeModel | None:
        self._here()
        return self.models.get(name)

    def create(self, name: str) -> None:
        self._here()
        assert name, "Registered model name cannot be empty"
        assert not set(name) & set("/:"), "Names cannot contain forward slashes or colons"
        self.models.setdefault(name, FakeModel())

    def versions(self, name: str) -> Sequence[FakeVersion]:
        self._here()
        return tuple(reversed(self.kept.get(name, [])))  # newest first, as MLflow's

    def add(self, name: str, folder: Path, tags: Mapping[str, str]) -> None:
        self._here()
        assert name in self.models
        kept = self.kept.setdefault(name, [])
        source = self.store / name / str(len(kept) + 1)
        shutil.copytree(folder, source)
        kept.append(FakeVersion(str(len(kept) + 1), str(source), dict(tags)))

    def download(self, source: str, folder: Path) -> Path:
        self._here()
        shutil.copytree(source, folder / Path(source).name)
        return folder / Path(source).name

    def tag(self, name: str, key: str, value: str) -> None:
        self._here()
        assert re.fullmatch(r"[/\w.\- ]{1,250}", key)
        assert len(value) <= 5000
        self.models[name].tags[key] = value

    def alias(self, name: str, alias: str, number: str) -> None:
        self._here()
        assert re.fullmatch(r"[\w\-]+", alias)
        if number:
            assert number in {version.version for version in self.kept.get(name, [])}
            self.models[name].aliases[alias] = number
        else:
            self.models[name].aliases.pop(alias, None)
