"""Worlds from a seed: the same decisions each time, invariants that can break, and a score."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from homeostat.domain.decision import Decision
from homeostat.domain.errors import UserError
from homeostat.domain.window import Window
from homeostat.entrypoints.cli import run as command
from homeostat.simulation.invariants import BrokenInvariantError, check_all
from homeostat.simulation.worlds.case import (
    DAY,
    EXPECTED,
    GROUPS,
    HOUR,
    START,
    Case,
    Event,
    Kind,
    deal,
    kinds_of,
)
from homeostat.simulation.worlds.life import Life
from homeostat.simulation.worlds.run import Result, minimise, run
from homeostat.simulation.worlds.score import Score, rows_of, score
from homeostat.simulation.worlds.traffic import Traffic

STORMY = Case(
    3,
    days=1,
    per_day=1000,
    patience=1,
    events=(
        Event(Kind.BAD_PUSH, 2, 1),
        Event(Kind.STORE, 4, 1),
        Event(Kind.UNITS, 6, 8),
        Event(Kind.PORTS, 9, 11),
        Event(Kind.DUPLICATED, 14, 4),
        Event(Kind.CLOCK, 21, 2),
    ),
)


def test_one_seed_is_one_world_and_one_decision_log() -> None:
    first, again = run(STORMY), run(STORMY)
    assert first == again
    assert first.broken == ""
    assert first.deaths > 0
    assert first.decisions > 3
    assert first.score.pages > 0


def test_every_kind_is_in_one_group_and_a_seed_deals_the_same_hand() -> None:
    assert sorted(kind for kinds in GROUPS.values() for kind in kinds) == sorted(Kind)
    assert kinds_of("all") == tuple(Kind)
    assert kinds_of("none") == ()
    assert kinds_of("slow, clock,slow") == (Kind.SLOW, Kind.CLOCK)
    with pytest.raises(UserError, match="no fault 'nonsense'"):
        kinds_of("nonsense")
    dealt = [deal(seed, 30, tuple(Kind)) for seed in range(50)]
    assert dealt == [deal(seed, 30, tuple(Kind)) for seed in range(50)]
    assert {event.kind for case in dealt for event in case.events} == set(Kind)
    for case in dealt:
        seen = sorted((e.start, e.end) for e in case.events if e.kind in EXPECTED)
        assert all(end < begin for (_, end), (begin, _) in pairwise(seen))
    assert deal(1, 30, ()).events == ()


def test_a_case_is_read_as_it_was_written() -> None:
    case = deal(7, 30, tuple(Kind))
    assert Case.from_dict(json.loads(json.dumps(case.to_dict()))) == case


@pytest.mark.parametrize(
    "value",
    [[], {}, {"format": 1}, {"format": 1, "seed": 1, "x": 2}, {"format": 1, "events": [{}]}],
    ids=["list", "empty", "no-seed", "unknown", "event"],
)
def test_what_is_no_case_is_said_to_be_none(value: object) -> None:
    with pytest.raises(UserError, match="no case of a world"):
        Case.from_dict(value)


def test_rows_are_the_same_however_windows_are_cut() -> None:
    traffic, other = Traffic(STORMY), Traffic(STORMY)
    whole = traffic.requests(Window(START, START + DAY))
    parts = [other.requests(Window(START + n * HOUR, START + (n + 1) * HOUR)) for n in range(24)]
    assert sum(part.num_rows for part in parts) == whole.num_rows
    assert parts[5].to_pylist() == [row for row in whole.to_pylist() if row["timestamp"].hour == 5]


def of(kind: Kind, size: float = 1.0) -> Traffic:
    return Traffic(Case(1, days=3, per_day=2000, events=(Event(kind, 0, 24, size),)))


def mean(kind: Kind, column: str) -> float:
    rows = of(kind).requests(Window(START, START + DAY))
    return float(np.nanmean(rows[column].to_numpy().astype(np.float64)))


def test_faults_do_to_rows_what_they_say() -> None:
    day = Window(START, START + DAY)
    calm = of(Kind.SLOW).requests(day)
    assert mean(Kind.UNITS, "amount") > 50 * mean(Kind.SLOW, "amount")
    assert mean(Kind.SHIFT, "signal") > 1.0
    assert mean(Kind.STUCK, "signal") == pytest.approx(0.25)
    assert mean(Kind.SWAPPED, "signal") > 15
    assert mean(Kind.PRIOR, "label") > mean(Kind.SLOW, "label") + 0.2
    assert 0.5 < of(Kind.NULLS).requests(day)["signal"].null_count / calm.num_rows < 0.7
    assert set(of(Kind.RENAMED).requests(day)["channel"].to_pylist()) == {"APP", "SHOP", "WEB"}
    assert of(Kind.SILENCE).requests(day).num_rows == 0
    assert of(Kind.BURST).requests(day).num_rows > 5 * calm.num_rows
    flipped = of(Kind.CONCEPT).requests(day)
    signal, label = (flipped[name].to_numpy() for name in ("signal", "label"))
    assert np.corrcoef(signal, label)[0, 1] < -0.4


def arrived(kind: Kind, by: timedelta) -> list[float]:
    """Return the labels of the first day's requests that have come."""
    traffic = of(kind)
    ids = set(traffic.requests(Window(START, START + DAY))["prediction_id"].to_pylist())
    rows = traffic.labels(Window(START, START + by)).to_pylist()
    return [row["label"] for row in rows if row["prediction_id"] in ids]


