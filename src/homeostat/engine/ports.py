"""What the engine needs from the world. Each port has one conformance suite in ``simulation``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.alerting.delivery import Manners
from homeostat.domain.answers import Answers
from homeostat.domain.decision import Decision
from homeostat.domain.effect import Effect, Notify, StartTraining
from homeostat.domain.model import ModelSpec, ModelVersion
from homeostat.domain.route import Route
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.domain.window import Window
from homeostat.engine.ports_registry import Aliases
from homeostat.profiles.profile import Profile

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that could not be taken: where, which column, and why."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """Answer to an append: what is durable now. Every row is in exactly one of the three."""

    accepted: int
    duplicates: int = 0
    rejected: tuple[Rejected, ...] = ()


class PredictionLog(Protocol):
    """Predictions and labels, durable once acknowledged, each counted once."""

    def append(self, spec: ModelSpec, rows: pa.Table) -> Receipt:
        """Store prediction records (`prediction_schema`), durably; bad rows are quarantined."""
        ...

    def append_labels(self, spec: ModelSpec, labels: pa.Table) -> Receipt:
        """Store labels (`LABEL_SCHEMA`); late, repeated, corrected and unknown ids are all fine.

        Of a prediction's labels the one that arrived last counts, and of several that arrived at
        one time the largest, in whatever order they were stored.
        """
        ...

    def rows(
        self, spec: ModelSpec, window: Window, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Return the window's records by timestamp, id, version; each id and version once."""
        ...

    def stretches(self, spec: ModelSpec, window: Window) -> Iterable[Window]:
        """Return windows, one after another, that make up `window`; none has very many rows."""
        ...

    def labelled(
        self, spec: ModelSpec, window: Window, as_of: datetime, columns: Sequence[str] | None = None
    ) -> pa.Table:
        """Like `rows`, with ``label`` and ``arrival`` as known at `as_of` (null: not yet known).

        `columns` may name outcomes of the model, too: their numbers as known at `as_of`; and when
        these became known (`homeostat.domain.record.arrival_of`).
        """
        ...

    def profile(
        self, spec: ModelSpec, window: Window, version: str = "", segment: str = ""
    ) -> Profile:
        """Return the profile of what was answered in the window (shadows left out).

        Columns: the features and ``score``. With `version`, only that version's answers; with
        `segment`, such as ``country=FR``, only rows of that one of the model's segments. Raises
        NotFoundError if the model has none by these columns.
        """
        ...

    def counts(self, spec: ModelSpec, window: Window) -> tuple[int, ...]:
        """Return the rows of `profile` in each hour of a window that consists of whole hours."""
        ...

    def segments(self, spec: ModelSpec, window: Window) -> dict[str, int]:
        """Return the rows of each segment in the hours of a window, those of few rows perhaps not.

        Rows that landed lately may be missing, and segments that would name a person are.
        """
        ...

    def roll(self, now: datetime) -> int:
        """Move landed rows to columnar files and register their profiles; return rows moved."""
        ...

    def tidy(self, now: datetime) -> int:
        """Merge small files and delete those that are replaced; return the files merged."""
        ...

    def orphans(self, spec: ModelSpec, older_than: datetime) -> int:
        """Count labels that arrived before `older_than` and whose prediction is still unknown."""
        ...


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an attempt at the effect with this number.

    ``pending``: it failed and is tried again from ``at`` on; ``dead``: it is given up, and stays on
    record as a dead letter. ``done`` and ``dead`` it is since ``at``. ``said`` is what went wrong,
    or what a receiver answered.
    """

    number: int
    status: Literal["done", "pending", "dead"]
    at: datetime
    said: str = ""


class UnitOfWork(Protocol):
    """One atomic change of the records: all of it or nothing, at the end of the ``with`` block."""

    def prepare(self, keys: Sequence[str]) -> None:
        """Say which states will be loaded, so that they can be read together."""
        ...

    def load(self, key: str, kind: type[S]) -> S | None:
        """Return the state stored under `key` and remember its version for `save`."""
        ...

    def save(self, key: str, state: object) -> None:
        """Store a frozen dataclass; at commit raises ConflictError if another writer was first."""
        ...

    def delete(self, key: str) -> None:
        """Remove the state stored under `key`, if any."""
        ...

    def hold(self, key: str) -> None:
        """Have the commit raise ConflictError if the state that was loaded has changed by then."""
        ...

    def decide(self, *decisions: Decision) -> None:
        """Append to the decision log."""
        ...

    def intend(self, *effects: Effect) -> None:
        """Record effects to be done after the commit; one known by its key stays as it is."""
        ...

    def settle(self, *settled: Settled) -> None:
        """Write down what became of effects.

        At commit raises NotFoundError if there is no such effect, and ConflictError if it is not
        pending any more: somebody else did it or gave it up.
        """
        ...

    def judge(self, *verdicts: Verdict) -> None:
        """Append verdicts."""
        ...

    def measure(self, *points: MetricPoint) -> None:
        """Write metric points; a later point for the same identity restates it."""
        ...

    def withdraw(self, *points: MetricPoint) -> None:
        """Remove metric points by their identity, before those that this unit measures."""
        ...


@dataclass(frozen=True, slots=True)
class PendingEffect:
    """An effect that is recorded and not yet done."""

    number: int
    effect: Effect
    attempts: int
    not_before: datetime


@dataclass(frozen=True, slots=True)
class Delivery:
    """A notice and what has become of it.

    Attributes
    ----------
    number : int
    notice : Notify
    status : {"pending", "done", "dead"}
    attempts : int
        Those that failed, and the one that did not.
    at : datetime
        Since when it is done or given up, or when it is tried next.
    said : str
        What the receiver answered, or what went wrong last.
    """

    number: int
    notice: Notify
    status: Literal["pending", "done", "dead"]
    attempts: int
    at: datetime
    said: str


class Records(Protocol):
    """Everything that is decided and why."""

    def begin(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work; an exception inside leaves nothing behind."""
        ...

    def read(self, key: str, kind: type[S]) -> S | None:
        """Return a state without intent to change it."""
        ...

    def keys(self, prefix: str) -> tuple[str, ...]:
        """Return the state keys with the prefix, sorted."""
        ...

    def decisions(
        self, model: str = "", since: datetime | None = None, limit: int | None = None
    ) -> tuple[Decision, ...]:
        """Return decisions in the order written; with `limit`, the newest ones."""
        ...

    def verdicts(
        self, model: str, since: datetime | None = None, until: datetime | None = None
    ) -> tuple[Verdict, ...]:
        """Return verdicts whose window starts in the period, in the order written."""
        ...

    def metrics(
        self,
        model: str,
        name: str = "",
        since: datetime | None = None,
        until: datetime | None = None,
        segment: str | None = "",
        limit: int | None = None,
    ) -> tuple[MetricPoint, ...]:
        """Return metric points whose window starts in the period, by window, name, version.

        Of all rows; with `segment` of that segment, with None of every one. Of more than `limit`
        points the last in that order.
        """
        ...

    def pending(self, now: datetime) -> tuple[PendingEffect, ...]:
        """Return effects due at `now`, oldest first."""
        ...

    def deliveries(
        self, limit: int, receiver: str = "", incident: str = ""
    ) -> tuple[Delivery, ...]:
        """Return the newest notices and what became of them, newest first.

        Only those to `receiver` or about `incident`, where these are given.
        """
        ...

    def save_reference(
        self, model: str, version: str, profiles: Sequence[tuple[Window, Profile]]
    ) -> None:
        """Store the reference windows of a version, replacing earlier ones."""
        ...

    def reference(self, model: str, version: str) -> tuple[tuple[Window, Profile], ...]:
        """Return the reference windows of a version, by time; empty if there are none."""
        ...


