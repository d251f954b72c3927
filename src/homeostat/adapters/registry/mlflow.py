"""Model artifacts in MLflow's registry (extra ``mlflow``), verified by our own SHA-256."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from homeostat.adapters.digest import sha256
from homeostat.adapters.durable import exclusive, folder_name, make_folder, publish
from homeostat.adapters.records.codec import decode, encode
from homeostat.adapters.registry.local import vouched
from homeostat.domain.alias import AliasChange
from homeostat.domain.clock import Clock
from homeostat.domain.errors import (
    ArtifactError,
    ConfigError,
    ConflictError,
    NotFoundError,
    StorageError,
)
from homeostat.domain.model import ModelVersion

CARD_TAG, MOVE_TAG = "homeostat.card", "homeostat.move."
FOREIGN = "mlflow-"
"""Before the number of a version that others registered, which has no card."""
FOLDER = "model"
CARD = "card.json"


class Found(Protocol):
    """What MLflow says of a registered model."""

    @property
    def aliases(self) -> Mapping[str, str]:
        """Version number by alias."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags by key."""
        ...


class FoundVersion(Protocol):
    """What MLflow says of a version."""

    @property
    def version(self) -> str | int:
        """Its number."""
        ...

    @property
    def source(self) -> str:
        """Where its artifact is."""
        ...

    @property
    def tags(self) -> Mapping[str, str]:
        """Tags by key."""
        ...


