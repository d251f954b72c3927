"""``homeostat demo``: the whole loop on simulated card-fraud traffic."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click
from rich.console import Console

from homeostat.domain.effect import Notify
from homeostat.domain.errors import HomeostatError, UserError
from homeostat.entrypoints.cli.output import print_json
from homeostat.entrypoints.demo.play import Play
from homeostat.entrypoints.demo.score import Score, score
from homeostat.entrypoints.demo.server import Client
from homeostat.entrypoints.demo.stage import MODEL, Stage, set_stage
from homeostat.entrypoints.demo.story import Story, story
from homeostat.entrypoints.demo.tell import Teller, as_values, table

START = datetime(2024, 1, 8, tzinfo=UTC)  # a Monday; the 15th is a payday


@dataclass
class Receiver:
    """The on-call person of the demo: sees notifications once there is a screen for them."""

    teller: Teller | None = None

    def send(self, notice: Notify) -> None:
        """Show a notification."""
        if self.teller is not None:
            self.teller.send(notice)


@click.command()
@click.option("--seed", default=7, show_default=True, help="Same seed, same story, same table.")
@click.option("--port", default=0, help="Port of the live page; default: a free one.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="New folder for everything; default: temporary."
)
@click.option("--keep", is_flag=True, help="Leave the live page up at the end.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def demo(*, seed: int, port: int, data: Path | None, keep: bool, as_json: bool) -> int:
    """Play eight weeks of card-fraud traffic through the real parts.

    Quiet weeks, a broken upstream, a new kind of fraud, a bad version pushed by hand, and a model
    that hangs. Gateway, prediction log, detectors, alerting, retraining, rollout and records are
    the real ones; only the clock is simulated. Ends with a table of what was found and done.

    Exit code 1 if an event was not handled or an alarm was false.

    Example: homeostat demo --seed 7 --port 8420
    """
    folder = _folder(data)
    screen = Console(stderr=as_json)
    told = story(START)
    receiver = Receiver()
    stage = set_stage(folder, START, seed, port, receiver)
    try:
        stage.server.start()
        screen.print(f"Live page: [bold]{stage.url}/[/]  (data in {folder})")
        found = _play(stage, told, receiver, screen)
        if as_json:
            print_json(as_values(found))
        else:
            _end(stage, found, screen)
        if keep:
            screen.print("The page stays up; Ctrl-C ends it.")
            stage.server.join()
    finally:
        stage.close()
    return 0 if found.handled == len(found.outcomes) and not found.false_alarms else 1


def _folder(data: Path | None) -> Path:
    if data is None:
        return Path(tempfile.mkdtemp(prefix="homeostat-demo-"))
    if data.exists() and any(data.iterdir()):
        raise UserError(f"{data} is not empty; give a new folder to --data")
    data.mkdir(parents=True, exist_ok=True)
    return data


def _play(stage: Stage, told: Story, receiver: Receiver, screen: Console) -> Score:
    with screen.status("Training the first model on four weeks of history ..."):
        card = stage.adopt_first()
    stage.engine.tick(told.start)
    screen.print(f"Version {card.version} serves. Eight weeks begin on {told.start:%A %d %B %Y}.")
    client = Client(stage.server.port)
    try:
        with Teller(screen, told) as teller:
            receiver.teller = teller
            played = Play(stage, told, client).run(teller.progress)
    finally:
        client.close()
    if played.problems:
        raise HomeostatError(f"the engine reported problems: {played.problems[0]}")
    screen.print(
        f"{played.payments:,} payments answered ({_shares(played.answered_by)}), "
        f"{played.labels:,} labels, {max(played.seconds.values(), default=0.0):.0f} s real."
    )
    return score(stage.deployment.records, told, played)


def _shares(answered: dict[str, int]) -> str:
    total = max(sum(answered.values()), 1)
    return ", ".join(f"{tier} {count / total:.2%}" for tier, count in sorted(answered.items()))


def _end(stage: Stage, found: Score, screen: Console) -> None:
    screen.print(table(found))
    handled, events = found.handled, len(found.outcomes)
    screen.print(f"{handled} of {events} events handled, false alarms: {len(found.false_alarms)}")
    for alarm in found.false_alarms:
        screen.print(f"  {alarm.at:%Y-%m-%d %H:%M} {alarm.subject}: {alarm.reason}", markup=False)
    screen.print(f"Prediction log: {stage.deployment.log.root}")
    screen.print(f"Report: {stage.url}/reports/{MODEL}")
    screen.print(f"Look around: homeostat status -c {stage.deployment.settings.file}")
