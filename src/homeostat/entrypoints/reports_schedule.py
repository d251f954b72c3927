"""Makes reports on a schedule, keeps them in a folder, and mails them; each of them once."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from homeostat.adapters.durable import make_folder, publish
from homeostat.domain.clock import Clock
from homeostat.domain.errors import DeliveryError, HomeostatError, StorageError
from homeostat.engine.ports import Records
from homeostat.entrypoints.reports import FORMS, Reports
from homeostat.entrypoints.settings import reports as parts
from homeostat.entrypoints.settings.hours import DAYS
from homeostat.reports.sheet import Sheet

if TYPE_CHECKING:
    from homeostat.adapters.notifiers.mail import Letter
    from homeostat.entrypoints.bootstrap import Deployment

KEPT = ("html", "json")
NAME = re.compile(r"(weekly|monthly)-(\d{4}-\d{2}-\d{2})\.(html|json|md)")
MOST_TRIES = 20
"""Times that a mail is tried before its receiver goes without this report."""
PATIENCE = timedelta(minutes=15)
"""Time between two tries."""


class Postbox(Protocol):
    """Whatever takes documents."""

    def post(self, letter: Letter) -> str:
        """Send it; raises DeliveryError."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one schedule has come.

    Attributes
    ----------
    due : datetime
        The moment of the newest report that was made, or from which on reports are made.
    waiting : tuple of str
        Receivers that have not got it.
    tries : int
        Mails of it that failed in a row.
    tried : datetime or None
        When the last one failed.
    """

    due: datetime
    waiting: tuple[str, ...] = ()
    tries: int = 0
    tried: datetime | None = None


def progress_key(kind: str) -> str:
    """Return the state key of a schedule's progress."""
    return f"report:{kind}"


def last_due(part: parts.Weekly | parts.Monthly, zone: str, now: datetime) -> datetime:
    """Return the newest moment, not after `now`, at which a report is made.

    Examples
    --------
    >>> now = datetime(2024, 3, 13, 12, tzinfo=UTC)
    >>> last_due(parts.Weekly(day="mon", hour=7), "Europe/Berlin", now).isoformat()
    '2024-03-11T06:00:00+00:00'
    >>> last_due(parts.Monthly(day=1), "UTC", now).isoformat()
    '2024-03-01T07:00:00+00:00'
    """
    local = now.astimezone(ZoneInfo(zone))

    def at(day: date) -> datetime:
        return datetime.combine(day, time(part.hour), ZoneInfo(zone)).astimezone(UTC)

    day = local.date()
    while not _on(part, day) or at(day) > now:
        day -= timedelta(days=1)
    return at(day)


def _on(part: parts.Weekly | parts.Monthly, day: date) -> bool:
    if isinstance(part, parts.Weekly):
        return DAYS[day.weekday()] == part.day
    return day.day == part.day