class Mlflow(Protocol):
    """The calls that the registry needs; `connect` makes them from an ``MlflowClient``."""

    def model(self, name: str) -> Found | None:
        """Return a registered model, None if there is none."""
        ...

    def create(self, name: str) -> None:
        """Register a model, if it is not there."""
        ...

    def versions(self, name: str) -> Sequence[FoundVersion]:
        """Return a model's versions, in any order."""
        ...

    def add(self, name: str, folder: Path, tags: Mapping[str, str]) -> None:
        """Upload a folder's content and register it as a new version with these tags."""
        ...

    def download(self, source: str, folder: Path) -> Path:
        """Fetch an artifact into a folder and return its path."""
        ...

    def tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""
        ...

    def alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias at a version; an empty number removes it."""
        ...


@dataclass
class MlflowRegistry:
    """Implements `homeostat.engine.ports.Registry` over MLflow's.

    A version's card is its tag ``homeostat.card``; its name is that of the card, not the number
    that MLflow gives. What was fetched once is kept in `cache`, so that it is at hand while MLflow
    is away; it is verified at each use.

    MLflow knows no compare-and-set: an alias that another process moves between our look and our
    move is overwritten, and mended by whoever looks next. Processes that share `cache` exclude each
    other. Each move is a tag ``homeostat.move.NUMBER.DIGEST`` of the model, written before it.

    Parameters
    ----------
    mlflow : Mlflow
    cache : Path
        A folder on this machine.
    clock : Clock
    """

    mlflow: Mlflow
    cache: Path
    clock: Clock
    _cards: dict[tuple[str, str], ModelVersion] = field(default_factory=dict, init=False)

    def register(self, version: ModelVersion, artifact: Path) -> ModelVersion:
        """Upload an artifact file or folder and return its card; see `LocalRegistry.register`.

        Raises
        ------
        DataError
            If the card names no model.
        ArtifactError
            If the artifact does not exist, or is not what the card's ``sha256`` says.
        ConflictError
            If the version exists with other content.
        StorageError
            If MLflow is away, or the disk fails.
        """
        digest = vouched(version, artifact)
        with self._alone(version.model):
            known = self.versions(version.model)
            kept = _known(known, version, digest)
            if kept is not None:
                return kept
            numbers = (int(card.version) for card in known if card.version.isdecimal())
            name = version.version or str(max(numbers, default=0) + 1)
            card = replace(version, version=name, sha256=digest, created=self.clock.now())
            self.mlflow.create(folder_name(card.model))
            with tempfile.TemporaryDirectory(dir=self.cache) as temporary:
                _copy(artifact, Path(temporary) / artifact.name)
                tags = {CARD_TAG: encode(card)}
                self.mlflow.add(folder_name(card.model), Path(temporary), tags)
        # Another machine may have registered the same at the same time: the first one counts.
        return _known(self.versions(card.model), card, digest) or card

    def get(self, model: str, version: str) -> ModelVersion:
        """Return a version's card; raises NotFoundError, or StorageError if MLflow is away."""
        card = self._cards.get((model, version)) or self._kept(model, version)
        if card is None:
            self.versions(model)
            card = self._cards.get((model, version))
        if card is None:
            raise NotFoundError(f"model {model!r} has no version {version!r}")
        return card

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return all versions that Homeostat registered, oldest first; raises StorageError."""
        found = tuple(card for _, card in self._numbered(model))
        for card in found:
            self._cards[model, card.version] = card
        return tuple(
            sorted(found, key=lambda card: (card.created, len(card.version), card.version))
        )

    def path(self, model: str, version: str) -> Path:
        """Return the artifact's path on this machine after checking its hash; fetch it if need be.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ArtifactError
            If its bytes are not those that were registered: here, or at MLflow.
        StorageError
            If it was not fetched yet, and MLflow is away or the disk is full.
        """
        card = self.get(model, version)
        folder = self._folder(model, version)
        if not folder.is_dir():
            with self._alone(model):
                if not folder.is_dir():
                    self._fetch(card, folder)
        (artifact,) = (folder / FOLDER).iterdir()
        if (digest := sha256(artifact)) != card.sha256:
            shutil.rmtree(folder)
            raise ArtifactError(
                f"the copy of version {version} of {model} had SHA-256 {digest}, registered was "
                f"{card.sha256}; it is removed, and fetched again when it is asked for"
            )
        return artifact

    def aliases(self, model: str) -> dict[str, str]:
        """Return the version that each alias points at; raises StorageError."""
        found = self.mlflow.model(folder_name(model))
        if found is None:
            return {}
        names = {number: card.version for number, card in self._numbered(model)}
        return {
            alias: names.get(str(number), f"{FOREIGN}{number}")
            for alias, number in found.aliases.items()
        }

    def point(self, change: AliasChange) -> None:
        """Move an alias, after its move is on record.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ConflictError
            If the alias does not point at ``change.before``.
        StorageError
            If MLflow is away.
        """
        with self._alone(change.model):
            numbers = {card.version: number for number, card in self._numbered(change.model)}
            if change.version and change.version not in numbers:
                raise NotFoundError(f"model {change.model!r} has no version {change.version!r}")
            found = self.aliases(change.model).get(change.alias, "")
            if found != change.before:
                raise ConflictError(
                    f"the alias {change.alias} of {change.model} points at "
                    f"{found or 'no version'}, not at {change.before or 'none'} any more"
                )
            name, text = folder_name(change.model), encode(change)
            digest = hashlib.sha256(text.encode()).hexdigest()[:8]
            key = f"{MOVE_TAG}{len(self.moves(change.model)):08d}.{digest}"
            self.mlflow.tag(name, key, text)
            self.mlflow.alias(name, change.alias, numbers.get(change.version, ""))

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        """Return how the aliases moved, oldest first; raises StorageError."""
        found = self.mlflow.model(folder_name(model))
        tags = {} if found is None else found.tags
        return tuple(
            decode(value, AliasChange)
            for key, value in sorted(tags.items())
            if key.startswith(MOVE_TAG)
        )

    def _numbered(self, model: str) -> list[tuple[str, ModelVersion]]:
        """Return number and card of each version of ours; of two of one name the first counts."""
        found = sorted(self.mlflow.versions(folder_name(model)), key=lambda v: int(v.version))
        ours: dict[str, tuple[str, ModelVersion]] = {}
        for version in found:
            if CARD_TAG in version.tags:
                card = decode(version.tags[CARD_TAG], ModelVersion)
                ours.setdefault(card.version, (str(version.version), card))
        return list(ours.values())

    def _fetch(self, card: ModelVersion, folder: Path) -> None:
        numbers = {found.version: number for number, found in self._numbered(card.model)}
        (source,) = (
            version.source
            for version in self.mlflow.versions(folder_name(card.model))
            if str(version.version) == numbers[card.version]
        )
        with tempfile.TemporaryDirectory(dir=self.cache) as name:
            temporary = Path(name)
            got = self.mlflow.download(source, temporary / "got")
            try:
                (artifact,) = got.iterdir()
                digest = sha256(artifact)
            except (OSError, ValueError) as error:
                raise ArtifactError(
                    f"version {card.version} of {card.model} is not one artifact at {source}"
                ) from error
            if digest != card.sha256:
                raise ArtifactError(
                    f"version {card.version} of {card.model} has SHA-256 {digest} at {source}, "
                    f"registered was {card.sha256}; never load it"
                )
            (temporary / "new").mkdir()
            got.rename(temporary / "new" / FOLDER)
            (temporary / "new" / CARD).write_text(encode(card), encoding="utf-8")
            make_folder(folder.parent)
            publish(temporary / "new", folder)

    def _kept(self, model: str, version: str) -> ModelVersion | None:
        try:
            text = (self._folder(model, version) / CARD).read_text(encoding="utf-8")
        except OSError:
            return None
        return decode(text, ModelVersion)

    def _folder(self, model: str, version: str) -> Path:
        return self.cache / folder_name(model) / folder_name(version)

    @contextmanager
    def _alone(self, model: str) -> Iterator[None]:
        try:
            make_folder(self.cache)
            with exclusive(self.cache / f".{folder_name(model)}.lock"):
                yield
        except (OSError, shutil.Error) as error:
            raise StorageError(f"cannot keep versions of {model}: {error}") from error


def _known(
    known: Sequence[ModelVersion], version: ModelVersion, digest: str
) -> ModelVersion | None:
    for card in known:
        if version.run_id and card.run_id == version.run_id:
            return card
        if card.version == version.version:
            if card.sha256 == digest:
                return card
            raise ConflictError(
                f"version {card.version} of {card.model} exists with another artifact; "
                "versions are immutable: choose another name"
            )
    return None


def _copy(artifact: Path, to: Path) -> None:
    if artifact.is_dir():
        shutil.copytree(artifact, to)
    else:
        shutil.copy2(artifact, to)


def connect(uri: str, timeout: int = 10) -> Mlflow:
    """Return the calls to the MLflow at `uri`, such as ``https://mlflow.example.org``.

    Credentials come from MLflow's own environment variables.

    Raises
    ------
    ConfigError
        If the package is not installed.
    """
    try:
        from homeostat.adapters.registry.mlflow_client import Client  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "mlflow":
            raise
        raise ConfigError(
            "a registry in MLflow needs a package that is not installed",
            "pip install homeostat[mlflow]",
        ) from error
    # Its own seven retries would hold a tick up for minutes.
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(timeout))
    make: Callable[[str], Mlflow] = Client
    return make(uri)
