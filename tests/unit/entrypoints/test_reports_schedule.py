"""Reports that are made on a schedule, kept and mailed."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from homeostat.adapters.notifiers.mail import Letter
from homeostat.domain.errors import (
    ConfigError,
    DeliveryError,
)
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.reports import Reports
from homeostat.entrypoints.reports_schedule import MOST_TRIES, PATIENCE, Schedule, chores, last_due
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings import reports as parts
from homeostat.simulation.clock import SimulatedClock
from unit.entrypoints.reporting import CONFIG, DAY, NOW, faked, planned, populate


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "homeostat.yaml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def plans(here: Path) -> dict[str, ModelPlan]:
    return planned(here)


@pytest.fixture
def light(plans: dict[str, ModelPlan]) -> Reports:
    return faked(plans)


@dataclass
class Box:
    """A receiver of letters that may be away."""

    away: bool = False
    letters: list[Letter] = field(default_factory=list)

    def post(self, letter: Letter) -> str:
        if self.away:
            raise DeliveryError("mail: no route", retry=True)
        self.letters.append(letter)
        return "taken"


def schedule(reports: Reports, folder: Path, **boxes: Box) -> tuple[Schedule, SimulatedClock]:
    weekly = parts.Weekly(day="mon", hour=7, receivers=tuple(boxes))
    asked = parts.Reports(keep=timedelta(days=20), weekly=weekly, monthly=parts.Monthly())
    clock = reports.clock
    assert isinstance(clock, SimulatedClock)
    models = tuple(reports.plans)
    return Schedule(asked, folder, reports, reports.records, boxes, models, clock), clock


def test_each_report_is_made_kept_and_mailed_once(light: Reports, tmp_path: Path) -> None:
    populate(light)
    folder, box = tmp_path / "kept", Box()
    work, clock = schedule(light, folder, post=box)
    assert work.look() == ()
    assert not folder.exists(), "the past is not told of when a schedule is new"
    clock.advance(5 * DAY)
    assert work.look() == work.look() == ()
    (letter,) = box.letters
    assert letter.subject == "Weekly report of 2 models. 2 models: 2 unknown"
    assert letter.filename == "weekly-2024-03-18.html"
    assert letter.html == (folder / "weekly-2024-03-18.html").read_bytes()
    assert "Incidents: " in letter.text
    assert sorted(path.suffix for path in folder.iterdir()) == [".html", ".json", ".md"]
    (folder / "mine.html").write_text("not ours")
    clock.advance(30 * DAY)
    assert work.look() == ()
    assert not (folder / "weekly-2024-03-18.html").exists()
    assert (folder / "mine.html").exists()
    assert {path.stem for path in folder.iterdir()} == {
        "weekly-2024-04-15", "monthly-2024-04-01", "mine",
    }  # fmt: skip
    assert len(box.letters) == 2, "of several that were missed the newest is made"


def test_a_receiver_that_is_away_gets_it_later_and_others_once(
    light: Reports, tmp_path: Path
) -> None:
    away, here = Box(away=True), Box()
    work, clock = schedule(light, tmp_path / "kept", away=away, here=here)
    work.look()
    clock.advance(5 * DAY)
    assert work.look() == ("the weekly report to away: mail: no route",)
    assert work.look() == (), "not at every tick"
    away.away = False
    clock.advance(PATIENCE)
    assert work.look() == ()
    assert (len(away.letters), len(here.letters)) == (1, 1)
    away.away = True
    clock.advance(7 * DAY)
    for _ in range(MOST_TRIES):
        said = work.look()
        clock.advance(PATIENCE)
    assert said[-1] == "the weekly report is given up for away; it is kept"
    assert work.look() == ()


def test_a_folder_that_cannot_be_written_is_told_and_tried_again(
    light: Reports, tmp_path: Path
) -> None:
    folder = tmp_path / "kept"
    folder.write_text("a file")
    box = Box()
    work, clock = schedule(light, folder, post=box)
    work.look()
    clock.advance(5 * DAY)
    assert "cannot be written" in work.look()[0]
    folder.unlink()
    assert work.look() == ()
    assert len(box.letters) == 1


def test_a_control_plane_makes_what_its_settings_ask_for(here: Path) -> None:
    file, clock = here / "homeostat.yaml", SimulatedClock(NOW)
    quiet = open_deployment(load(file), clock, durable=False)
    assert chores(quiet, lambda: False) is None
    quiet.close()
    file.write_text(CONFIG + "reports: {weekly: {receivers: [post]}}\n")
    deployment = open_deployment(load(file), clock, durable=False)
    work = chores(deployment, lambda: False)
    assert work is not None
    assert work() == ()
    clock.advance(7 * DAY)
    (problem,) = work()
    assert problem.startswith("the weekly report to post: mail localhost: ")
    assert (here / "homeostat-data" / "reports" / "weekly-2024-03-18.html").is_file()
    deployment.close()


def test_hours_are_those_of_the_zone_also_when_clocks_change() -> None:
    part = parts.Weekly(day="sun", hour=7)
    before, after = datetime(2024, 3, 30, tzinfo=UTC), datetime(2024, 3, 31, 6, tzinfo=UTC)
    assert last_due(part, "Europe/Berlin", before) == datetime(2024, 3, 24, 6, tzinfo=UTC)
    assert last_due(part, "Europe/Berlin", after) == datetime(2024, 3, 31, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{weekly: {receivers: [pots]}}", "no receiver is named 'pots'"),
        ("{weekly: {receivers: [term]}}", "reports are files"),
        ("{monthly: {models: [frad]}}", "no model is named 'frad'"),
        ("{monthly: {day: 31}}", "less than or equal to 28"),
        ("{weekly: {day: someday}}", "someday"),
    ],
    ids=["receiver", "kind", "model", "day", "name"],
)
def test_a_wrong_schedule_is_refused_with_its_place(here: Path, text: str, words: str) -> None:
    (here / "homeostat.yaml").write_text(f"{CONFIG}reports: {text}\n")
    with pytest.raises(ConfigError, match=words):
        load(here / "homeostat.yaml")
    (here / "homeostat.yaml").write_text(f"{CONFIG}reports: {{folder: ours, weekly: {{}}}}\n")
    assert load(here / "homeostat.yaml").reports_folder == here / "ours"
