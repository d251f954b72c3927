"""``homeostat token``: who may use the API."""

from __future__ import annotations

import os
from pathlib import Path

import click

from homeostat.entrypoints.cli.options import config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.http.auth import Scope, Tokens
from homeostat.entrypoints.settings import secret as secret_of


@click.group()
def token() -> None:
    """Make, list or revoke API tokens."""


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it allows; may be given several times.",
)
@click.option(
    "--secret-env",
    metavar="VARIABLE",
    help="Take the secret from there; a token of this name that has another one is replaced.",
)
@config_option
@json_option
def create(
    *,
    name: str,
    scopes: tuple[str, ...],
    secret_env: str | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Make a token called NAME and print it, this once: only its hash is kept.

    With --secret-env nothing is printed, and to ask again changes nothing: that is for deployments
    that begin with a secret of their own.

    Example: homeostat token create my-service --scope ingest
    """
    wanted = [Scope(scope) for scope in scopes]
    if secret_env is not None:
        _keep(name, wanted, secret_env, config_path, as_json=as_json)
        return
    with deployment(config_path, create=True) as opened:
        secret = Tokens(opened.records).create(name, wanted, opened.clock.now())
    if as_json:
        print_json({"name": name, "token": secret, "scopes": scopes})
    else:
        click.echo(secret)
        click.echo("Keep it now: it cannot be shown again.", err=True)


def _keep(
    name: str, scopes: list[Scope], variable: str, config_path: Path, *, as_json: bool
) -> None:
    with deployment(config_path, create=True) as opened:
        found = secret_of(os.environ, variable, "--secret-env", config_path)
        new = Tokens(opened.records).keep(name, scopes, found, opened.clock.now())
    if as_json:
        print_json({"name": name, "scopes": scopes, "changed": new})
    else:
        click.echo(f"token {name!r} {'is kept' if new else 'is as it was'}")


@token.command("list")
@config_option
@json_option
def list_tokens(*, config_path: Path, as_json: bool) -> None:
    """List the tokens' names and scopes.

    Example: homeostat token list
    """
    with deployment(config_path, create=True) as opened:
        found = Tokens(opened.records).all()
    if as_json:
        rows = [{"name": t.name, "scopes": t.scopes, "created": t.created} for t in found]
        print_json({"tokens": rows})
        return
    cells = ((t.name, ", ".join(t.scopes), when(t.created)) for t in found)
    print_table(("name", "scopes", "made"), cells, "no tokens: only this machine may use the API")


@token.command()
@click.argument("name")
@config_option
def revoke(name: str, config_path: Path) -> None:
    """Make the token called NAME worthless, at once.

    Example: homeostat token revoke my-service
    """
    with deployment(config_path, create=True) as opened:
        Tokens(opened.records).revoke(name)
    click.echo(f"token {name!r} is revoked")