class Registry(Aliases, Protocol):
    """Model artifacts, immutable and verified."""

    def register(self, version: ModelVersion, artifact: Path) -> ModelVersion:
        """Store an artifact file or folder; a second call with a run_id returns the first one."""
        ...

    def get(self, model: str, version: str) -> ModelVersion:
        """Return a version's card; raises NotFoundError."""
        ...

    def versions(self, model: str) -> tuple[ModelVersion, ...]:
        """Return all versions, oldest first."""
        ...

    def path(self, model: str, version: str) -> Path:
        """Return the artifact's path after checking its hash; raises ArtifactError."""
        ...


@dataclass(frozen=True, slots=True)
class Training:
    """State of a run at its trainer. ``artifact`` is set when done, ``problem`` when failed.

    ``sha256`` is what the artifact's must be, where the trainer says so; ``progress`` is a part of
    the whole, where a run under way says so.
    """

    done: bool
    artifact: Path | None = None
    flavour: str = ""
    problem: str = ""
    metrics: tuple[tuple[str, float], ...] = ()
    sha256: str = ""
    progress: float | None = None


class Trainer(Protocol):
    """Makes candidates; never two runs of one id."""

    def start(self, request: StartTraining, spec: ModelSpec, rows: pa.Table) -> None:
        """Begin a run on matured, labelled rows; a call for a known run_id does nothing."""
        ...

    def poll(self, model: str, run_id: str) -> Training:
        """Return the run's state; an unknown run is reported as failed."""
        ...

    def cancel(self, model: str, run_id: str) -> None:
        """Stop the run if it still goes."""
        ...


class Scorer(Protocol):
    """Scores rows with a registered version, outside the serving path."""

    def score(self, spec: ModelSpec, version: str, rows: pa.Table) -> NDArray[np.float64]:
        """Return one score a row, in order."""
        ...

    def answer(self, spec: ModelSpec, version: str, rows: pa.Table) -> Answers:
        """Return the scores and, of a multi-class version that gives them, probabilities."""
        ...


class Routes(Protocol):
    """Tells the gateways which versions answer."""

    def current(self, model: str) -> Route | None:
        """Read back what is published."""
        ...

    def publish(self, route: Route) -> None:
        """Replace the model's route in one step; publishing what is there already does nothing."""
        ...


class Notifier(Protocol):
    """Brings a notification to one receiver."""

    def send(self, notice: Notify) -> str | None:
        """Deliver it; what the receiver said is returned for the log. Raises DeliveryError.

        May be called again with the same key.
        """
        ...


@runtime_checkable
class Renewing(Protocol):
    """A notifier whose receiver forgets what is not told again, as Alertmanager does."""

    def renew(self, notices: Sequence[Notify], now: datetime) -> str | None:
        """Tell again, at each tick, what was sent before and still fires; raises DeliveryError."""
        ...


@dataclass(frozen=True)
class Ports:
    """The world as the engine sees it.

    ``notifiers``, ``manners``: by receiver, ``trainers``: by model. Replays have no ``stopwatch``.
    """

    records: Records
    log: PredictionLog
    registry: Registry
    scorer: Scorer
    routes: Routes
    notifiers: Mapping[str, Notifier]
    trainers: Mapping[str, Trainer]
    manners: Mapping[str, Manners] = field(default_factory=dict)
    stopwatch: Callable[[], float] | None = None
