"""Personal values are hashed or dropped before anything is stored, quarantine included."""

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.records import DatabaseRecords
from homeostat.domain.model import Column, ColumnKind, Handling, Schema
from homeostat.domain.personal import Protector
from homeostat.simulation.clock import SimulatedClock
from homeostat.simulation.conformance.log import ALL, NOW, SPEC, predictions

ADA = "ada@example.org"
PROTECTOR = Protector(b"a secret of some length")
MAIL = Column("mail", ColumnKind.CATEGORICAL, personal=True, handling=Handling.HASH)
PLACE = Column("place", ColumnKind.CATEGORICAL, personal=True, handling=Handling.DROP)
PRIVATE = replace(SPEC, schema=Schema((*SPEC.schema.columns, MAIL, PLACE)), entity="mail")


def sent(ids: list[str], **columns: object) -> pa.Table:
    rows = predictions(ids, **columns)  # type: ignore[arg-type]
    rows = rows.set_column(6, "entity", pa.array([ADA] * len(ids)))
    return rows.append_column("mail", pa.array([ADA] * len(ids))).append_column(
        "place", pa.array(["Rue Lepic 12"] * len(ids))
    )


def test_no_byte_on_disk_holds_a_personal_value(tmp_path: Path) -> None:
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", SimulatedClock(NOW))
    log = FilePredictionLog(tmp_path / "log", records, protector=PROTECTOR)
    assert log.append(PRIVATE, sent(["a", "b"])).accepted == 2
    assert log.append(PRIVATE, sent(["bad"], score=float("nan"))).rejected
    log.refuse(PRIVATE, "predictions", [("mail", f"must be text, not {ADA!r}", f'["{ADA}"]')])
    log.refuse(PRIVATE, "predictions", [("emial", "unknown column", f'{{"emial": "{ADA}"}}')])
    log.roll(NOW)
    log.append(PRIVATE, sent(["c"]))
    stored = log.rows(PRIVATE, ALL)
    hashed = PROTECTOR.text(ADA)
    assert stored.column("mail").to_pylist() == stored.column("entity").to_pylist() == [hashed] * 3
    assert stored.column("place").null_count == 3
    assert log.append(PRIVATE, sent(["a", "b"])).duplicates == 2, "repetitions are still known"
    assert json.loads(log.quarantined()[-1].row)["mail"] == hashed
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert ADA.encode() not in path.read_bytes(), path
            assert b"Rue Lepic" not in path.read_bytes(), path
    assert ADA not in repr(log.quarantined())
