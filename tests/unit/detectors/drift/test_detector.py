"""Drift of inputs and of scores."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from pydantic import TypeAdapter

from homeostat.detectors.drift.detector import (
    DriftConfig,
    DriftReference,
    DriftState,
    Limits,
    evaluate,
    fit,
)
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import EMPTY, Profile, merge_all

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SCORE = "score"
KINDS = {
    "amount": ColumnKind.NUMERIC,
    "shop": ColumnKind.CATEGORICAL,
    "night": ColumnKind.BOOLEAN,
    SCORE: ColumnKind.NUMERIC,
}
NAMES = [name for name in KINDS if name != SCORE]
CONFIG = DriftConfig()


def day(index: int) -> Window:
    return Window(START + index * DAY, START + (index + 1) * DAY)


def traffic(
    rng: np.random.Generator,
    rows: int = 500,
    shift: float = 0.0,
    missing: float = 0.0,
    score: float = 0.0,
) -> Profile:
    amount = np.exp(rng.normal(shift, 1.0, rows))
    table = {
        "amount": pa.array(amount, mask=rng.random(rows) < missing),
        "shop": rng.choice(["a", "b", "c"], rows, p=[0.6, 0.3, 0.1]),
        "night": rng.random(rows) < 0.3,
        SCORE: rng.beta(2.0 + score, 8.0, rows),
    }
    return profile_table(pa.table(table), KINDS)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    rng = np.random.default_rng(0)
    return fit([(day(i), traffic(rng)) for i in range(14)], NAMES, CONFIG)


def run(
    reference: DriftReference,
    profiles: Sequence[Profile],
    state: DriftState | None = None,
    first: int = 14,
    config: DriftConfig = CONFIG,
) -> tuple[DriftState, list[dict[str, Verdict]]]:
    state = state or DriftState()
    found = []
    for index, profile in enumerate(profiles):
        state, verdicts = evaluate(reference, state, "m", day(first + index), profile, config)
        found.append({verdict.subject: verdict for verdict in verdicts})
    return state, found


def test_quiet_days_are_ok_for_every_column_and_the_model(reference: DriftReference) -> None:
    rng = np.random.default_rng(1)
    _, found = run(reference, [traffic(rng) for _ in range(20)])
    assert {v.status for day in found for v in day.values()} == {Status.OK}
    assert set(found[0]) == {"amount", "shop", "night", ""}
    assert {v.monitor for v in found[0].values()} == {Monitor.DATA_DRIFT}


def test_a_big_shift_fires_at_once_and_names_its_column(reference: DriftReference) -> None:
    rng = np.random.default_rng(2)
    _, (found,) = run(reference, [traffic(rng, shift=1.5)])
    assert found["amount"].status is Status.DRIFT
    assert found["amount"].score > 1.0
    assert found["shop"].status is Status.OK
    assert found[""].status is Status.DRIFT
    assert found[""].detail("drifted") == 1
    assert found[""].detail("share_drifted") == pytest.approx(1 / 3)
    assert found[""].reason == "1 of 3 columns drifted: amount"
    assert found[""].evidence >= found[""].evidence_threshold


def test_a_small_shift_gathers_evidence_over_windows(reference: DriftReference) -> None:
    rng = np.random.default_rng(3)
    _, found = run(reference, [traffic(rng, rows=150, shift=0.6) for _ in range(15)])
    statuses = [day["amount"].status for day in found]
    assert statuses[0] is Status.OK
    assert statuses[-1] is Status.DRIFT


def test_a_real_change_too_small_to_matter_is_ok(reference: DriftReference) -> None:
    rng = np.random.default_rng(4)
    tolerant = replace(CONFIG, limits=Limits(shift=0.5, spread=1.0, share=0.3))
    quiet = [traffic(rng, rows=5000, shift=0.25) for _ in range(20)]
    state, found = run(reference, quiet, config=tolerant)
    last = found[-1]["amount"]
    assert last.evidence >= last.evidence_threshold
    assert last.status is Status.OK
    assert "too small to matter" in last.reason
    assert state.drifted == ()


def test_missing_values_are_drift(reference: DriftReference) -> None:
    rng = np.random.default_rng(5)
    _, found = run(reference, [traffic(rng, missing=0.4) for _ in range(2)])
    assert found[-1]["amount"].status is Status.DRIFT
    assert found[-1]["amount"].detail("missing_share") == pytest.approx(0.4, abs=0.1)


def test_recovery_ends_the_drift_with_the_first_usual_window(reference: DriftReference) -> None:
    rng = np.random.default_rng(6)
    days = [traffic(rng, shift=1.5) for _ in range(30)] + [traffic(rng) for _ in range(3)]
    _, found = run(reference, days)
    statuses = [day["amount"].status for day in found]
    assert statuses == [Status.DRIFT] * 30 + [Status.OK] * 3
    assert found[30]["amount"].evidence == 0.0


def test_a_small_drift_is_not_over_with_one_lucky_window(reference: DriftReference) -> None:
    rng = np.random.default_rng(61)
    days = [traffic(rng, rows=200, shift=0.3) for _ in range(40)]
    state, found = run(reference, days)
    first = next(i for i, day in enumerate(found) if day["amount"].status is Status.DRIFT)
    assert {day["amount"].status for day in found[first:]} == {Status.DRIFT}
    _, found = run(reference, [traffic(rng, rows=200) for _ in range(10)], state, first=54)
    assert found[0]["amount"].status is Status.DRIFT
    assert found[-1]["amount"].status is Status.OK


def test_a_drifted_column_without_rows_is_still_drifted(reference: DriftReference) -> None:
    rng = np.random.default_rng(62)
    state, _ = run(reference, [traffic(rng, shift=1.5)])
    gone = Profile(500, {n: c for n, c in traffic(rng).columns.items() if n != "amount"})
    state, (found,) = run(reference, [gone], state, first=15)
    assert found["amount"].status is Status.NO_DATA
    assert state.drifted == ("amount",)


def test_few_rows_and_none_change_nothing(reference: DriftReference) -> None:
    rng = np.random.default_rng(7)
    state, _ = run(reference, [traffic(rng, shift=1.5)])
    after, found = run(reference, [traffic(rng, rows=10), EMPTY], state, first=15)
    assert after == state
    assert {v.status for v in found[0].values()} == {Status.INCONCLUSIVE}
    assert {v.status for v in found[1].values()} == {Status.NO_DATA}
    assert np.isnan(found[1]["amount"].score)


def test_a_column_of_another_kind_cannot_be_compared(reference: DriftReference) -> None:
    rng = np.random.default_rng(8)
    profile = traffic(rng)
    columns = {**profile.columns, "amount": profile.columns["shop"]}
    _, (found,) = run(reference, [Profile(profile.rows, columns)])
    assert found["amount"].status is Status.INCONCLUSIVE
    assert found["shop"].status is Status.OK


def test_scores_get_verdicts_of_their_own_monitor() -> None:
    rng = np.random.default_rng(9)
    fitted = fit([(day(i), traffic(rng)) for i in range(14)], [SCORE], CONFIG)
    seen = traffic(rng, score=4.0)
    found = evaluate(
        fitted, DriftState(), "m", day(14), seen, CONFIG, monitor=Monitor.PREDICTION_DRIFT
    )[1]
    assert [(v.monitor, v.subject, v.status) for v in found] == [
        (Monitor.PREDICTION_DRIFT, SCORE, Status.DRIFT)
    ]


def test_a_reference_without_a_column_gives_no_verdict_on_it() -> None:
    fitted = fit([(day(0), traffic(np.random.default_rng(10)))], ["unheard of"], CONFIG)
    seen = traffic(np.random.default_rng(11))
    state, found = evaluate(
        fitted, DriftState(), "m", day(1), seen, CONFIG, monitor=Monitor.PREDICTION_DRIFT
    )
    assert found == ()
    assert state == DriftState(fitted.key)


def test_a_short_reference_is_inconclusive_about_what_looks_big() -> None:
    rng = np.random.default_rng(11)
    fitted = fit([(day(i), traffic(rng)) for i in range(2)], NAMES, CONFIG)
    assert fitted.partial
    _, found = run(fitted, [traffic(rng, shift=1.0) for _ in range(30)], first=2)
    assert {day["amount"].status for day in found} == {Status.INCONCLUSIVE}
    assert found[-1][""].status is Status.OK
    assert {day["shop"].status for day in found} == {Status.OK}
    _, found = run(fitted, [traffic(rng, shift=4.0) for _ in range(3)], first=32)
    assert {day["amount"].status for day in found} == {Status.INCONCLUSIVE}


def test_a_new_reference_starts_the_evidence_afresh(reference: DriftReference) -> None:
    rng = np.random.default_rng(12)
    state, _ = run(reference, [traffic(rng, shift=1.5)])
    later = fit([(day(i), traffic(rng, shift=1.5)) for i in range(14, 28)], NAMES, CONFIG)
    state, (found,) = run(later, [traffic(rng, shift=1.5)], state, first=28)
    assert found["amount"].status is Status.OK
    assert state.reference == later.key


def test_weekdays_are_compared_with_their_own_kind() -> None:
    rng = np.random.default_rng(13)

    def week(index: int) -> Profile:
        return traffic(rng, shift=1.0 if day(index).start.weekday() >= 5 else 0.0)

    windows = [(day(i), week(i)) for i in range(28)]
    fitted = fit(windows, NAMES, CONFIG)
    _, found = run(fitted, [week(i) for i in range(28, 42)], first=28)
    assert {day["amount"].status for day in found} == {Status.OK}
    # A Monday like a Sunday is unusual only to those who know the weekday.
    _, (known,) = run(fitted, [traffic(rng, shift=1.0)], first=42)
    blind = fit(windows, NAMES, replace(CONFIG, match="none"))
    _, (unknown,) = run(blind, [traffic(rng, shift=1.0)], first=42)
    assert known["amount"].status is Status.DRIFT
    assert unknown["amount"].status is Status.OK


def test_a_column_that_some_windows_lack_is_fitted_on_the_others() -> None:
    rng = np.random.default_rng(15)
    full = [traffic(rng) for _ in range(14)]
    parts = [Profile(p.rows, {"amount": p.columns["amount"]}) for p in full[:4]] + full[4:]
    fitted = fit([(day(i), p) for i, p in enumerate(parts)], NAMES, CONFIG)
    (shop,) = (s for s in fitted.streams if s.subject == "shop")
    assert set(fitted.baseline.windows[shop.place]) == {10.0}
    _, (found,) = run(fitted, [traffic(rng)])
    assert found["shop"].status is Status.OK


def test_segments_share_the_budget_and_are_named() -> None:
    rng = np.random.default_rng(18)
    days = [(day(i), {"country=FR": traffic(rng), "country=DE": traffic(rng)}) for i in range(14)]
    whole = [(window, merge_all(parts.values())) for window, parts in days]
    by_segment = {
        name: [(window, parts[name]) for window, parts in days]
        for name in ("country=FR", "country=DE")
    }
    fitted = fit(whole, NAMES, CONFIG, by_segment)
    assert sum(s.weight for s in fitted.streams) == pytest.approx(len(fitted.streams))
    parts = {"country=FR": traffic(rng, shift=1.5), "country=DE": traffic(rng)}
    _, verdicts = evaluate(
        fitted, DriftState(), "m", day(14), merge_all(parts.values()), CONFIG, parts
    )
    drifted = {v.subject for v in verdicts if v.status is Status.DRIFT}
    assert drifted == {"", "amount", "amount [country=FR]"}
    assert verdicts[-1].detail("columns") == 3
    _, verdicts = evaluate(fitted, DriftState(), "m", day(14), traffic(rng), CONFIG)
    statuses = {v.status for v in verdicts if "[" in v.subject}
    assert statuses == {Status.NO_DATA}


def test_a_reference_of_small_windows_only_is_better_than_none() -> None:
    rng = np.random.default_rng(19)
    fitted = fit([(day(i), traffic(rng, rows=30)) for i in range(14)], NAMES, CONFIG)
    assert fitted.baseline.windows.min() == 14.0
    _, found = run(fitted, [traffic(rng), traffic(rng, shift=1.5)])
    assert [day["amount"].status for day in found] == [Status.OK, Status.DRIFT]


def test_an_empty_reference_is_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        fit([(day(0), EMPTY)], NAMES, CONFIG)


def test_a_schema_without_columns_has_nothing_to_say() -> None:
    fitted = fit([(day(0), Profile(5, {}))], [], CONFIG)
    _, (overall,) = evaluate(fitted, DriftState(), "m", day(1), Profile(5, {}), CONFIG)
    assert overall.status is Status.NO_DATA


def test_many_drifted_columns_are_listed_briefly() -> None:
    rng = np.random.default_rng(16)
    names = [f"c{i}" for i in range(7)]
    kinds = dict.fromkeys(names, ColumnKind.NUMERIC)

    def profile(shift: float) -> Profile:
        return profile_table(pa.table({n: rng.normal(shift, 1.0, 500) for n in names}), kinds)

    fitted = fit([(day(i), profile(0.0)) for i in range(14)], names, CONFIG)
    _, verdicts = evaluate(fitted, DriftState(), "m", day(14), profile(3.0), CONFIG)
    assert verdicts[-1].reason.endswith("c0, c1, c2, c3, c4, ...")


def test_state_survives_storage(reference: DriftReference) -> None:
    state, _ = run(reference, [traffic(np.random.default_rng(17), shift=1.5)])
    adapter = TypeAdapter(DriftState)
    assert adapter.validate_json(adapter.dump_json(state)) == state
