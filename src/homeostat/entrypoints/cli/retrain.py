"""``homeostat retrain``: ask for a training, see what one was trained on and what it printed."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from homeostat.adapters.models import RegistryScorer
from homeostat.adapters.trainers.child import LOG
from homeostat.adapters.trainers.keeper import OLDER_LOG
from homeostat.domain.errors import NotFoundError
from homeostat.domain.manifest import TrainingManifest, manifest_key
from homeostat.domain.text import printable
from homeostat.engine.commands import Request
from homeostat.engine.manifests import Proof, prove
from homeostat.entrypoints import current
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.options import (
    Deployment,
    config_option,
    deployment,
    model_option,
    reason_option,
)  # fmt: skip
from homeostat.entrypoints.cli.output import json_option, print_json, when
from homeostat.entrypoints.cli.rollout import ask
from homeostat.entrypoints.registries import open_registry

FINDINGS = 1
ASK = "ask"


class AskingGroup(click.Group):
    """A group whose plain form, without a command, asks."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Take what begins with no command for options and the model of `ask`."""
        if not args or args[0] not in {*self.commands, "-h", "--help"}:
            args = [ASK, *args]
        return super().parse_args(ctx, args)


@click.group(cls=AskingGroup)
def retrain() -> None:
    """Ask for a retraining: homeostat retrain [MODEL] --reason TEXT.

    It is refused while a data fault lasts. The other commands are about trainings that were.
    """


@retrain.command(ASK, hidden=True)
@click.argument("name", default="", metavar="[MODEL]")
@config_option
@model_option
@reason_option
def ask_for_one(name: str, config_path: Path, model: str, reason: str) -> None:
    """Ask for a retraining; it is refused while a data fault lasts.

    Example: homeostat retrain fraud --reason "new product"
    """
    if name and model and name != model:
        raise click.UsageError(f"one model at a time: {name} or {model}")
    ask(config_path, name or model, Request.RETRAIN, reason)


@retrain.command()
@click.argument("run", metavar="RUN|VERSION")
@config_option
@model_option
@click.option("--check", is_flag=True, help="Read the rows again, and compare; 1 if they differ.")
@json_option
@click.pass_context
def manifest(
    context: click.Context, run: str, *, config_path: Path, model: str, check: bool, as_json: bool
) -> None:
    """Show what a training, or a version, was trained on.

    With --check its rows are read from the log again, which proves or refutes it.

    Example: homeostat retrain manifest fraud-0004 --check
    """
    with deployment(config_path) as opened:
        name = opened.settings.model(model).name
        found = find_manifest(opened, name, run)
        proof = _proof(opened, found) if check else None
    if as_json:
        told = {"manifest": asdict(found) | {"coverage": found.coverage}}
        print_json(told | ({} if proof is None else _checked(proof)))
    else:
        for line in _lines(found):
            click.echo(printable(line))
        if proof is not None:
            click.echo(printable(_verdict(proof)))
    if proof is not None and not proof.holds:
        context.exit(FINDINGS)


@retrain.command("log")
@click.argument("run", default="")
@config_option
@model_option
def training_log(*, run: str, config_path: Path, model: str) -> None:
    """Print what a training on this machine printed, the newest of it; default: the latest run.

    Example: homeostat retrain log fraud-0004 -m fraud
    """
    with deployment(config_path) as opened:
        name = opened.settings.model(model).name
        latest = current.run(opened.records, name)
        run = run or (latest.run_id if latest else "")
        root = opened.settings.data_folder / "runs"
    folder = root / run
    known = [path.name for path in root.iterdir()] if root.is_dir() else []
    if not run or run not in known:
        raise NotFoundError(f"no training {run or 'of ' + name} is kept in {root}")
    for file in (OLDER_LOG, LOG):
        if (folder / file).is_file():
            for line in (folder / file).read_text(errors="replace").splitlines():
                click.echo(printable(line))


def find_manifest(opened: Deployment, model: str, run: str) -> TrainingManifest:
    """Return the manifest of a run or a version; raises NotFoundError."""
    found = opened.records.read(manifest_key(model, run), TrainingManifest)
    if found is not None:
        return found
    registry = open_registry(opened.settings, opened.clock)
    for card in registry.versions(model):
        if run in {card.version, card.run_id}:
            if card.manifest is None:
                raise NotFoundError(f"version {card.version} of {model} was kept without one")
            return card.manifest
    raise NotFoundError(f"{model} has no training run and no version {run!r}")


def _proof(opened: Deployment, found: TrainingManifest) -> Proof:
    log = open_log(opened.settings, opened.records)
    registry = open_registry(opened.settings, opened.clock)
    scorer = RegistryScorer(registry, loader(opened.settings, os.environ))
    try:
        return prove(log, scorer, opened.settings.model(found.model).spec(), found)
    finally:
        log.close()


def _lines(found: TrainingManifest) -> list[str]:
    share = "" if found.coverage is None else f" ({found.coverage:.1%} had a label)"
    lines = [
        f"run        {found.run_id} of {found.model}, parent {found.parent or 'none'}",
        f"rows       {found.rows} of {found.answered} requests{share}",
        f"window     {when(found.window.start)} to {when(found.window.end)} (UTC)",
        f"as of      {when(found.as_of)} (UTC), from the {found.origin}",
        f"content    sha256:{found.content}",
        f"schema     sha256:{found.schema}",
        f"seed       {found.seed}",
        f"code       {found.code or 'not known'}",
    ]
    for each in found.excluded:
        why = each.why or "data fault"
        lines.append(f"left out   {when(each.window.start)} to {when(each.window.end)}: {why}")
    return lines


def _checked(proof: Proof) -> dict[str, object]:
    return {"holds": proof.holds, "problem": proof.problem, "found": asdict(proof.found)}


def _verdict(proof: Proof) -> str:
    if proof.holds:
        return f"proved: the log gives the same {proof.found.rows} rows"
    return f"not proved: {proof.problem}"
