"""MLflow's client as the few calls that `MlflowRegistry` needs (extra ``mlflow``)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlflow.artifacts import download_artifacts
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from homeostat.adapters.registry.mlflow import Found, FoundVersion
from homeostat.domain.errors import StorageError

EXPERIMENT = "homeostat"
ABSENT = frozenset({"RESOURCE_DOES_NOT_EXIST"})
PRESENT = frozenset({"RESOURCE_ALREADY_EXISTS"})


class Client:
    """Implements `homeostat.adapters.registry.mlflow.Mlflow`."""

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def model(self, name: str) -> Found | None:
        """Return a registered model, None if there is none."""
        with _asking(ABSENT):
            found: Found = self._client.get_registered_model(name)
            return found
        return None

    def create(self, name: str) -> None:
        """Register a model, if it is not there."""
        with _asking(PRESENT):
            self._client.create_registered_model(name)

    def versions(self, name: str) -> Sequence[FoundVersion]:
        """Return a model's versions."""
        found: list[FoundVersion] = []
        token: str | None = None
        with _asking():
            while True:
                page = self._client.search_model_versions(f"name='{name}'", page_token=token)
                found += page
                token = page.token
                if not token:
                    return found

    def add(self, name: str, folder: Path, tags: Mapping[str, str]) -> None:
        """Upload a folder's content and register it as a new version with these tags."""
        with _asking():
            experiment = self._client.get_experiment_by_name(EXPERIMENT)
            number = (
                self._client.create_experiment(EXPERIMENT)
                if experiment is None
                else experiment.experiment_id
            )
            run = self._client.create_run(number, run_name=name)
            self._client.log_artifacts(run.info.run_id, str(folder), "model")
            self._client.set_terminated(run.info.run_id)
            source = f"{run.info.artifact_uri}/model"
            self._client.create_model_version(
                name, source, run.info.run_id, tags=dict(tags), await_creation_for=0
            )

    def download(self, source: str, folder: Path) -> Path:
        """Fetch an artifact into a folder and return its path."""
        folder.mkdir(parents=True)
        with _asking():
            got = download_artifacts(
                artifact_uri=source, dst_path=str(folder), tracking_uri=self._uri
            )
        return Path(got)

    def tag(self, name: str, key: str, value: str) -> None:
        """Set a tag of a model."""
        with _asking():
            self._client.set_registered_model_tag(name, key, value)

    def alias(self, name: str, alias: str, number: str) -> None:
        """Point an alias at a version; an empty number removes it."""
        with _asking():
            if number:
                self._client.set_registered_model_alias(name, alias, number)
            else:
                self._client.delete_registered_model_alias(name, alias)


@contextmanager
def _asking(fine: frozenset[str] = frozenset()) -> Iterator[None]:
    """Let answers that are fine pass; all others are a StorageError."""
    try:
        yield
    except MlflowException as error:
        if error.error_code not in fine:
            raise StorageError(f"mlflow: {error.error_code}: {error}") from error
