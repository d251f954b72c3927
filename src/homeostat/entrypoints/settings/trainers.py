"""Settings of where a model is trained, and of what a training may take."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from homeostat.entrypoints.settings.part import Part, only_one
from homeostat.entrypoints.settings.values import (
    Count,
    Duration,
    Number,
    Variable,
    url_problem,
    wrong,
)  # fmt: skip

FUNCTION = r"^[^:]+\.py:[A-Za-z_]\w*$"
Function = Annotated[str, Field(pattern=FUNCTION)]
"""A Python file and the function in it: ``train.py:train``."""
Words = Annotated[tuple[str, ...], Field(min_length=1)]


class Container(Part):
    """A container for each training, through the command line of docker or podman."""

    image: str = Field(min_length=1)
    """The image; only one with a digest (``name@sha256:...``) is the same tomorrow."""
    arguments: tuple[str, ...] = ()
    """What its entry point is given."""
    network: str = "none"
    """Name of a network of the container program."""
    env: tuple[Variable, ...] = ()
    """Environment variables that are passed on."""
    program: Literal["docker", "podman"] | None = None
    """Which program; default: the one that is there."""


class TrainingHook(Part):
    """A service behind one address, which shares a folder with the control plane."""

    url: str
    """Where it takes signed posts."""
    secret_env: Variable | None = None
    """Environment variable that holds the key of the signature; default: unsigned."""
    folder: str = Field(min_length=1)
    """The shared folder, as the control plane sees it."""
    function: Function | None = None
    """What it is told to call, as it sees the file; default: it trains by itself."""
    timeout: Duration = timedelta(seconds=10)
    """Of one request."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_url(self.url)
        return self


class Airflow(Part):
    """A DAG of Airflow 3, whose workers share a folder with the control plane."""

    url: str
    """Of its API server, such as https://airflow.example.org."""
    dag: str = Field(min_length=1)
    """The DAG that trains."""
    folder: str = Field(min_length=1)
    """The shared folder, as the control plane sees it."""
    function: Function | None = None
    """What the DAG is told to call, as its workers see the file; default: it trains by itself."""
    token_env: Variable | None = None
    """Environment variable that holds a token that was issued elsewhere."""
    user: str | None = None
    """A user of Airflow's own."""
    password_env: Variable | None = None
    """Environment variable that holds the user's password."""
    timeout: Duration = timedelta(seconds=10)
    """Of one request."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        _check_url(self.url)
        only_one(self, "token_env", "user")
        if bool(self.user) != (self.password_env is not None):
            raise wrong("user and password_env stand together", "write both or none", "user")
        return self


class Trainer(Part):
    """Where a model is trained: a Python function, as plain text, or one of the others."""

    function: Function | None = None
    """A Python file, relative to this one, and the function in it: ``train.py:train``."""
    command: Words | None = None
    """A program and its arguments, run in this file's folder; no shell reads them."""
    container: Container | None = None
    """A container on this machine."""
    webhook: TrainingHook | None = None
    """A service elsewhere."""
    airflow: Airflow | None = None
    """A DAG of Airflow."""
    env: tuple[Variable, ...] = ()
    """Environment variables that function or command get, besides PATH, HOME and their like."""

    @model_validator(mode="before")
    @classmethod
    def _plain(cls, given: object) -> object:
        return {"function": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one(self) -> Self:
        only_one(self, "function", "command", "container", "webhook", "airflow")
        if self.env and self.function is None and self.command is None:
            remedy = "a container has an env of its own; the others run elsewhere"
            raise wrong("env is of function or command", remedy, "env")
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Describe both forms to editors."""
        return {"anyOf": [{"type": "string", "pattern": FUNCTION}, handler(core)]}


class TrainingLimits(Part):
    """What a training on this machine may take; time is retraining.timeout."""

    memory_mb: Annotated[Number, Field(ge=16)] | None = None
    """Address space of each of its processes, or memory of the container; null: no limit."""
    disk_mb: Annotated[Number, Field(ge=1)] | None = None
    """Its folder with its temporary files, and any one file; null: no limit."""
    free_mb: Annotated[Number, Field(ge=0)] = 200.0
    """What must stay free on the disk: a training is ended before it takes the log's room."""
    log_mb: Annotated[Number, Field(ge=0.01)] = 10.0
    """What it prints, the newest of it."""
    kept_runs: Count = 20
    """Folders of trainings that are kept, with rows, log and artifact: the newest."""


def _check_url(url: str) -> None:
    if problem := url_problem(url):
        raise wrong(problem, "use a URL such as https://train.example.org/homeostat", "url")
