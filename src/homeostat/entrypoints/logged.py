"""Windows of a deployment's prediction log, as data to profile, compare and evaluate."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_log, open_records
from homeostat.entrypoints.settings import load

CONFIG = Path("homeostat.yaml")
PREFIX = "log:"
WRITE = "write log:MODEL@2026-10-01/2026-11-01, or one day, or times such as 2026-10-01T06:00"

_FORM = re.compile(r"log:(?P<model>.+)@(?P<start>[^@/]+)(?:/(?P<end>[^@/]+))?")
_SQLITE = "sqlite:///"


@dataclass(frozen=True, slots=True)
class LogWindow:
    """Rows that a model answered in a stretch of time.

    Attributes
    ----------
    model : str
    window : Window
        Without its end.
    version : str
        Only this one; empty: all.
    config : Path
        The deployment's configuration.
    """

    model: str
    window: Window
    version: str = ""
    config: Path = CONFIG

    @classmethod
    def parse(cls, text: str, config: Path = CONFIG) -> LogWindow:
        """Read an address such as ``log:fraud@2026-10-01/2026-11-01``; times are in UTC.

        Raises
        ------
        DataError
            If it is none.

        Examples
        --------
        >>> str(LogWindow.parse("log:fraud@2026-10-01").window)
        '2026-10-01T00:00/2026-10-02T00:00'
        """
        found = _FORM.fullmatch(text)
        if not found:
            raise DataError(f"{text!r} names no window of a log; {WRITE}")
        start = _moment(found["start"], text)
        end = _moment(found["end"], text) if found["end"] else start + timedelta(days=1)
        if end <= start:
            raise DataError(f"{text!r} ends before it starts; {WRITE}")
        return cls(found["model"], Window(start, end), config=config)

    @contextmanager
    def opened(self) -> Iterator[tuple[FilePredictionLog, ModelSpec, datetime]]:
        """Open the log; give the model and the time as well.

        Raises
        ------
        ConfigError, NotFoundError
            If the configuration is wrong, has no such model, or nothing is recorded yet.
        """
        settings = load(self.config)
        spec = settings.model(self.model).spec()
        url = settings.records_url(os.environ)
        if url.startswith(_SQLITE) and not Path(url.removeprefix(_SQLITE)).exists():
            raise NotFoundError(f"nothing is recorded for {self.config} yet")
        clock = SystemClock()
        records = open_records(settings, clock)
        try:
            log = open_log(settings, records)
            try:
                yield log, spec, clock.now()
            finally:
                log.close()
        finally:
            records.close()


def as_window(data: object, config: Path = CONFIG) -> LogWindow | None:
    """Return the window of a log that the data is, if it is one; raises DataError."""
    if isinstance(data, LogWindow):
        return data
    if isinstance(data, str) and data.startswith(PREFIX):
        return LogWindow.parse(data, config)
    return None


def _moment(text: str, whole: str) -> datetime:
    try:
        if len(text) == len("2026-10-01"):
            return datetime.combine(date.fromisoformat(text), time(), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise DataError(f"{text!r} in {whole!r} is no time; {WRITE}") from None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
