"""Makes the trainer that a model's settings ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.notifiers.http import Poster
from homeostat.adapters.trainers.airflow import AirflowTrainer
from homeostat.adapters.trainers.airflow_api import AirflowApi, Login
from homeostat.adapters.trainers.container import ContainerTrainer, find_program
from homeostat.adapters.trainers.local import CommandTrainer, LocalTrainer
from homeostat.adapters.trainers.processes import Limits
from homeostat.adapters.trainers.webhook import WebhookTrainer
from homeostat.domain.clock import Clock
from homeostat.domain.errors import ConfigError, TrainingError
from homeostat.engine.ports import Trainer
from homeostat.entrypoints.settings.deployment import Settings, secret
from homeostat.entrypoints.settings.trainers import Airflow, Container, TrainingHook, TrainingLimits
from homeostat.entrypoints.settings.upkeep import Retraining

MB = 1_000_000


def make_trainer(
    settings: Settings,
    model: str,
    clock: Clock,
    environ: Mapping[str, str],
    *,
    wait: bool = False,
) -> Trainer | None:
    """Return a model's trainer; None if it is not retrained.

    Parameters
    ----------
    settings : Settings
    model : str
    clock : Clock
    environ : mapping
        Where secrets come from.
    wait : bool
        Whether `Trainer.poll` waits for a run's end.

    Raises
    ------
    ConfigError
        If a file or a secret is not there.
    """
    retraining = settings.model(model).retraining
    if retraining is None:
        return None
    return _Maker(settings, model, retraining, clock, environ, wait).trainer()


def describe_trainer(settings: Settings, model: str, environ: Mapping[str, str]) -> str:
    """Say what trains a model, for people.

    Raises
    ------
    ConfigError
        If something that it needs is not there.
    """
    retraining = settings.model(model).retraining
    if retraining is None or retraining.trainer.function is not None:
        file, function = settings.trainer(model)
        return f"{function} in {file}"
    maker = _Maker(settings, model, retraining, SystemClock(), environ, wait=False)
    made = maker.trainer()
    if isinstance(made, ContainerTrainer):
        try:
            return f"{made.source()}, with {find_program(made.program)}"
        except TrainingError as error:
            raise ConfigError(str(error), "", str(settings.file), None, maker.field) from error
    return made.source()


@dataclass(frozen=True)
class _Maker:
    settings: Settings
    model: str
    retraining: Retraining
    clock: Clock
    environ: Mapping[str, str]
    wait: bool

    @property
    def field(self) -> str:
        return f"models.{self.model}.retraining.trainer"

    def trainer(
        self,
    ) -> LocalTrainer | CommandTrainer | ContainerTrainer | WebhookTrainer | AirflowTrainer:
        kind = self.retraining.trainer
        root, limit, limits = self.root, self.retraining.timeout, _limits(self.retraining.limits)
        if kind.command is not None:
            folder = self.settings.folder.resolve()
            return CommandTrainer(
                root, kind.command, self.clock, folder, limit, self.wait, limits, kind.env
            )
        if kind.container is not None:
            return self._container(kind.container, limits)
        if kind.webhook is not None:
            return self._webhook(kind.webhook)
        if kind.airflow is not None:
            return self._airflow(kind.airflow)
        file, function = self.settings.trainer(self.model)
        where = f"{file}:{function}"
        return LocalTrainer(root, where, self.clock, limit, self.wait, limits, kind.env)

    @property
    def root(self) -> Path:
        return self.settings.data_folder / "runs"

    def _container(self, part: Container, limits: Limits) -> ContainerTrainer:
        return ContainerTrainer(
            self.root,
            part.image,
            self.clock,
            part.arguments,
            part.network,
            part.env,
            part.program or "",
            self.retraining.timeout,
            self.wait,
            limits,
        )

    def _webhook(self, part: TrainingHook) -> WebhookTrainer:
        key = self._secret(part.secret_env, "webhook.secret_env")
        hidden = (key,) if key else ()
        poster = Poster("trainer", part.url, self.clock, part.timeout, hidden)
        return WebhookTrainer(
            poster,
            self.settings.path(part.folder),
            self.clock,
            key,
            part.function or "",
            self.retraining.timeout,
            self.wait,
        )

    def _airflow(self, part: Airflow) -> AirflowTrainer:
        credentials: Login | str = self._secret(part.token_env, "airflow.token_env")
        if part.user:
            credentials = Login(part.user, self._secret(part.password_env, "airflow.password_env"))
        return AirflowTrainer(
            AirflowApi(part.url, credentials, part.timeout),
            part.dag,
            self.settings.path(part.folder),
            self.clock,
            part.function or "",
            self.retraining.timeout,
            self.wait,
        )

    def _secret(self, variable: str | None, name: str) -> str:
        if variable is None:
            return ""
        return secret(self.environ, variable, f"{self.field}.{name}", self.settings.file)


def _limits(part: TrainingLimits) -> Limits:
    memory, disk = part.memory_mb, part.disk_mb
    return Limits(
        None if memory is None else round(memory * MB),
        None if disk is None else round(disk * MB),
        round(part.log_mb * MB),
        round(part.free_mb * MB),
        part.kept_runs,
    )
