"""Files into the prediction log, in bounded memory; the same file twice counts once.

It appends through a segment of its own, as gateways do, so a control plane may run meanwhile; when
much has landed it rolls, under the lock that all processes of the deployment share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from homeostat.adapters.datasets.plain import Batch, PlainFile
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.domain.admission import admit_labels, admit_predictions
from homeostat.domain.clock import Clock
from homeostat.domain.columns import micros
from homeostat.domain.errors import DataError, OverloadError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Receipt, Rejected
from homeostat.entrypoints.imports.convert import Piece, Refused, Usual, convert, unread
from homeostat.entrypoints.imports.inference import check_table, convert_calls, id_column
from homeostat.entrypoints.imports.naming import Naming, Rows, name_columns
from homeostat.entrypoints.imports.times import Times
from homeostat.entrypoints.settings.model import History

TOLD = 1000
"""Refused rows that are told one by one."""
MOST_REFUSED = 10_000
TRIES = 20


@dataclass(frozen=True, slots=True)
class Order:
    """What is brought in, and how it is read.

    Attributes
    ----------
    spec : ModelSpec
    rows : Rows
    times : Times
    told : mapping of str to str
        Our name by the file's, of columns.
    history : History, optional
        Further names.
    version : str
        Of predictions that name none.
    arrival : datetime, optional
        When labels became known that do not say it; default: when their file was written.
    calls : bool
        Whether the files are tables of served requests.
    most_refused : int
        More refused rows than this end it: the file is another one than was thought.
    """

    spec: ModelSpec
    rows: Rows
    times: Times
    told: Mapping[str, str] = field(default_factory=dict)
    history: History | None = None
    version: str = ""
    arrival: datetime | None = None
    calls: bool = False
    most_refused: int = MOST_REFUSED


@dataclass(frozen=True, slots=True)
class Told:
    """A refused row: the file and its row, from 1, the column and what is wrong with it."""

    file: str
    row: int
    column: str
    reason: str


@dataclass
class Tally:
    """What became of the rows of some files.

    Attributes
    ----------
    rows : int
        Rows read.
    accepted, duplicates, refused : int
        Records taken, known already, and not taken. A row may be several: a call of several
        predictions, a row with several outcomes.
    left_out : int
        Rows that say nothing: without a label, or failed calls.
    oldest : datetime or None
        Time of the oldest prediction taken.
    told : list of Told
        The first refused rows.
    """

    rows: int = 0
    accepted: int = 0
    duplicates: int = 0
    refused: int = 0
    left_out: int = 0
    oldest: datetime | None = None
    told: list[Told] = field(default_factory=list)

    def refuse(self, file: str, row: int, column: str, reason: str) -> None:
        """Count a refused row; `row` is from 0."""
        self.refused += 1
        if len(self.told) < TOLD:
            self.told.append(Told(file, row + 1, column, reason))


Store = Callable[[ModelSpec, Rows, Piece], Receipt]
"""Takes rows that fit the model's columns, and keeps those that were refused."""


class LogStore:
    """Stores rows in a prediction log, and rolls it when much has landed."""

    def __init__(self, log: FilePredictionLog, clock: Clock) -> None:
        self._log, self._clock = log, clock

    def __call__(self, spec: ModelSpec, rows: Rows, piece: Piece) -> Receipt:
        """Store rows, durably; raises StorageError, and OverloadError if rolling does not help."""
        if piece.refused:
            kind = "predictions" if rows is Rows.PREDICTIONS else "labels"
            kept = [(one.column, one.reason, one.text) for one in piece.refused]
            self._log.refuse(spec, kind, kept)
        if not len(piece.places):
            return Receipt(0)
        append = self._log.append if rows is Rows.PREDICTIONS else self._log.append_labels
        for left in reversed(range(TRIES)):
            if self._log.full.is_set():
                self._log.roll(self._clock.now())
            try:
                return append(spec, piece.table)
            except OverloadError:
                if not left:
                    raise
                self._log.roll(self._clock.now())
        raise AssertionError

    def finish(self) -> None:
        """Move what has landed to files, so that it is small and has profiles."""
        self._log.roll(self._clock.now())


