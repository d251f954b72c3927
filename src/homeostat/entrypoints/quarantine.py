"""Refused rows on their way back into the log."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from homeostat.adapters.predlog.catalogue import Quarantined
from homeostat.adapters.predlog.frames import Kind
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.predlog.quarantine import MOST_ROW, Quarantine
from homeostat.domain.errors import ConflictError, DataError, NotFoundError
from homeostat.domain.model import ModelSpec
from homeostat.engine.ports import Rejected
from homeostat.entrypoints.http.rows import Rows, read_labels, read_outcomes, read_predictions

AT_ONCE = 1000
EMPTY = frozenset({"reason", "entity", "outcome"})


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of refused rows. ``refused`` names their numbers; they stay in quarantine."""

    accepted: int = 0
    duplicates: int = 0
    refused: tuple[Rejected, ...] = ()


def quarantine_of(log: FilePredictionLog, spec: ModelSpec) -> Quarantine:
    """Return the refused rows of a model."""
    return Quarantine(log.upkeep.catalogue.database, spec.name)


def replay_all(log: FilePredictionLog, spec: ModelSpec) -> Replayed:
    """Send all refused rows of a model again; raises as `FilePredictionLog.append`."""
    kept, done, after = quarantine_of(log, spec), Replayed(), 0
    while entries := kept.oldest(AT_ONCE, after):
        after = entries[-1].number
        done = _sum(done, replay(log, spec, entries))
    return done


def replay(log: FilePredictionLog, spec: ModelSpec, entries: Sequence[Quarantined]) -> Replayed:
    """Send refused rows again, as they are kept; those that are stored leave quarantine.

    A label that names no arrival arrived when it was refused. Raises as `FilePredictionLog.append`;
    then all rows stay where they are, and those stored already will be duplicates. An entry that
    was changed or dropped since it was read stays so.
    """
    done = Replayed()
    for kind in Kind:
        mine = [entry for entry in entries if entry.kind is kind]
        done = _sum(done, _replay(log, spec, kind, mine))
    return done


def _replay(
    log: FilePredictionLog, spec: ModelSpec, kind: Kind, entries: Sequence[Quarantined]
) -> Replayed:
    tables, sent = list[pa.Table](), list[Quarantined]()
    refused: list[tuple[Quarantined, Rejected]] = []
    for entry in entries:
        rows = _read(spec, kind, entry)
        if rows.rejected:
            refused.append((entry, rows.rejected[0]))
        else:
            tables.append(rows.table)
            sent.append(entry)
    accepted = duplicates = 0
    if tables:
        whole = pa.concat_tables(tables, promote_options="default")
        receipt = log.replay(spec, kind, whole)
        accepted, duplicates = receipt.accepted, receipt.duplicates
        refused += [(sent[said.row], said) for said in receipt.rejected]
    refused.sort(key=lambda pair: pair[0].number)
    kept = quarantine_of(log, spec)
    still = {entry.number for entry, _ in refused}
    kept.release([entry for entry in sent if entry.number not in still])
    for entry, said in refused:
        column, reason, _ = log.kept(spec, kind, (said.column, said.reason), None)
        cut = len(entry.row) > MOST_ROW  # no row any more, and its reason says so
        if (column, reason) != (entry.column, entry.reason) and not cut:
            # Who changed or dropped it meanwhile knows better.
            with contextlib.suppress(ConflictError, NotFoundError):
                kept.refile(entry, column, reason, entry.row)
    told = tuple(Rejected(entry.number, said.column, said.reason) for entry, said in refused)
    return Replayed(accepted, duplicates, told)


def _read(spec: ModelSpec, kind: Kind, entry: Quarantined) -> Rows:
    row = json.loads(entry.row)
    if isinstance(row, dict):
        # What is empty in the log is left out by senders.
        row = {name: value for name, value in row.items() if name not in EMPTY or value}
    if kind is Kind.PREDICTIONS:
        return read_predictions(spec, [row], entry.at)
    if not isinstance(row, dict) or "outcome" not in row:
        return read_labels(spec, [row], entry.at)
    if "label" in row:  # as it lies in the log
        row["value"] = row.pop("label")
    return read_outcomes(spec, [row], entry.at)


def fix(log: FilePredictionLog, spec: ModelSpec, number: int, row: object) -> Quarantined:
    """Put another row in the place of a refused one; replay it next.

    Raises
    ------
    NotFoundError
        If there is no such row.
    ConflictError
        If somebody else changed it at the same moment.
    DataError
        If the row is larger than what is kept of one.
    """
    if len(json.dumps(row)) > MOST_ROW:
        raise DataError(f"the row has more than {MOST_ROW:,} characters; send it to the log anew")
    kept = quarantine_of(log, spec)
    (entry,) = kept.get([number])
    problem = (entry.column, entry.reason)
    return kept.refile(entry, *log.kept(spec, entry.kind, problem, row))


def _sum(one: Replayed, other: Replayed) -> Replayed:
    return Replayed(
        one.accepted + other.accepted,
        one.duplicates + other.duplicates,
        (*one.refused, *other.refused),
    )
