"""An erased value leaves the names of segments too, wherever told, and the proof sees it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from databases import open_records
from homeostat.adapters.predlog import FilePredictionLog
from homeostat.adapters.predlog.erase import Target, erase
from homeostat.adapters.predlog.prove import search
from homeostat.domain.decision import Decision
from homeostat.domain.errors import ConflictError
from homeostat.domain.model import Column, ColumnKind, Schema
from homeostat.domain.route import Route
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict, segment_name
from homeostat.domain.window import Window
from homeostat.simulation.conformance.log import ALL, HOUR, NOW, SPEC, T0, predictions

pytestmark = pytest.mark.usefixtures("both")

ADA, LONGER, BOB = "ada@example.org", "ada@example.org.uk", "b\0b"
CARDS = replace(
    SPEC,
    schema=Schema((*SPEC.schema.columns, Column("card", ColumnKind.CATEGORICAL))),
    entity="card",
    segments=("card", "country & card"),
)
OTHER = replace(CARDS, name="other")
DAY = Window(T0, T0 + timedelta(days=1))
OWNERS = (ADA, BOB, ADA, LONGER, BOB)


def opened(folder: Path) -> FilePredictionLog:
    return FilePredictionLog(folder / "log", open_records(folder))


def cards(owners: tuple[str, ...] = OWNERS, prefix: str = "") -> pa.Table:
    rows = predictions([f"{prefix}{i}" for i in range(len(owners))], step=timedelta(0))
    return rows.append_column("card", pa.array(owners, pa.string()))


def point(segment: str, value: float = 0.5) -> MetricPoint:
    window = Window(T0, T0 + HOUR)
    return MetricPoint(CARDS.name, "1", "auc", window, value, 0.4, 0.6, 9, segment=segment)


def test_profiles_of_its_segment_count_on_without_its_name(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.append(CARDS, cards())
    log.roll(NOW)
    database = log.upkeep.catalogue.database
    found = search(tmp_path, database, [ADA]).found
    assert any(place.endswith("rows of the table log_segment_profiles") for place in found)
    for owner in (ADA, BOB):
        done = erase(log, CARDS, Target(True, (owner,)), "test", NOW, tmp_path)
        assert done.complete
        assert done.named == 2, "by card, and by country and card"
    for reader in (log, opened(tmp_path)):
        assert reader.profile(CARDS, DAY, segment="card=(erased)").rows == 4, "both, merged"
        assert reader.profile(CARDS, DAY, segment="country=DE & card=(erased)").rows == 4
        assert reader.profile(CARDS, DAY, segment=f"card={LONGER}").rows == 1
        assert reader.profile(CARDS, DAY, segment=f"card={ADA}").rows == 0
        assert reader.profile(CARDS, ALL).rows == 5
    again = erase(log, CARDS, Target(True, (ADA,)), "test", NOW, tmp_path)
    assert (again.complete, again.named) == (True, 0)


def test_a_value_that_is_cut_in_the_names_of_segments_leaves_them_too(tmp_path: Path) -> None:
    long = "ada" + "x" * 200
    log = opened(tmp_path)
    log.append(CARDS, cards((long, BOB)))
    log.roll(NOW)
    with open_records(tmp_path).begin() as unit:
        unit.measure(point(segment_name(["card"], [long])))
    done = erase(log, CARDS, Target(True, (long,)), "test", NOW, tmp_path)
    assert done.complete
    assert done.named == 3, "two profiles and a figure"
    found = search(tmp_path, log.upkeep.catalogue.database, [long]).found
    assert not any("log_segment_profiles" in place for place in found)


def test_what_was_judged_and_decided_names_it_no_more(tmp_path: Path) -> None:
    log, records = opened(tmp_path), open_records(tmp_path)
    log.append(CARDS, cards())
    verdict = Verdict(
        Monitor.DATA_DRIFT, CARDS.name, f"amount [card={ADA}]", DAY, Status.DRIFT,
        2.0, 1.0, 9.0, 8.0, 0.01, 50, 50, f"moved in card={ADA}",
    )  # fmt: skip
    with records.begin() as unit:
        unit.measure(*(point(name) for name in ("", f"card={ADA}", f"card={LONGER}")))
        unit.judge(verdict)
        told = f"auc of country=DE & card={ADA} from 0.9 to 0.8"
        evidence = ((f"auc of card={ADA}:before", 0.9),)
        unit.decide(Decision(CARDS.name, NOW, "homeostat", "restate", "rows", told, evidence))
        unit.decide(Decision("other", NOW, "homeostat", "restate", "rows", f"card={ADA}"))
        unit.save(f"watch:{CARDS.name}", Route(f"card={ADA}"))
        unit.save(f"incident:{CARDS.name}:rule", Route(f"amount [card={ADA}]"))
        unit.save("watch:other", Route("other", f"card={ADA}"))
    found = search(tmp_path, log.upkeep.catalogue.database, [ADA]).found
    tables = {place.split()[-1] for place in found if " rows of the table " in place}
    assert {"metrics", "verdicts", "decisions", "states"} <= tables
    done = erase(log, CARDS, Target(True, (ADA,)), "test", NOW, tmp_path)
    assert done.named == 7, "2 profiles, a figure, a verdict, a decision and 2 states"
    assert {place.split()[-1] for place in done.searched.found} == {"decisions", "states"}, (
        "another model's are its own"
    )
    names = {p.segment for p in records.metrics(CARDS.name, segment=None)}
    assert names == {"", f"card={LONGER}"}
    (one,) = records.verdicts(CARDS.name)
    assert one == replace(
        verdict, subject="amount [card=(erased)]", reason="moved in card=(erased)"
    )
    first = records.decisions(CARDS.name)[0]
    assert first.reason == "auc of country=DE & card=(erased) from 0.9 to 0.8"
    assert first.evidence == (("auc of card=(erased):before", 0.9),)
    assert records.read(f"watch:{CARDS.name}", Route) == Route("card=(erased)")
    with records.begin() as unit:
        unit.load(f"watch:{CARDS.name}", Route)
        unit.save(f"watch:{CARDS.name}", Route("next"))
    rest = erase(log, OTHER, Target(True, (ADA,)), "test", NOW, tmp_path)
    assert rest.complete


def test_a_state_that_is_saved_meanwhile_wins_or_is_read_again(tmp_path: Path) -> None:
    log, records = opened(tmp_path), open_records(tmp_path)
    key = f"watch:{CARDS.name}"
    with records.begin() as unit:
        unit.save(key, Route(f"card={ADA}"))

    def save_late() -> None:
        with records.begin() as unit:
            unit.load(key, Route)
            erase(log, CARDS, Target(True, (ADA,)), "test", NOW, tmp_path)
            unit.save(key, Route(f"card={ADA}"))

    with pytest.raises(ConflictError):
        save_late()
    assert records.read(key, Route) == Route("card=(erased)")
