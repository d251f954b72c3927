"""The trainer that homeostat.yaml asks for, and what doctor says of it."""

from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.adapters.trainers.airflow import AirflowTrainer
from homeostat.adapters.trainers.airflow_api import Login
from homeostat.adapters.trainers.container import ContainerTrainer
from homeostat.adapters.trainers.local import CommandTrainer
from homeostat.adapters.trainers.processes import Limits
from homeostat.adapters.trainers.webhook import WebhookTrainer
from homeostat.domain.errors import ConfigError
from homeostat.engine.ports import Trainer
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.deployment import Settings
from homeostat.entrypoints.settings.schema import known_keys
from homeostat.entrypoints.trainers import describe_trainer, make_trainer
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import NOW

CONFIG = """\
models:
  - name: fraud
    task: binary
    features: {{amount: numeric}}
    labels: {{maturity: 1d}}
    retraining: {{trainer: {trainer}{more}}}
"""


def configured(folder: Path, trainer: str, more: str = "") -> Settings:
    file = folder / "homeostat.yaml"
    file.write_text(CONFIG.format(trainer=trainer, more=more))
    return load(file)


def made(settings: Settings, **environ: str) -> Trainer:
    found = make_trainer(settings, "fraud", SimulatedClock(NOW), environ)
    assert found is not None
    return found


def test_a_command_runs_beside_the_configuration_under_limits(tmp_path: Path) -> None:
    limits = ", timeout: 2h, limits: {memory_mb: 2000, disk_mb: 500, free_mb: 0, kept_runs: 3}"
    (tmp_path / "train.sh").write_text("echo")
    settings = configured(tmp_path, "{command: [sh, train.sh], env: [KEY]}", limits)
    found = made(settings)
    assert isinstance(found, CommandTrainer)
    assert (found.command, found.folder) == (("sh", "train.sh"), tmp_path.resolve())
    assert found.variables == ("KEY",)
    assert found.limits == Limits(2_000_000_000, 500_000_000, 10_000_000, 0, 3)
    assert found.limit == timedelta(hours=2)
    said = describe_trainer(settings, "fraud", {})
    assert said.startswith("sh train.sh sha256:")
    with pytest.raises(ConfigError, match="is no Python function; write one such as"):
        settings.trainer("fraud")


def test_a_container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "{container: {image: 'fraud:7', arguments: [fit], env: [REGION], program: podman}}"
    settings = configured(tmp_path, text)
    found = made(settings)
    assert isinstance(found, ContainerTrainer)
    assert (found.image, found.arguments, found.variables) == ("fraud:7", ("fit",), ("REGION",))
    assert (found.network, found.program) == ("none", "podman")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match=r"trainer: there is no podman on this machine; install"):
        describe_trainer(settings, "fraud", {})
    (tmp_path / "podman").write_text("#!/bin/sh\n")
    (tmp_path / "podman").chmod(0o755)
    said = describe_trainer(settings, "fraud", {})
    assert said == f"container fraud:7 fit, with {tmp_path}/podman"


def test_a_webhook_signs_with_a_secret_of_the_environment(tmp_path: Path) -> None:
    text = "{webhook: {url: 'https://a.example/x', secret_env: KEY, folder: shared}}"
    settings = configured(tmp_path, text)
    found = made(settings, KEY="secret")
    assert isinstance(found, WebhookTrainer)
    assert (found.secret, found.root) == ("secret", tmp_path.resolve() / "shared")
    assert found.poster.secrets == ("secret",)
    with pytest.raises(ConfigError, match=r"webhook.secret_env: the environment variable KEY"):
        describe_trainer(settings, "fraud", {})
    plain = configured(tmp_path, "{webhook: {url: 'http://a.example', folder: s}}")
    assert describe_trainer(plain, "fraud", {}) == "webhook a.example"


@pytest.mark.parametrize(
    ("who", "credentials"),
    [("token_env: KEY", "secret"), ("user: ann, password_env: KEY", Login("ann", "secret"))],
    ids=["token", "user"],
)
def test_airflow(tmp_path: Path, who: str, credentials: object) -> None:
    place = "url: 'https://air.example', dag: train, folder: shared"
    text = f"{{airflow: {{{place}, {who}}}}}"
    settings = configured(tmp_path, text)
    found = made(settings, KEY="secret")
    assert isinstance(found, AirflowTrainer)
    assert found.api.credentials == credentials
    assert (found.dag, found.root) == ("train", tmp_path.resolve() / "shared")
    assert describe_trainer(settings, "fraud", {"KEY": "x"}) == "airflow air.example dag train"


@pytest.mark.parametrize(
    ("trainer", "said"),
    [
        ("{}", "retraining.trainer: needs exactly one of function, command, container"),
        ("{container: {image: t}, env: [KEY]}", "env is of function or command"),
        ("{command: [a], container: {image: b}}", "has command and container"),
        ("{command: []}", "retraining.trainer.command"),
        ("{webhook: {url: 'ftp://x', folder: a}}", "webhook.url: is not an http or https URL"),
        (
            "{airflow: {url: 'http://x', dag: d, folder: f}}",
            "trainer.airflow: needs exactly one of token_env, user",
        ),
        (
            "{airflow: {url: 'http://x', dag: d, folder: f, user: ann}}",
            "user and password_env stand together",
        ),
        ("{comand: [a]}", "did you mean 'command'?"),
        ("{container: {image: a, program: runc}}", "container.program: 'runc' is not known"),
    ],
)
def test_mistakes_are_told_with_their_place(tmp_path: Path, trainer: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, trainer)
    assert said in str(caught.value)


def test_a_model_that_is_not_retrained_has_none(tmp_path: Path) -> None:
    text = CONFIG.partition("    retraining")[0].format()
    (tmp_path / "homeostat.yaml").write_text(text)
    settings = load(tmp_path / "homeostat.yaml")
    assert make_trainer(settings, "fraud", SimulatedClock(NOW), {}) is None
    with pytest.raises(ConfigError, match="is missing; add retraining"):
        describe_trainer(settings, "fraud", {})


def test_the_schema_knows_both_forms() -> None:
    assert "command" in known_keys(("models", 0, "retraining", "trainer"))