def test_labels_come_late_or_never_or_are_taken_back() -> None:
    usual, early = arrived(Kind.SLOW, DAY), arrived(Kind.BIASED_LABELS, DAY)
    assert arrived(Kind.LATE_LABELS, DAY) == []
    assert len(arrived(Kind.LATE_LABELS, 4 * DAY)) > len(usual)
    assert len(arrived(Kind.LOST_LABELS, 2 * DAY)) < len(arrived(Kind.SLOW, 2 * DAY)) / 2
    assert sum(usual) > 0.3 * len(usual)
    assert sum(early) == 0
    taken_back = len(arrived(Kind.CORRECTED_LABELS, 4 * DAY)) - len(arrived(Kind.SLOW, 4 * DAY))
    assert 10 < taken_back < 100


def test_services_slow_down_fail_and_hang() -> None:
    day = Window(START, START + DAY)
    told = {}
    for kind in (Kind.SLOW, Kind.ERRORS, Kind.HANG):
        traffic = of(kind)
        reason, latency = traffic.service(traffic.requests(day), 1)
        told[kind] = (set(reason.tolist()), float(np.quantile(latency, 0.9)))
    assert told[Kind.SLOW][1] > 500
    assert told[Kind.ERRORS][0] == {"", "error"}
    assert "timeout" in told[Kind.HANG][0]


def test_what_breaks_behind_the_engine_is_found(tmp_path: Path) -> None:
    life = Life.begin(Case(1, days=1, per_day=500), tmp_path)
    life.advance()
    check_all(life.scene)
    life.check_log()
    route = life.ports.routes.current("world")
    assert route is not None
    life.ports.routes.publish(replace(route, champion="7"))
    with pytest.raises(BrokenInvariantError, match="gateways know what the state asks for"):
        check_all(life.scene)
    with pytest.raises(BrokenInvariantError, match="who answers was a champion"):
        check_all(replace(life.scene, settled=False))
    life.ports.routes.publish(route)
    rows = life.traffic.requests(Window(START + HOUR, START + 2 * HOUR))
    records = life.ports.log.rows(life.plan.spec, Window(START, START + HOUR)).slice(0, 1)
    at = records.column_names.index("prediction_id")
    stray = records.set_column(at, "prediction_id", rows["prediction_id"].slice(0, 1))
    life.ports.log.append(life.plan.spec, stray)
    with pytest.raises(BrokenInvariantError, match="what is acknowledged is kept, once"):
        life.check_log()


def test_a_world_that_breaks_is_made_as_small_as_it_gets() -> None:
    calm = Score((), (), 0)
    events = (
        Event(Kind.UNITS, 10, 20),
        Event(Kind.PORTS, 30, 16, ramp=4),
        Event(Kind.SLOW, 40, 8),
        Event(Kind.CLOCK, 50, 6),
    )
    lived: list[Case] = []

    def live(case: Case) -> Result:
        lived.append(case)
        kinds = {e.kind: e for e in case.events}
        breaks = {Kind.PORTS, Kind.CLOCK} <= set(kinds) and kinds[Kind.PORTS].hours >= 4
        return Result(case, calm, "", 0, 0, "x" if breaks and case.days > 2 else "", "", 60)

    case = Case(5, days=30, growth=0.1, holidays=(3,), events=events)
    small = minimise(live(case), live)
    assert small.case == Case(
        5, days=3, events=(Event(Kind.PORTS, 30, 4, ramp=1), Event(Kind.CLOCK, 50, 1))
    )
    assert len(lived) < 40
    assert minimise(live(case), live, most=0).case == case


def test_the_score_is_of_what_should_have_been_found() -> None:
    case = Case(
        1,
        events=(
            Event(Kind.SLOW, 24, 10),
            Event(Kind.UNITS, 240, 10),
            Event(Kind.PORTS, 300, 1),
            Event(Kind.SLOW, 29 * 24, 10),
        ),
    )

    def made(hours: int, action: str, rule: str) -> Decision:
        return Decision("world", START + hours * HOUR, "homeostat", action, f"world:{rule}:1", "")

    log = (
        made(2, "fire", "volume_anomaly"),
        made(25, "fire", "model_down"),
        made(26, "fire", "high_latency"),
        made(36, "resolve", "high_latency"),
    )
    found = score(case, log, 3)
    assert [(o.detected, o.recovered) for o in found.outcomes] == [
        (2 * HOUR, 12 * HOUR),
        (None, None),
    ]
    assert len(found.false_alarms) == 1
    assert "volume_anomaly" in found.false_alarms[0]
    rows = rows_of(found.outcomes)
    assert [(r.kind, r.events, r.found, r.detected) for r in rows] == [
        (Kind.UNITS, 1, 0, None),
        (Kind.SLOW, 1, 1, 2 * HOUR),
    ]


def test_the_command_lives_through_a_file_and_through_seeds(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "world.json"
    file.write_text(json.dumps(Case(4, days=1, per_day=500).to_dict()))
    assert command(["simulate", "--case", str(file)]) == 0
    assert "1 worlds, 1 days" in capsys.readouterr().out
    asked = ["simulate", "--seeds", "4", "--days", "1", "--per-day", "500", "--faults", "none"]
    assert command([*asked, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["worlds"][0]["broken"] == ""
    assert told["false_alarms_per_90_days"] == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--seeds", "x"], "neither a number nor a range"),
        (["--seeds", "5..1"], "there is no seed"),
        (["--faults", "bad"], "no fault 'bad'"),
    ],
    ids=["word", "backwards", "fault"],
)
def test_mistakes_are_said(given: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["simulate", *given]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", ["{", "[]"], ids=["broken", "other"])
def test_a_file_that_is_no_case_is_named(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "world.json"
    file.write_text(text)
    assert command(["simulate", "--case", str(file)]) == 2
    assert "world.json" in capsys.readouterr().err