class DryStore:
    """Says what would become of rows; whether some are known already it cannot say."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, spec: ModelSpec, rows: Rows, piece: Piece) -> Receipt:
        """Check rows as the log does."""
        admit = admit_predictions if rows is Rows.PREDICTIONS else admit_labels
        problems = admit(spec, piece.table, self._clock.now())[1] if len(piece.places) else {}
        rejected = tuple(Rejected(row, *problems[row]) for row in sorted(problems))
        return Receipt(len(piece.places) - len(rejected), 0, rejected)

    def finish(self) -> None:
        """Do nothing."""


def bring(
    order: Order,
    file: PlainFile,
    store: Store,
    now: datetime,
    tally: Tally,
    named: Callable[[Naming], None] = lambda _naming: None,
) -> Iterator[int]:
    """Bring the rows of a file in; yield how many further rows were done.

    Parameters
    ----------
    order : Order
    file : PlainFile
    store : callable
    now : datetime
    tally : Tally
        Counts what is done.
    named : callable
        Told which column is which, whenever that changes.

    Raises
    ------
    DataError
        If the file cannot be read, a column is missing, or too many rows are refused. What was
        taken before stays.
    StorageError
        If the log failed.
    """
    usual = _usual(order, file, now)
    naming: Naming | None = None
    names: list[str] = []
    for batch in file.batches():
        if not batch.table.column_names and batch.unread:
            piece = Piece(batch.table, batch.rows, unread(batch))
        else:
            if batch.table.column_names != names or naming is None:
                names = batch.table.column_names
                naming = _naming(order, names, file, usual)
                named(naming)
            piece = _piece(order, naming, batch, usual, now)
        room = order.most_refused - tally.refused
        if len(piece.refused) > room:
            piece = Piece(piece.table.slice(0, 0), piece.places[:0], piece.refused[: room + 1])
        receipt = store(order.spec, order.rows, piece)
        count = len(batch.rows) + len(batch.unread)
        _count(tally, file, order, piece, receipt, count)
        if tally.refused > order.most_refused:
            first = tally.told[0]
            raise DataError(
                f"more than {order.most_refused:,} rows were refused, the first one is row "
                f"{first.row:,} of {first.file}: {first.column} {first.reason}; is this the right "
                f"file, and are its columns? Rows taken so far stay, and count once"
            )
        yield count


def _usual(order: Order, file: PlainFile, now: datetime) -> Usual:
    prefix = ""
    if order.rows is Rows.PREDICTIONS and not order.calls:
        prefix = f"{file.digest()}:"
    arrival = order.arrival or min(file.modified or now, now)
    return Usual(order.version, prefix, arrival)


def _naming(order: Order, names: list[str], file: PlainFile, usual: Usual) -> Naming:
    try:
        if order.calls:
            check_table(names)
            return Naming({"prediction_id": key} if (key := id_column(names, order.told)) else {},
                          frozenset(), (), ())  # fmt: skip
        naming = name_columns(order.spec, order.rows, names, order.told, order.history)
    except DataError as error:
        raise DataError(f"{file.name}: {error}") from None
    needs_version = order.rows is Rows.PREDICTIONS and "version" not in naming.columns
    if needs_version and not usual.version:
        remedy = "give --version for all of them, or map a column to version"
        raise DataError(f"{file.name}: no column says which version predicted; {remedy}")
    return naming


def _piece(order: Order, naming: Naming, batch: Batch, usual: Usual, now: datetime) -> Piece:
    if order.calls:
        key = naming.columns.get("prediction_id", "")
        return convert_calls(order.spec, batch, order.times, usual, key, now)
    return convert(order.spec, order.rows, naming, batch, order.times, usual)


def _count(
    tally: Tally, file: PlainFile, order: Order, piece: Piece, receipt: Receipt, rows: int
) -> None:
    tally.rows += rows
    tally.accepted += receipt.accepted
    tally.duplicates += receipt.duplicates
    tally.left_out += piece.left_out
    again = [
        Refused(int(piece.places[one.row]), one.column, one.reason, "") for one in receipt.rejected
    ]
    for one in sorted((*piece.refused, *again), key=lambda one: one.row):
        tally.refuse(file.name, one.row, one.column, one.reason)
    if order.rows is Rows.PREDICTIONS and len(piece.places):
        seen = piece.table.column("timestamp")
        oldest = seen[int(micros(piece.table, "timestamp").argmin())].as_py()
        tally.oldest = min(tally.oldest or oldest, oldest)
