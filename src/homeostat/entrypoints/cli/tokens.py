"""``homeostat token``: who may use the API."""

from __future__ import annotations

from pathlib import Path

import click

from homeostat.entrypoints.cli.options import config_option, deployment
from homeostat.entrypoints.cli.output import json_option, print_json, print_table, when
from homeostat.entrypoints.http.auth import Scope, Tokens


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
@config_option
@json_option
def create(*, name: str, scopes: tuple[str, ...], config_path: Path, as_json: bool) -> None:
    """Make a token called NAME and print it, this once: only its hash is kept."""
    with deployment(config_path, create=True) as opened:
        wanted = [Scope(scope) for scope in scopes]
        secret = Tokens(opened.records).create(name, wanted, opened.clock.now())
    if as_json:
        print_json({"name": name, "token": secret, "scopes": scopes})
    else:
        click.echo(secret)
        click.echo("Keep it now: it cannot be shown again.", err=True)


@token.command("list")
@config_option
@json_option
def list_tokens(*, config_path: Path, as_json: bool) -> None:
    """List the tokens' names and scopes."""
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
    """Make the token called NAME worthless, at once."""
    with deployment(config_path, create=True) as opened:
        Tokens(opened.records).revoke(name)
    click.echo(f"token {name!r} is revoked")
