"""The whole of homeostat.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from os.path import normpath
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, model_validator

from homeostat.domain.errors import ConfigError, NotFoundError
from homeostat.domain.model import Handling, ModelSpec
from homeostat.domain.personal import LEAST_KEY, Protector, handled
from homeostat.entrypoints.settings.bandits import BanditPart, check_bandits
from homeostat.entrypoints.settings.experiments import ExperimentPart, check_experiments
from homeostat.entrypoints.settings.floors import check_floors
from homeostat.entrypoints.settings.gateway import Gateway
from homeostat.entrypoints.settings.kafka import Kafka, check_topics
from homeostat.entrypoints.settings.model import Model
from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.receivers import Receiver, to_console
from homeostat.entrypoints.settings.reports import Reports, check_reports
from homeostat.entrypoints.settings.routes import Route, check_escalation, check_routes
from homeostat.entrypoints.settings.rules import AlertDefaults
from homeostat.entrypoints.settings.rules_check import check_rules
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Name,
    Number,
    Port,
    Variable,
    nearest,
    url_problem,
    wrong,
)
from homeostat.rollout.experiment.plan import ExperimentPlan


class RemoteWrite(Part):
    """Sends the control plane's figures to whatever takes Prometheus' remote write (1.0)."""

    url: str
    """Where to, such as https://mimir.example.org/api/v1/push or http://prometheus:9090/api/v1/write."""
    token_env: Variable | None = None
    """Environment variable that holds a bearer token, if it asks for one."""
    every: Duration = timedelta(seconds=30)
    """Time between two samples of a series."""
    timeout: Duration = timedelta(seconds=10)
    """Gives up after this time; it is tried again later."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problem = url_problem(self.url)
        if problem:
            remedy = "use a URL such as http://prometheus:9090/api/v1/write"
            raise wrong(problem.replace("url_env", "token_env"), remedy, "url")
        if self.every < timedelta(seconds=1):
            raise wrong("is less than a second", "use 15s or more", "every")
        return self


class Server(Part):
    """The control plane: API, UI and engine."""

    host: str = "127.0.0.1"
    """Address to listen on; others than loopback need a token (homeostat token create)."""
    port: Port = 8420
    """TCP port."""
    url: str = ""
    """Address at which people reach these pages, for links in notifications."""
    tick: Duration = timedelta(seconds=60)
    """Time between two looks at everything."""
    lease: Duration = timedelta(seconds=30)
    """Of several control planes one ticks; another goes on this long after it was last heard of."""
    max_request_mb: Number = Field(default=32.0, gt=0, le=1024)
    """Larger requests are refused."""
    rows_per_second: Number = Field(default=0.0, ge=0)
    """Rows that each sender may send on average, with bursts of ten seconds; 0: any number."""
    remote_write: RemoteWrite | None = None
    """Send figures to a Prometheus that cannot scrape this server; nothing is sent if left out."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problem = url_problem(self.url) if self.url else ""
        if problem:
            raise wrong(problem, "use a URL such as https://homeostat.example.org", "url")
        return self


class Storage(Part):
    """Where the prediction log's Parquet files lie. Access is granted by the environment alone."""

    parquet: str = ""
    """Address such as s3://bucket/prefix, gs://bucket/prefix or
    abfss://container@account.dfs.core.windows.net/prefix; default: the data folder."""
    endpoint: str = ""
    """URL of another server that speaks the same protocol, such as http://minio:9000."""
    region: str = ""
    """Region of the bucket; default: as the environment says."""
    timeout: Duration = timedelta(seconds=10)
    """A call to the store that is silent for this time has failed."""
    attempts: Count = 3
    """So often a call is tried before the store counts as away."""
    key_cache_gb: Number = Field(default=4.0, gt=0)
    """Room in the data folder for key files of the store; 21 bytes for each row."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if self.parquet:
            problem = _store_problem(self.parquet)
            if problem:
                raise wrong(problem, "use an address such as s3://bucket/prefix", "parquet")
        if self.endpoint:
            problem = url_problem(self.endpoint)
            if problem:
                raise wrong(problem, "use a URL such as http://minio:9000", "endpoint")
        return self


class ModelRegistry(Part):
    """Where model versions are kept."""

    mlflow: str = ""
    """Address of an MLflow server (homeostat[mlflow]); default: the data folder."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        problem = url_problem(self.mlflow) if self.mlflow else ""
        if problem:
            raise wrong(problem, "use a URL such as https://mlflow.example.org", "mlflow")
        return self


def _store_problem(address: str) -> str:
    try:
        parts = urlsplit(address)
    except ValueError:
        return "is not an address"
    if not parts.scheme or "://" not in address or not parts.netloc:
        return "is not the address of an object store"
    if not parts.path.strip("/"):
        return "names no prefix, and all of the bucket would be the log's"
    if parts.password or parts.query:
        return "holds a password or options; access is granted by the environment"
    return ""


