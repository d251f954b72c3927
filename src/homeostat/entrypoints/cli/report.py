"""``homeostat report``: weekly and monthly reports, drift reports and model cards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import TypeVar

import click

from homeostat.domain.errors import DataError, UserError
from homeostat.entrypoints.bootstrap import open_log
from homeostat.entrypoints.cli.options import config_option, deployment
from homeostat.entrypoints.registries import open_registry
from homeostat.entrypoints.reports import FORMS, Reports
from homeostat.entrypoints.reports_pdf import pdf
from homeostat.entrypoints.settings.plan import model_plan
from homeostat.reports.sheet import Sheet, to_html

F = TypeVar("F", bound=Callable[..., object])

FORMATS = (*FORMS, "pdf")
HELP = {
    "weekly": """Tell the seven days of MODEL up to now, or --as-of: how good it was and is thought
    to be, what drifted, what it was worth, incidents, what was done by itself and what that
    gained, and what it cost.

    Example: homeostat report weekly fraud --as-of 2026-03-09 -o week.html""",
    "monthly": """Tell the last whole calendar month of MODEL: what it lives on, whether to retrain
    and what that may gain, which alarms were true and what of the budget was used, and how old
    versions are.

    Example: homeostat report monthly --all -o month.pdf""",
    "drift": """Tell what drifted in the seven days of MODEL up to now, or --as-of.

    Example: homeostat report drift fraud -o drift.html""",
    "card": """Write the card of MODEL's champion: what it was trained on, where it comes from, how
    good it is, and how it came to serve.

    Example: homeostat report card fraud -o card.md""",
}

SHORT = {
    "weekly": "Tell the seven days up to now.",
    "monthly": "Tell the last whole calendar month.",
    "drift": "Tell what drifted in seven days.",
    "card": "Write the card of the champion.",
}


@click.group()
def report() -> None:
    """Write what happened to a model in a time, as one file that needs no network.

    Example: homeostat report weekly fraud -o week.html
    """


def _options(command: F) -> F:
    """Add what all reports take."""
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        help="File to write; its ending says the format. Default: print it.",
    )
    form = click.option(
        "--format", "form", type=click.Choice(FORMATS), help="Default: as -o says, else md."
    )
    as_of = click.option(
        "--as-of", metavar="TIME", help="When it ends, such as 2026-03-09; default: now."
    )
    every = click.option("--all", "every", is_flag=True, help="All models, in one file.")
    model = click.argument("model", default="")
    return model(config_option(every(as_of(form(output(command))))))


def _command(kind: str) -> click.Command:
    def write(
        *,
        model: str,
        config_path: Path,
        every: bool,
        as_of: str | None,
        form: str | None,
        output: Path | None,
    ) -> None:
        chosen = form or _format_of(output)
        if chosen == "pdf" and output is None:
            raise UserError("a PDF is not printed to a terminal; name a file with -o")
        at = None if as_of is None else moment(as_of)
        with _reports(config_path) as (reports, names, only):
            if every and model:
                raise UserError(f"either --all or {model}, not both")
            made = reports.make(kind, names if every else [only(model)], at)
        _deliver(_bytes(made, chosen), output)

    return click.command(kind, help=HELP[kind], short_help=SHORT[kind])(_options(write))


for _kind in HELP:
    report.add_command(_command(_kind))


@contextmanager
def _reports(config: Path) -> Iterator[tuple[Reports, list[str], Callable[[str], str]]]:
    """Open what reports are made from; give the models' names, and how to choose one of them."""
    with deployment(config) as opened:
        settings = opened.settings
        names = [model.name for model in settings.models]
        plans = {name: model_plan(settings, name) for name in names}
        log = open_log(settings, opened.records)
        try:
            registry = open_registry(settings, opened.clock)
            reports = Reports(opened.records, log, registry, plans, opened.clock)
            yield reports, names, lambda name: settings.model(name).name
        finally:
            log.close()


def moment(text: str) -> datetime:
    """Read a day or a time; one without a zone is in UTC.

    Raises
    ------
    DataError
        If it is neither.

    Examples
    --------
    >>> moment("2026-03-09").isoformat()
    '2026-03-09T00:00:00+00:00'
    """
    try:
        if len(text) == len("2026-03-09"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        found = datetime.fromisoformat(text)
    except ValueError:
        wanted = "write a day such as 2026-03-09, or a time such as 2026-03-09T06:00"
        raise DataError(f"--as-of is {text!r}; {wanted}") from None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)


def _format_of(output: Path | None) -> str:
    if output is None:
        return "md"
    ending = output.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise UserError(f"{output} ends in none of {', '.join(FORMATS)}; give --format")
    return ending


def _bytes(made: Sheet, form: str) -> bytes:
    return pdf(to_html(made)) if form == "pdf" else FORMS[form](made)


def _deliver(body: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.write(body.decode())
        sys.stdout.write("\n")
        return
    try:
        output.write_bytes(body)
    except OSError as error:
        raise DataError(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written to {output}", err=True)
