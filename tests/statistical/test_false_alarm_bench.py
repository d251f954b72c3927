"""The false-alarm benchmark: its worlds are what they say, its rules are the peers'."""

import dataclasses
import itertools

import numpy as np
import pytest
from harness import (
    Run,
    count_false_alarms,
    measure_power,
    play,
    rising_edges,
    tuned_factor,
    upper_bound,
)
from peer_rules import PEERS, PeerRule
from worlds import (
    CATEGORICAL,
    COLUMNS,
    KINDS,
    LEVELS,
    NUMERIC,
    REFERENCE_DAYS,
    Change,
    Day,
    Kind,
    Shift,
    World,
)

from homeostat.detectors.drift.presets import Preset, decide
from homeostat.domain.model import ColumnKind

pytestmark = pytest.mark.statistical


def days(kind: Kind, rows: int, count: int, shift: Shift | None = None) -> list[Day]:
    return list(World(kind, rows, shift).days(np.random.default_rng(5), count))


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_days(kind: Kind) -> None:
    for one, two in zip(days(kind, 50, 9), days(kind, 50, 9), strict=True):
        np.testing.assert_array_equal(one.numbers, two.numbers)
        np.testing.assert_array_equal(one.codes, two.codes)


def test_windows_as_tables() -> None:
    (day,) = days("missing", 2000, 1)
    table = day.table()
    assert tuple(table.column_names) == COLUMNS
    assert table.num_rows == day.rows == 2000
    assert table.column("x3").null_count == np.isnan(day.numbers[3]).sum() > 0
    assert table.column("c1").null_count == (day.codes[1] < 0).sum() > 0
    texts = [None if code < 0 else LEVELS[code] for code in day.codes[4]]
    assert table.column("c4").to_pylist() == texts


def test_what_each_world_varies() -> None:
    rows = 20_000
    week = {kind: days(kind, rows, 14) for kind in KINDS}
    means = {kind: np.array([d.numbers.mean(axis=1) for d in week[kind]]) for kind in KINDS}
    shares = {kind: np.array([(d.codes == 0).mean(axis=1) for d in week[kind]]) for kind in KINDS}
    spread = {kind: means[kind].std(axis=0) for kind in KINDS}
    assert spread["iid"].max() < 0.02
    assert spread["weekly"][::3] == pytest.approx(0.2, abs=0.02)
    assert np.delete(spread["weekly"], slice(None, None, 3)).max() < 0.02
    np.testing.assert_allclose(means["weekly"][:7], means["weekly"][7:], atol=0.05)
    assert shares["weekly"].std(axis=0)[[0, 3]].min() > 0.01
    assert spread["batch"].mean() == pytest.approx(0.1, abs=0.02)
    assert shares["batch"].std(axis=0).mean() == pytest.approx(0.04, abs=0.01)
    heavy = np.concatenate([day.numbers for day in week["heavy"]], axis=1)
    assert np.median(heavy[::2]) == pytest.approx(0.0, abs=0.02)
    assert np.quantile(heavy[0], 0.95) == pytest.approx(2.92, abs=0.05)  # Student's t, 2 degrees
    assert np.quantile(heavy[1], 0.95) == pytest.approx(np.exp(2 * 1.645), rel=0.05)
    rare = np.concatenate([day.codes for day in week["rare"]], axis=1)
    assert (rare[0] == len(LEVELS) - 1).mean() == pytest.approx(0.001, abs=0.0003)
    lost = np.isnan(np.concatenate([day.numbers for day in week["missing"]], axis=1))
    assert lost.mean() == pytest.approx(0.01, abs=0.001)


@pytest.mark.parametrize(
    ("change", "size", "before", "after"),
    [
        ("mean", 0.25, 0.0, 0.25),
        ("slow", 0.5, 0.0, 0.5),
        ("share", 0.06, 0.2, 0.26),
        ("missing", 0.05, 0.01, 0.05),
        ("correlation", 0.5, 0.0, 0.5),
    ],
)
def test_what_each_shift_changes(change: Change, size: float, before: float, after: float) -> None:
    def measure(day: Day) -> float:
        x, y = day.numbers[:2]
        found = {
            "share": (day.codes[0] == 0).mean(),
            "missing": np.isnan(x).mean(),
            "correlation": np.corrcoef(x, y)[0, 1],
        }
        return float(found.get(change, np.nanmean(x)))

    shift = Shift(change, size, 2)
    seen = days("iid", 40_000, 26, shift)
    assert [measure(day) for day in seen[:2]] == pytest.approx([before] * 2, abs=0.015)
    assert measure(seen[-1]) == pytest.approx(after, abs=0.015)
    assert measure(seen[2]) == pytest.approx(
        before + (after - before) / (20 if change == "slow" else 1), abs=0.015
    )
    rest = np.array([np.nanstd(day.numbers, axis=1) for day in seen])
    assert rest == pytest.approx(np.ones_like(rest), abs=0.03)
    assert shift.columns < set(COLUMNS)


