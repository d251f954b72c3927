"""The ``homeostat`` command.

Exit codes: 0 fine, 1 findings where they are asked for (``--fail-on``, ``doctor``), 2 the caller's
mistake, 3 ours.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from typing import ClassVar

import click

from homeostat import __version__
from homeostat.domain.errors import HomeostatError
from homeostat.entrypoints.cli.lazy import LazyGroup, Table

HERE = "homeostat.entrypoints.cli"
COMMANDS: Table = {
    "demo": (f"{HERE}.demo:demo", "Play the whole loop on simulated fraud traffic."),
    "compare": (f"{HERE}.compare:compare", "Say what changed between two sets of rows."),
    "profile": (f"{HERE}.profile:profile", "Summarise data into a small file to compare with."),
    "evaluate": (f"{HERE}.evaluate:evaluate", "Say how good a model was on labelled rows."),
    "estimate": (f"{HERE}.estimate:estimate", "Say how good it is before labels come."),
    "diagnose": (f"{HERE}.diagnose:diagnose", "Say why performance changed and what to do."),
    "backtest": (f"{HERE}.backtest:backtest", "Replay your history: what would have happened?"),
    "simulate": (f"{HERE}.simulate:simulate", "Live through worlds with faults, from seeds."),
    "serve": (f"{HERE}.serve:serve", "Run the control plane: API, web pages, engine."),
    "gateway": (f"{HERE}.gateway:gateway", "Run the data plane in front of the models."),
    "consume": (f"{HERE}.consume:consume", "Read Kafka topics into the prediction log."),
    "adopt": (f"{HERE}.serve:adopt", "Train a first version on labelled history."),
    "register": (f"{HERE}.register:register", "Keep a model trained elsewhere as a version."),
    "init": (f"{HERE}.setup:init", "Look at data and write a commented homeostat.yaml."),
    "config": (f"{HERE}.setup:config", "Check the configuration, or print its JSON Schema."),
    "status": (f"{HERE}.status:status", "Show where each model stands."),
    "alerts": (f"{HERE}.alerts:alerts", "List incidents, or take one on."),
    "rollout": (f"{HERE}.rollout:rollout", "Show or steer the rollout of a version."),
    "experiment": (f"{HERE}.experiment:experiment", "Plan, start, read and end experiments."),
    "rollback": (f"{HERE}.rollout:rollback", "Go back to the previous champion."),
    "bandit": (f"{HERE}.bandit:bandit", "Deal traffic to what brings most; evaluate other ways."),
    "breaker": (f"{HERE}.breaker:breaker", "Show or steer the gateways' breakers."),
    "retrain": (f"{HERE}.retrain:retrain", "Ask for a retraining; its manifest, its log."),
    "decisions": (f"{HERE}.status:decisions", "Show what was decided, by whom and why."),
    "report": (f"{HERE}.report:report", "Write weekly, monthly, drift reports, model cards."),
    "data": (f"{HERE}.data:data", "Erase, verify, repair, export; refused rows."),
    "import": (
        f"{HERE}.imports:import_command",
        "Bring rows of files into the log: backfills, labels.",
    ),
    "token": (f"{HERE}.tokens:token", "Make, list or revoke API tokens."),
    "backup": (f"{HERE}.backup:backup", "Back everything up, while it goes on."),
    "restore": (f"{HERE}.backup:restore", "Bring a backup into an empty deployment."),
    "monitoring": (f"{HERE}.monitoring:monitoring", "Files for Prometheus and Grafana."),
    "completion": (f"{HERE}.completion:completion", "Have your shell complete commands."),
    "doctor": (f"{HERE}.doctor:doctor", "Check that this deployment can run."),
}

COMPLETING = "_HOMEOSTAT_COMPLETE"
FINDINGS, MISTAKE, OURS, INTERRUPTED = 1, 2, 3, 130
EXTRAS = {
    "confluent_kafka": "kafka",
    "deltalake": "delta",
    "lightgbm": "lightgbm",
    "opentelemetry": "otel",
    "psycopg": "postgresql",
}


class Root(LazyGroup):
    """The top of the command tree."""

    table: ClassVar[Table] = COMMANDS


@click.group(cls=Root, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="homeostat")
@click.option("--debug", is_flag=True, help="Show where an error came from.")
def homeostat(*, debug: bool) -> None:
    """Keep machine-learning models healthy in production.

    New here? Try `homeostat demo`, then `homeostat init DATA`.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command and exit the process; an error is one line on stderr."""
    if arguments is None and COMPLETING in os.environ:
        sys.exit(_complete())
    given = sys.argv[1:] if arguments is None else list(arguments)
    sys.exit(run(given, debug="--debug" in given[:1]))


def _complete() -> int:
    from homeostat.entrypoints.cli.completion import answer  # noqa: PLC0415 - a key was pressed

    return answer(homeostat)


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run the command and return its exit code."""
    try:
        code = _invoke(arguments)
    except BrokenPipeError:
        # The reader of our output, such as head, has gone: nothing is wrong.
        sys.stdout = None
        return 0
    except (click.Abort, KeyboardInterrupt):
        click.echo("stopped", err=True)
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return MISTAKE
    except Exception as error:  # noqa: BLE001
        if debug:
            traceback.print_exception(error)
        message, code = _explain(error)
        # A message may quote data, and data may hold terminal commands.
        message = "".join(c if c.isprintable() or c.isspace() else ascii(c)[1:-1] for c in message)
        click.echo(f"homeostat: {' '.join(message.split())}", err=True)
        return code
    return code if isinstance(code, int) else 0


def _invoke(arguments: list[str]) -> object:
    """Run the command; unlike `click.Command.main`, leave a broken pipe to the caller."""
    try:
        with homeostat.make_context("homeostat", list(arguments)) as context:
            return homeostat.invoke(context)
    except click.exceptions.Exit as done:
        return done.exit_code


def _explain(error: Exception) -> tuple[str, int]:
    if isinstance(error, click.ClickException):
        return f"{error.format_message().rstrip('.')}; see --help", MISTAKE
    if isinstance(error, HomeostatError):
        return str(error), error.exit_code
    if isinstance(error, ModuleNotFoundError) and error.name in EXTRAS:
        wanted = f"homeostat[{EXTRAS[error.name]}]"
        return f"{error.name} is not installed; python -m pip install '{wanted}'", MISTAKE
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return f"{said}; a fault in Homeostat: report what homeostat --debug ... shows", OURS


__all__ = ["COMMANDS", "homeostat", "main", "run"]