class Settings(Part):
    """A deployment: where its data is, who serves, who is told, and which models it cares for."""

    data: str = "./homeostat-data"
    """Folder of the prediction log, models and records, relative to this file."""
    records: str = ""
    """Database URL of the records; default: an SQLite file in the data folder."""
    records_env: Variable | None = None
    """Environment variable that holds the database URL, if it has a password in it."""
    storage: Storage = Storage()
    """Where the prediction log's Parquet files lie."""
    registry: ModelRegistry = ModelRegistry()
    """Where model versions are kept."""
    server: Server = Server()
    """The control plane."""
    gateway: Gateway = Gateway()
    """The data plane."""
    kafka: Kafka | None = None
    """Topics to read from (homeostat consume)."""
    personal_key_env: Variable | None = None
    """Environment variable that holds the secret with which personal columns are hashed."""
    runbooks: str = Field(default="runbooks", min_length=1)
    """Folder or base address of the runbooks that alerts link to."""
    receivers: dict[Name, Receiver] = Field(default_factory=to_console)
    """Where notifications go, by name."""
    routes: tuple[Route, ...] = ()
    """Who is told of what; models and rules that name receivers themselves have no need of them."""
    alerts: AlertDefaults = AlertDefaults()
    """Alert rules of all models, and escalation."""
    reports: Reports = Reports()
    """Reports that are made on a schedule."""
    models: tuple[Model, ...] = Field(min_length=1)
    """The models under care."""
    experiments: tuple[ExperimentPart, ...] = ()
    """What may be tried on their traffic (homeostat experiment start)."""
    bandits: tuple[BanditPart, ...] = ()
    """Versions that traffic is dealt to by what it brings."""

    _file: Path = PrivateAttr(default=Path("homeostat.yaml"))
    _text: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_records()
        self._check_personal()
        seen: dict[str, int] = {}
        folders: dict[str, int] = {}
        for number, model in enumerate(self.models):
            folder = normpath(model.labels.folder) if model.labels.folder else ""
            if folder and folder in folders:
                problem = f"is also that of models.{folders[folder]}"
                remedy = "give each model a folder of its own"
                raise wrong(problem, remedy, "models", number, "labels", "folder")
            folders[folder] = number
            if model.name in seen:
                problem = f"{model.name!r} is also the name of models.{seen[model.name]}"
                raise wrong(problem, "rename one of them", "models", number, "name")
            seen[model.name] = number
            self._check_receivers(number, model)
        check_topics(self.kafka, seen)
        check_bandits(self.bandits, self.models)
        check_floors(self.models)
        check_escalation(self.alerts.escalation, self.receivers, "alerts")
        check_routes(self.routes, self.receivers, seen, {m.alerts.team for m in self.models} - {""})
        deadline = self.gateway.deadline if "deadline" in self.gateway.model_fields_set else None
        check_reports(self.reports, self.receivers, seen)
        check_rules(self.alerts, self.models, self.receivers, deadline)
        check_experiments(self.experiments, self.model, list(seen))
        return self

    def _check_records(self) -> None:
        if self.records and self.records_env:
            raise wrong("cannot stand beside records", "keep one of the two", "records_env")
        if self.records and "://" not in self.records:
            remedy = "use sqlite:///path/to/records.db or postgresql+psycopg://host/database"
            raise wrong("is not a database URL", remedy, "records")
        if self.records and _has_password(self.records):
            remedy = "put the URL into an environment variable and name it in records_env"
            raise wrong("holds a password", remedy, "records")

    def _check_personal(self) -> None:
        for number, model in enumerate(self.models):
            hashed = [n for n, way in handled(model.spec()).items() if way is Handling.HASH]
            if hashed and self.personal_key_env is None:
                problem = f"{hashed[0]!r} is to be hashed and there is no secret to hash it with"
                remedy = "name an environment variable that holds one in personal_key_env"
                raise wrong(problem, remedy, "models", number)

    def _check_receivers(self, number: int, model: Model) -> None:
        alerts = model.alerts
        path = ("models", number, "alerts")
        check_escalation(alerts.escalation or (), self.receivers, *path)
        named: list[tuple[tuple[str | int, ...], tuple[str, ...]]] = [
            (("receivers",), alerts.receivers)
        ]
        for rule, override in alerts.overrides.items():
            named.append((("overrides", rule, "receivers"), override.receivers or ()))
        for place_of, receivers in named:
            for place, receiver in enumerate(receivers):
                if receiver not in self.receivers:
                    problem = f"no receiver is named {receiver!r}"
                    remedy = nearest(receiver, self.receivers)
                    raise wrong(problem, remedy, *path, *place_of, place)

    @property
    def file(self) -> Path:
        """The file that this was read from."""
        return self._file

    @property
    def text(self) -> str:
        """The text that this was read from."""
        return self._text

    @property
    def folder(self) -> Path:
        """The folder of the file; relative paths in it start here."""
        return self._file.resolve().parent

    @property
    def data_folder(self) -> Path:
        """Absolute path of the data folder."""
        return self.path(self.data)

    @property
    def log_folder(self) -> Path:
        """Absolute path of the prediction log."""
        return self.data_folder / "log"

    @property
    def spill_folder(self) -> Path:
        """Absolute path of the folder in which a gateway's answers wait for the log."""
        return self.path(self.gateway.spill.folder or str(self.data_folder / "gateway-spill"))

    def path(self, name: str) -> Path:
        """Return the absolute path of a file or folder that is named in this file."""
        return (self.folder / Path(name).expanduser()).resolve()

    @property
    def reports_folder(self) -> Path:
        """Absolute path of the folder of scheduled reports."""
        given = self.reports.folder
        return self.path(given) if given else self.data_folder / "reports"

    @property
    def models_folder(self) -> Path:
        """Absolute path of the local model registry."""
        return self.data_folder / "models"

    def label_folder(self, name: str) -> Path | None:
        """Return the absolute path of the folder of a model's label files; None if it has none."""
        folder = self.model(name).labels.folder
        return self.path(folder) if folder else None

    @property
    def specs(self) -> tuple[ModelSpec, ...]:
        """The domain's view of the models."""
        return tuple(model.spec() for model in self.models)

    def model(self, name: str = "") -> Model:
        """Return the settings of a model; without a name, of the only one.

        Raises
        ------
        NotFoundError
            If there is no such model, or a name is needed and missing.
        """
        names = [model.name for model in self.models]
        if not name:
            if len(names) == 1:
                return self.models[0]
            raise NotFoundError(f"name one of the models: {', '.join(names)}")
        for model in self.models:
            if model.name == name:
                return model
        raise NotFoundError(f"no model named {name!r} in {self._file}; {nearest(name, names)}")

    @property
    def experiment_plans(self) -> dict[str, ExperimentPlan]:
        """What the owner decided about experiments, by name."""
        return {part.name: part.plan(self.model(part.model).spec()) for part in self.experiments}

    def records_url(self, environ: Mapping[str, str]) -> str:
        """Return the database URL, from the environment where the file says so.

        Raises
        ------
        ConfigError
            If the variable is not set.
        """
        if self.records_env is not None:
            return secret(environ, self.records_env, "records_env", self._file)
        return self.records or f"sqlite:///{self.data_folder / 'records.db'}"

    def protector(self, environ: Mapping[str, str]) -> Protector:
        """Return what hashes personal columns; raises ConfigError if its variable is not set."""
        variable = self.personal_key_env
        if variable is None:
            return Protector()
        key = secret(environ, variable, "personal_key_env", self._file).encode()
        if len(key) < LEAST_KEY:
            problem = f"the environment variable {variable} holds fewer than {LEAST_KEY} bytes"
            remedy = "use a long random secret, such as that of: openssl rand -hex 32"
            raise ConfigError(problem, remedy, str(self._file), None, "personal_key_env")
        return Protector(key)

    def trainer(self, name: str) -> tuple[Path, str]:
        """Return the file and function that train a model.

        Raises
        ------
        ConfigError
            If it is not trained by a function, or the file does not exist.
        """
        retraining = self.model(name).retraining
        field = f"models.{name}.retraining.trainer"
        if retraining is None:
            remedy = (
                "add retraining: {trainer: 'train.py:train'}, or, if the model is served "
                "elsewhere, history: {score: COLUMN} for the answers in the history"
            )
            raise ConfigError("is missing", remedy, str(self._file), None, field)
        if retraining.trainer.function is None:
            said = ("is no Python function", "write one such as train.py:train")
            raise ConfigError(*said, str(self._file), None, field)
        path, _, name = retraining.trainer.function.rpartition(":")
        file = self.path(path)
        if not file.is_file():
            said = (f"there is no file {file}", "write the path relative to the configuration")
            raise ConfigError(*said, str(self._file), None, field)
        return file, name


def _has_password(url: str) -> bool:
    try:
        return bool(urlsplit(url).password)
    except ValueError:
        return False


def secret(environ: Mapping[str, str], variable: str, field: str, file: Path) -> str:
    """Return a secret from the environment; an unset or empty variable is a ConfigError."""
    value = environ.get(variable, "")
    if not value:
        problem = f"the environment variable {variable} is not set"
        raise ConfigError(problem, "set it before starting", str(file), None, field)
    return value
