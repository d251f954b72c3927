"""``homeostat register``: a version that was trained elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

import click

from homeostat.adapters.models.loading import FLAVOURS, flavour_of
from homeostat.domain.errors import ArtifactError, UserError
from homeostat.domain.model import ModelVersion
from homeostat.entrypoints.artifacts import loader
from homeostat.entrypoints.cli.options import config_option, deployment, model_option
from homeostat.entrypoints.registries import open_registry


@click.command()
@click.argument("artifact", type=click.Path(path_type=Path))
@config_option
@model_option
@click.option("--version", default="", help="Its name; default: the next free number.")
@click.option("--flavour", type=click.Choice(sorted(FLAVOURS)), help="Default: told by the files.")
def register(
    *, artifact: Path, config_path: Path, model: str, version: str, flavour: str | None
) -> None:
    """Keep the model in the folder ARTIFACT as a version, after loading it once.

    Nothing is served by it yet: roll it out, once the model has a first version (homeostat adopt),
    or name it as a lighter version of the fallback.

    Example: homeostat register ./artifact -m fraud && homeostat rollout submit 7 -m fraud
    """
    with deployment(config_path, create=True) as opened:
        spec = opened.settings.model(model).spec()
        kind = flavour or flavour_of(artifact)
        if not kind:
            raise UserError(f"{artifact} holds no model file that is known; give --flavour")
        try:
            features = loader(opened.settings, os.environ)(artifact, kind).features
        except ArtifactError as error:
            raise UserError(str(error)) from error
        if unknown := sorted(set(features) - set(spec.schema.names)):
            raise UserError(f"{artifact} takes {', '.join(unknown)}, not in {spec.name}'s schema")
        registry = open_registry(opened.settings, opened.clock)
        card = ModelVersion(spec.name, version, kind, "", opened.clock.now())
        card = registry.register(card, artifact)
    click.echo(f"{card.model}: version {card.version} ({card.flavour}) is registered")