@pytest.mark.parametrize("preset", ["evidently", "psi-0.2", "ks-0.05"])
@pytest.mark.parametrize("kind", KINDS)
def test_rules_on_windows_are_the_presets(kind: Kind, preset: Preset) -> None:
    *reference, day = days(kind, 250, REFERENCE_DAYS + 1)
    flagged = PeerRule(PEERS[preset]).fit(tuple(reference)).judge(day)
    for name in COLUMNS:
        columns = [column(one, name) for one in (*reference, day)]
        if name in NUMERIC:
            old, new, of = np.concatenate(columns[:-1]), columns[-1], ColumnKind.NUMERIC
        else:
            old = list(itertools.chain(*columns[:-1]))
            new, of = columns[-1], ColumnKind.CATEGORICAL
        assert decide(preset, old, new, of).drifted == (name in flagged), name


def column(day: Day, name: str) -> "np.ndarray | list[str | None]":
    if name in NUMERIC:
        return day.numbers[NUMERIC.index(name)]
    return [None if code < 0 else LEVELS[code] for code in day.codes[CATEGORICAL.index(name)]]


def test_a_small_reference_is_refused_where_the_peer_would_test_instead() -> None:
    with pytest.raises(ValueError, match="give more"):
        PeerRule(PEERS["evidently"]).fit(tuple(days("iid", 30, REFERENCE_DAYS)))


def run(*flags: str) -> Run:
    return Run(tuple(frozenset(names.split()) for names in flags), seconds=1.0)


def test_alarms_are_rising_edges() -> None:
    assert run("", "x0", "x1 x2", "", "x0").alarms == 2
    assert rising_edges(np.array([True, False, True, True])) == 2
    found = count_false_alarms([run(*[""] * 90), run(*["x0", ""] * 45)])
    assert (found.alarms, found.windows_flagged, found.runs_with_alarm) == (22.5, 0.25, 0.5)
    assert found.upper_95 > 22.5


def test_the_upper_bound_covers_over_dispersed_counts() -> None:
    rng = np.random.default_rng(2)
    covered = [
        upper_bound(rng.negative_binomial(0.5, 1.0 / 3.0, 100), draws=500) >= 1.0
        for _ in range(200)
    ]
    assert np.mean(covered) > 0.89


def test_power_counts_what_is_found_and_named() -> None:
    shift = Shift("mean", 0.25, REFERENCE_DAYS + 1)
    runs = [run("", "x0", ""), run("", "x1", "x0"), run("x9", "", ""), run("", "x0 x1", "")]
    found = dataclasses.asdict(measure_power(runs, shift, 2))
    assert found["found"] == found["found_named"] == 0.75
    assert (found["named"], found["only"]) == pytest.approx((2 / 3, 1 / 3))
    assert (found["median_delay"], found["flagged_before"]) == (1.0, 0.25)


def test_re_tuning_keeps_the_budget_from_the_quiet_side() -> None:
    loud = np.full(90, 0.5)
    loud[[10, 30, 50]] = (2.0, 3.0, 4.0)
    assert tuned_factor([loud]) == 4.0
    assert tuned_factor([loud], alarms=2.0) == 3.0
    assert tuned_factor([loud, np.full(90, 0.5)]) == 3.0
    assert tuned_factor([loud], alarms=0.0) == np.inf


def test_play_shows_every_rule_the_same_days() -> None:
    world = World("iid", 300, Shift("mean", 1.0, REFERENCE_DAYS + 3))
    rules = {name: PeerRule(fit) for name, fit in PEERS.items()}
    runs = play(world, rules, np.random.SeedSequence(1), 6)
    assert {len(found.flags) for found in runs.values()} == {6}
    for found in runs.values():
        assert all("x0" in flagged for flagged in found.flags[3:])