@dataclass(frozen=True)
class Schedule:
    """Makes what is due.

    A report is made of the moment that it was due at, however late that is; of several that were
    missed, the newest. The first one is made at the first moment after it was configured. A mail
    that fails is tried again, `MOST_TRIES` times.

    Parameters
    ----------
    settings : Reports
        The part of homeostat.yaml.
    folder : Path
    reports : Reports
    records : Records
        Where progress is kept, so that each report is made and mailed once.
    mails : mapping of receiver name to Postbox
    models : tuple of str
        All that there are.
    clock : Clock
    """

    settings: parts.Reports
    folder: Path
    reports: Reports
    records: Records
    mails: Mapping[str, Postbox]
    models: tuple[str, ...]
    clock: Clock

    def look(self) -> tuple[str, ...]:
        """Make and mail what is due, delete what is old, and return what went wrong."""
        problems: list[str] = []
        now = self.clock.now()
        for kind, part in (("weekly", self.settings.weekly), ("monthly", self.settings.monthly)):
            if part is None:
                continue
            try:
                self._see_to(kind, part, now, problems)
            except (HomeostatError, OSError) as error:
                problems.append(f"the {kind} report: {error}")
        try:
            self._tidy(now)
        except OSError as error:
            problems.append(f"old reports in {self.folder} cannot be deleted: {error.strerror}")
        return tuple(problems)

    def _see_to(
        self, kind: str, part: parts.Weekly | parts.Monthly, now: datetime, problems: list[str]
    ) -> None:
        due = last_due(part, self.settings.zone, now)
        progress = self.records.read(progress_key(kind), Progress)
        if progress is None:
            self._save(kind, Progress(due))
            return
        if progress.due < due:
            self._make(kind, part, due)
            progress = Progress(due, part.receivers)
            self._save(kind, progress)
        if progress.waiting and (progress.tried is None or now - progress.tried >= PATIENCE):
            self._mail(kind, progress, now, problems)

    def _save(self, kind: str, progress: Progress) -> None:
        with self.records.begin() as uow:
            uow.load(progress_key(kind), Progress)
            uow.save(progress_key(kind), progress)

    def _made(self, kind: str, part: parts.Scheduled, due: datetime) -> Sheet:
        models = [name for name in self.models if not part.models or name in part.models]
        return self.reports.make(kind, models, due)

    def _make(self, kind: str, part: parts.Scheduled, due: datetime) -> None:
        made = self._made(kind, part, due)
        try:
            make_folder(self.folder)
            for form in KEPT:
                path = self.folder / f"{_stem(kind, due)}.{form}"
                temporary = path.with_suffix(".part")
                temporary.write_bytes(FORMS[form](made))
                publish(temporary, path)
            text = self.folder / f"{_stem(kind, due)}.md"
            temporary = text.with_suffix(".part")
            temporary.write_text(_letter_text(made), encoding="utf-8")
            publish(temporary, text)
        except OSError as error:
            raise StorageError(f"{self.folder} cannot be written: {error.strerror}") from error

    def _mail(self, kind: str, progress: Progress, now: datetime, problems: list[str]) -> None:
        letter = self._letter(kind, progress.due)
        waiting, failed = list(progress.waiting), False
        for name in progress.waiting:
            try:
                box = self.mails.get(name)
                if box is not None:
                    box.post(letter)
                waiting.remove(name)
            except DeliveryError as error:
                failed = True
                problems.append(f"the {kind} report to {name}: {error}")
        tries = progress.tries + failed
        if tries >= MOST_TRIES:
            problems.append(f"the {kind} report is given up for {', '.join(waiting)}; it is kept")
            waiting = []
        self._save(kind, replace(progress, waiting=tuple(waiting), tries=tries, tried=now))

    def _letter(self, kind: str, due: datetime) -> Letter:
        from homeostat.adapters.notifiers.mail import Letter  # noqa: PLC0415 - takes long

        stem = _stem(kind, due)
        subject, _, text = (self.folder / f"{stem}.md").read_text("utf-8").partition("\n")
        html = (self.folder / f"{stem}.html").read_bytes()
        return Letter(f"report:{stem}", subject, text.strip(), html, f"{stem}.html", due)

    def _tidy(self, now: datetime) -> None:
        """Delete reports that are older than they are kept, and nothing else."""
        oldest = (now - self.settings.keep).date()
        for path in sorted(self.folder.glob("*")) if self.folder.is_dir() else ():
            found = NAME.fullmatch(path.name)
            if found and date.fromisoformat(found[2]) < oldest:
                path.unlink(missing_ok=True)


def _stem(kind: str, due: datetime) -> str:
    return f"{kind}-{due:%Y-%m-%d}"


def _letter_text(made: Sheet) -> str:
    """Return a mail's subject, and below it what a reader in a hurry needs."""
    lines = [f"{made.title}. {made.headline}"]
    for part in made.parts:
        lines += ["", part.name, part.verdict, *(f"- {word}" for word in part.lead)]
    lines += ["", *(f"Missing: {problem}" for problem in made.problems)]
    return "\n".join([*lines, "The whole report is enclosed as one HTML file.", ""])


def chores(
    deployment: Deployment, stopping: Callable[[], bool]
) -> Callable[[], tuple[str, ...]] | None:
    """Return what a control plane does beside its ticks: label files and scheduled reports."""
    labels, schedule = deployment.label_files(stopping), _schedule(deployment)
    work = [] if labels is None else [labels]
    work += [] if schedule is None else [schedule.look]
    if not work:
        return None
    return lambda: tuple(problem for look in work for problem in look())


def _schedule(deployment: Deployment) -> Schedule | None:
    from homeostat.adapters.notifiers.mail import MailNotifier  # noqa: PLC0415 - takes long
    from homeostat.entrypoints.receivers import receivers  # noqa: PLC0415

    settings = deployment.settings
    asked = [part for part in (settings.reports.weekly, settings.reports.monthly) if part]
    if not asked:
        return None
    names = {name for part in asked for name in part.receivers}
    found = receivers(settings, deployment.clock, os.environ, names)
    made = Reports(
        deployment.records, deployment.log, deployment.registry, deployment.plans, deployment.clock
    )
    return Schedule(
        settings.reports,
        settings.reports_folder,
        made,
        deployment.records,
        {name: box for name, box in found.items() if isinstance(box, MailNotifier)},
        tuple(deployment.plans),
        deployment.clock,
    )
