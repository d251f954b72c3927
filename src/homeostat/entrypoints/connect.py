"""``hs.connect``: what a control plane knows, as tables to work with."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias, cast

import pyarrow as pa
import pyarrow.compute as pc

from homeostat.adapters.clock import SystemClock
from homeostat.alerting.episode import IncidentState
from homeostat.domain.clock import Clock
from homeostat.domain.decision import Decision
from homeostat.domain.errors import DataError, NotFoundError
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.entrypoints.connect_frames import Frame, frame_of
from homeostat.entrypoints.connect_wire import Wire
from homeostat.entrypoints.settings.values import parse_duration

Moment: TypeAlias = "datetime | date | timedelta | str | None"
Items: TypeAlias = "list[dict[str, object]]"
Time: TypeAlias = Callable[[Mapping[str, object]], datetime]

MOST = 10_000
"""What one answer of the server can list."""
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
END = datetime(9000, 1, 1, tzinfo=UTC)
LEAST = timedelta(microseconds=1)
LABELS = ("prediction_id", "timestamp", "version", "label", "arrival")


def connect(url: str, token: str = "", timeout: float = 60.0) -> Connection:
    """Connect to a control plane (``homeostat serve``), to read what it knows.

    Parameters
    ----------
    url : str
        Such as ``http://127.0.0.1:8420``.
    token : str
        With the scope ``read``; by default the environment's ``HOMEOSTAT_TOKEN``. On the server's
        own machine it may go without, if there are no tokens.
    timeout : float
        Seconds that each wait for an answer may take.

    Raises
    ------
    HomeostatError
        If nothing answers there, or not as Homeostat does; PermissionDeniedError without a token
        that it knows.

    Examples
    --------
    >>> connect("http://127.0.0.1:1")
    Traceback (most recent call last):
        ...
    homeostat.domain.errors.HomeostatError: http://127.0.0.1:1 cannot be reached: ...
    """
    given = token or os.environ.get("HOMEOSTAT_TOKEN", "")
    found = Connection(Wire(url, given, timeout))
    found.names  # noqa: B018 - asks, so that a wrong address or token is told of here
    return found


@dataclass(frozen=True, slots=True)
class Connection:
    """A control plane that answered."""

    wire: Wire
    clock: Clock = field(default_factory=SystemClock, repr=False)

    @property
    def names(self) -> list[str]:
        """The names of its models."""
        return [str(each["name"]) for each in self._models()]

    @property
    def models(self) -> Frame:
        """Its models and where each stands."""
        rows = [
            {
                "name": each["name"],
                "task": each["task"],
                **_rollout(each["rollout"]),
                "open_incidents": each["open_incidents"],
                "features": each["features"],
            }
            for each in self._models()
        ]
        texts, lists = pa.string(), pa.list_(pa.string())
        named = ("name", "task", "stage", "champion", "challenger")
        schema = [*((n, texts) for n in named), ("open_incidents", lists), ("features", lists)]
        return Frame(pa.Table.from_pylist(rows, schema=pa.schema(schema)), "models")

    def model(self, name: str) -> Model:
        """Return one of its models; raises NotFoundError, which names those there are."""
        names = self.names
        if name not in names:
            known = ", ".join(names) or "none"
            raise NotFoundError(f"no model named {name!r}; there are: {known}")
        return Model(name, self.wire, self.clock)

    def _models(self) -> Items:
        return _items(self.wire.get("models"), "models")

    def _repr_html_(self) -> str:
        return self.models._repr_html_()


@dataclass(frozen=True, slots=True)
class Model:
    """A model of a control plane.

    Times (`since`, `until`) are aware datetimes, dates (their midnight in UTC), texts of either
    (``"2026-11-01"``, UTC if no zone is named), or how long ago it was: ``"7d"``, a timedelta.
    `since` is included, `until` is not; without them it is all that there is. However many rows
    there are, all of them come: pages are asked for one after the other.
    """

    name: str
    wire: Wire = field(repr=False)
    clock: Clock = field(repr=False)

    def predictions(
        self, since: Moment = None, until: Moment = None, *, labels: bool = False
    ) -> Frame:
        """Return logged predictions by time, with their features; with `labels`, those too."""
        found = list(self.pages(since, until, labels=labels))
        return Frame(pa.concat_tables([page.arrow for page in found]), self._named("predictions"))

    def pages(
        self, since: Moment = None, until: Moment = None, *, labels: bool = False
    ) -> Iterator[Frame]:
        """Yield predictions as `predictions` does, 50,000 or so at a time: one page at least."""
        asked = self._period(since, until)
        while True:
            body, further = self.wire.read(
                "models", self.name, "rows", labels=str(labels).lower(), **asked
            )
            try:
                with pa.ipc.open_stream(body) as stream:
                    rows = stream.read_all()
            except pa.ArrowException as error:
                raise DataError(f"the rows of {self.name} came damaged: {error}; again?") from error
            yield Frame(rows, self._named("predictions"))
            if not further:
                return
            asked["since"] = further

    def labels(self, since: Moment = None, until: Moment = None) -> Frame:
        """Return labels (and outcomes) of the predictions made in the period, by their times."""
        found = [
            page.arrow.filter(pc.is_valid(page.arrow["label"]))
            for page in self.pages(since, until, labels=True)
        ]
        rows = pa.concat_tables(found)
        place = rows.column_names.index("label")
        outcomes = [name for name in rows.column_names[place:] if name not in LABELS]
        return Frame(rows.select([*LABELS, *outcomes]), self._named("labels"))

    def metrics(
        self,
        name: str = "",
        since: Moment = None,
        until: Moment = None,
        segment: str | None = "",
    ) -> Frame:
        """Return metrics by window, with intervals: of all rows, of a segment, or (None) of each.

        `name` asks for one metric only. Periods are about the start of windows.
        """
        more = {"name": name} if name else {}
        more |= {"segment": "*" if segment is None else segment} if segment != "" else {}
        found = self._listed("metrics", since, until, _start, **more)
        return frame_of(MetricPoint, found, self._named("metrics"))

    def verdicts(self, since: Moment = None, until: Moment = None) -> Frame:
        """Return what the monitors said, of windows that start in the period."""
        found = self._listed("verdicts", since, until, _start)
        return frame_of(Verdict, found, self._named("verdicts"))

    def decisions(self, since: Moment = None, until: Moment = None) -> Frame:
        """Return what was decided, by whom and why, in the order of time."""
        found = self._listed("decisions", since, until, _at)
        return frame_of(Decision, found, self._named("decisions"))

    def incidents(self, *, only_open: bool = False) -> Frame:
        """Return where the incident of each rule stands; with `only_open`, of those that go on."""
        found = _items(self.wire.get("models", self.name, "incidents", limit=MOST), "incidents")
        kept = [item for item in found if item["open"] or not only_open]
        return frame_of(IncidentState, kept, self._named("incidents"), more=("key",))

    def diagnosis(self) -> dict[str, object]:
        """Return what changed and why, as the server's JSON says it."""
        return self.wire.get("models", self.name, "diagnosis")

    def _named(self, what: str) -> str:
        return f"{what} of {self.name}"

    def _period(self, since: Moment, until: Moment) -> dict[str, str]:
        given = {"since": since, "until": until}
        now = self.clock.now()
        return {k: _moment(v, k, now).isoformat() for k, v in given.items() if v is not None}

    def _listed(
        self,
        what: str,
        since: Moment,
        until: Moment,
        time: Time,
        **more: str,
    ) -> Items:
        now = self.clock.now()
        start = BEGINNING if since is None else _moment(since, "since", now)
        end = END if until is None else _moment(until, "until", now)
        if end <= start:
            raise DataError("until is not after since; swap the two")
        return sorted(self._between(what, start, end, time, more), key=time)

    def _between(
        self,
        what: str,
        start: datetime,
        end: datetime,
        time: Time,
        more: dict[str, str],
    ) -> Iterator[dict[str, object]]:
        """Yield all items of a period: a full answer may lack some, so its halves are asked for."""
        period = {"since": start.isoformat(), "until": end.isoformat()}
        answer = self.wire.get("models", self.name, what, limit=MOST, **period, **more)
        found = _items(answer, what)
        if len(found) < MOST:
            yield from found
            return
        times = sorted(map(time, found))
        middle = max(times[len(times) // 2], start + LEAST)
        if middle >= end:
            remedy = "ask for one metric or segment, or use the HTTP API"
            raise DataError(f"over {MOST:,} {what} of {self.name} at {start:%FT%TZ}; {remedy}")
        yield from self._between(what, start, middle, time, more)
        yield from self._between(what, middle, end, time, more)


def _items(answer: Mapping[str, object], name: str) -> Items:
    found = answer.get(name)
    if not isinstance(found, list):
        raise NotFoundError(f"the server's answer has no {name}; is it a control plane?")
    return cast("Items", found)


def _rollout(value: object) -> dict[str, object]:
    state = value if isinstance(value, Mapping) else {}
    return {name: state.get(name) for name in ("stage", "champion", "challenger")}


def _start(item: Mapping[str, object]) -> datetime:
    window = cast("Mapping[str, object]", item["window"])
    return datetime.fromisoformat(str(window["start"]))


def _at(item: Mapping[str, object]) -> datetime:
    return datetime.fromisoformat(str(item["at"]))


def _moment(given: object, name: str, now: datetime) -> datetime:
    """Return a time as people write it.

    Examples
    --------
    >>> now = datetime(2026, 11, 8, 12, tzinfo=UTC)
    >>> print(_moment("7d", "since", now), _moment("2026-11-01", "since", now), sep=" / ")
    2026-11-01 12:00:00+00:00 / 2026-11-01 00:00:00+00:00
    """
    wrong = DataError(
        f"{name}={given!r} is no time; write 2026-11-01, 2026-11-01T12:00Z, or 7d for a week ago"
    )
    try:
        if isinstance(given, str):
            given = _read(given.strip(), now)
        if isinstance(given, timedelta):
            given = now - given
    except (ValueError, OverflowError):
        raise wrong from None
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day, tzinfo=UTC)
    if not isinstance(given, datetime):
        raise wrong
    if given.tzinfo is None:
        raise DataError(f"{name} has no zone; write datetime.now(UTC), or a text such as 7d")
    return given.astimezone(UTC)


def _read(text: str, now: datetime) -> datetime:
    if text[-1:] in {*"smhdw"}:
        return now - parse_duration(text)
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found
