"""Model artifacts in a folder, immutable and verified by SHA-256."""

from __future__ import annotations

import logging
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from homeostat.adapters.digest import sha256
from homeostat.adapters.durable import exclusive, folder_name, make_folder, publish, sync
from homeostat.adapters.records.codec import decode, encode
from homeostat.adapters.registry.history import HISTORY, append, read
from homeostat.domain.alias import AliasChange, pointing
from homeostat.domain.clock import Clock
from homeostat.domain.errors import (
    ArtifactError,
    ConflictError,
    DataError,
    NotFoundError,
    StorageError,
)
from homeostat.domain.model import ModelVersion

logger = logging.getLogger(__name__)

CARD = "card.json"
ARTIFACT = "artifact"


def vouched(version: ModelVersion, artifact: Path) -> str:
    """Return the SHA-256 of an artifact that is what its card says.

    Raises
    ------
    DataError
        If the card names no model.
    ArtifactError
        If the artifact does not exist, has another hash, or links to other places: whoever made it
        would have them copied from there.
    OSError
        If it cannot be read.
    """
    if not version.model:
        raise DataError("a model version needs the name of its model")
    if not artifact.exists():
        raise ArtifactError(f"the artifact {artifact} does not exist")
    links = (path for path in (artifact, *artifact.rglob("*")) if path.is_symlink())
    if (link := next(links, None)) is not None:
        raise ArtifactError(f"the artifact {artifact} holds a link, {link.name}; copy the file")
    digest = sha256(artifact)
    if version.sha256 not in {"", digest}:
        raise ArtifactError(
            f"the artifact {artifact} has SHA-256 {digest}, its card says {version.sha256}"
        )
    return digest


class LocalRegistry:
    """Implements `homeostat.engine.ports.Registry` in a folder.

    ``<root>/<model>/<version>/`` holds ``card.json`` and ``artifact/<name>``; a version appears in
    one rename, and is never changed again. ``<root>/<model>/aliases.jsonl`` says how aliases moved.

    Parameters
    ----------
    root : Path
        Created if it does not exist.
    clock : Clock
        Dates the cards: ``created`` is when a version was registered here.
    """

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root = root
        self.clock = clock
        self._damaged: set[Path] = set()
        try:
            make_folder(root)
        except OSError as error:
            raise StorageError(f"the registry folder {root} cannot be made: {error}") from error

    def register(self, version: ModelVersion, artifact: Path) -> ModelVersion:
        """Store an artifact file or folder and return its card with hash and version.

        An empty version name is replaced by the next free number. Registering the same run, or the
        same bytes under the same version again, returns the first card.

        Raises
        ------
        DataError
            If the card names no model.
        ArtifactError
            If the artifact does not exist, or is not what the card's ``sha256`` says.
        ConflictError
            If the version exists with other content.
        StorageError
            If the disk fails or is full; nothing is registered then.
        """
        try:
            digest = vouched(version, artifact)
            folder = self.root / folder_name(version.model)
            make_folder(folder)
            with exclusive(folder / ".lock"):
                return self._register(folder, version, artifact, digest)
        except (OSError, shutil.Error) as error:
            raise StorageError(
                f"cannot store version {version.version} of {version.model}: {error}"
            ) from error

    def _register(
        self, folder: Path, version: ModelVersion, artifact: Path, digest: str
    ) -> ModelVersion:
        known = self.versions(version.model)
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
        name = version.version or _next(folder)
        now = self.clock.now()
        card = replace(version, version=name, sha256=digest, created=now)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
        try:
            self._write(temporary, card, artifact)
            publish(temporary, folder / folder_name(card.version))
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        return card

    def _write(self, folder: Path, card: ModelVersion, artifact: Path) -> None:
        (folder / ARTIFACT).mkdir()
        copy = folder / ARTIFACT / artifact.name
        if artifact.is_dir():
            shutil.copytree(artifact, copy)
        else:
            shutil.copy2(artifact, copy)
        (folder / CARD).write_text(encode(card), encoding="utf-8")
        for path in folder.rglob("*"):
            sync(path)
        folder.chmod(0o755)

    def get(self, model: str, version: str) -> ModelVersion:
        """Return a version's card; raises NotFoundError, or ArtifactError if it is damaged."""
        path = self._folder(model, version) / CARD
        try:
            return decode(path.read_text(encoding="utf-8"), ModelVersion)
        except (FileNotFoundError, NotADirectoryError):
            raise NotFoundError(f"model {model!r} has no version {version!r}") from None
        except (OSError, UnicodeDecodeError, StorageError) as error:
            raise ArtifactError(f"the card of version {version} of {model}: {error}") from error

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first; those whose card is damaged are left out."""
        found: list[ModelVersion] = []
        for path in (self.root / folder_name(model)).glob(f"[!.]*/{CARD}"):
            try:
                found.append(decode(path.read_text(encoding="utf-8"), ModelVersion))
            except (UnicodeDecodeError, StorageError) as error:
                if path not in self._damaged:
                    logger.warning("%s is damaged, its version is left out: %s", path, error)
                self._damaged.add(path)
        return tuple(
            sorted(found, key=lambda card: (card.created, len(card.version), card.version))
        )

    def size(self, model: str, version: str) -> int:
        """Return the artifact's bytes; raises NotFoundError, ArtifactError."""
        artifact = self.path(model, version)
        files = [artifact] if artifact.is_file() else artifact.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def path(self, model: str, version: str) -> Path:
        """Return the artifact's path after checking its hash.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ArtifactError
            If the artifact is missing, or its bytes are not those that were registered.
        """
        card = self.get(model, version)
        try:
            (artifact,) = (self._folder(model, version) / ARTIFACT).iterdir()
            digest = sha256(artifact)
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"the artifact of version {version} of {model} is missing: {error}"
            ) from error
        if digest != card.sha256:
            raise ArtifactError(
                f"the artifact of version {version} of {model} has SHA-256 {digest}, "
                f"registered was {card.sha256}; restore it from a backup, never load it"
            )
        return artifact

    def aliases(self, model: str) -> dict[str, str]:
        """Return the version that each alias points at; raises StorageError."""
        return pointing(self.moves(model))

    def point(self, change: AliasChange) -> None:
        """Move an alias and append to the history, durably.

        Raises
        ------
        NotFoundError
            If there is no such version.
        ConflictError
            If the alias does not point at ``change.before``.
        StorageError
            If the disk fails or is full; nothing has moved then.
        """
        if change.version:
            self.get(change.model, change.version)
        folder = self.root / folder_name(change.model)
        try:
            make_folder(folder)
            with exclusive(folder / ".lock"):
                append(folder / HISTORY, change)
        except OSError as error:
            raise StorageError(f"cannot move {change.alias} of {change.model}: {error}") from error

    def moves(self, model: str) -> tuple[AliasChange, ...]:
        """Return how the aliases moved, oldest first; raises StorageError."""
        file = self.root / folder_name(model) / HISTORY
        try:
            return read(file)[0]
        except OSError as error:
            raise StorageError(f"cannot read the aliases of {model}: {error}") from error

    def _folder(self, model: str, version: str) -> Path:
        return self.root / folder_name(model) / folder_name(version)


def _next(folder: Path) -> str:
    numbers = [int(path.name) for path in folder.iterdir() if path.name.isdecimal()]
    return str(max(numbers, default=0) + 1)
