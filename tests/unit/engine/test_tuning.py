"""What is proposed keeps within the budget, is no laxer than it must be, and says what it costs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.signal import Series
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts
from homeostat.alerting.replay import Trouble
from homeostat.alerting.rules import METRIC_THRESHOLD, AlertRule, default_rules
from homeostat.detectors.series.dynamic import SeriesConfig
from homeostat.detectors.series.limits import LimitConfig
from homeostat.domain.decision import Severity
from homeostat.domain.limit import Limit, LimitState
from homeostat.domain.point import Point
from homeostat.domain.verdict import DEGRADED, Monitor, Status
from homeostat.domain.window import Window
from homeostat.engine.knobs import Figures, Unit, knobs, units, with_setting
from homeostat.engine.plan import DegradedPolicy, MetricThreshold, ModelPlan
from homeostat.engine.replay_series import Listener
from homeostat.engine.tuning import Advice, Advised, Tuner
from simulation.world import DAY, HOUR, MODEL, PLAN, START
from unit.engine.diary import Diary, figures, hour, judged, limit, measured, with_rules

WEEKS = 8
UNTIL = WEEKS * 7 * 24 + 30
SPAN = Window(START, hour(WEEKS * 7 * 24))
METRIC = tuple(rule for rule in default_rules(("ops",)) if rule.name == METRIC_THRESHOLD)
LIMITS = st.builds(
    Limit,
    above=st.none() | st.just(0.6),
    below=st.floats(0.2, 0.5),
    windows=st.integers(1, 3),
    min_rows=st.sampled_from([0, 50]),
    sure=st.booleans(),
)


def dips(*places: tuple[int, float, int]) -> list[float]:
    """Return hourly figures of eight weeks with dips: from which hour, how deep, how long."""
    rng = np.random.default_rng(3)
    values = 0.9 + 0.005 * rng.standard_normal(WEEKS * 7 * 24)
    for place, depth, length in places:
        values[place : place + length] = depth
    return [float(value) for value in values]


def diary(plan: ModelPlan, *verdicts: object) -> Diary:
    past = Diary(plan)
    past.answered(range(1, UNTIL))
    past.note(*verdicts)  # type: ignore[arg-type]
    return past


def advise(past: Diary, budget: float, **more: object) -> Advised:
    tape, known = past.read(UNTIL)
    listener = Listener(past.plan, past.records, past.registry)
    said = listener.heard(tape, known)
    tape = tape.with_signals((at, rule, signal) for at, told in said for rule, signal in told)
    looked = listener.looked_at(tape, known)
    tuner = Tuner(past.plan, tape, SPAN, budget, series=looked, **more)  # type: ignore[arg-type]
    return tuner.advise()


def about(advised: Advised, rule: str, subject: str = "") -> Advice:
    return next(a for a in advised.advice if (a.rule, a.subject) == (rule, subject))


NOISY = [(100 + 150 * n, 0.78, 1) for n in range(8)]
DEEP = (600, 0.5, 30)
AUC = limit("auc", 0.8)


@pytest.fixture(scope="module")
def noisy() -> Diary:
    plan = with_rules(*METRIC, thresholds=(AUC,))
    return diary(plan, *figures(AUC, dips(*NOISY, DEEP)))


def test_what_is_within_the_budget_stays(noisy: Diary) -> None:
    found = advise(noisy, 1.2)
    one = about(found, METRIC_THRESHOLD, "auc limit")
    assert (one.pages, one.best, one.options) == (9 / WEEKS, None, ())
    assert (found.pages, len(found.after), found.weeks) == (9 / WEEKS, 9, WEEKS)
    assert one.level == pytest.approx(1.2)
    assert one.strictest is not None
    assert 0.8 < float(one.strictest.value) < 0.9  # type: ignore[arg-type]
    assert one.strictest.pages <= 1.2


def test_the_strictest_values_within_the_budget_are_proposed(noisy: Diary) -> None:
    found = advise(noisy, 0.2)
    one = about(found, METRIC_THRESHOLD, "auc limit")
    options = {o.knob: (o.now, o.value, o.pages) for o in one.options}
    assert options == {"below": (0.8, 0.78, 1 / WEEKS), "windows": (1, 2, 1 / WEEKS)}
    assert one.best is not None
    assert (one.best.knob, one.best.missed, one.best.delay) == ("below", None, None)
    assert one.best.expected.rate == pytest.approx(1 / WEEKS)
    assert one.best.expected.interval.upper > 5 / WEEKS
    assert len(found.after) == 1
    assert found.after[0].began == hour(625)


def test_the_truth_decides_what_is_best(noisy: Diary) -> None:
    deep = (Trouble(MODEL, hour(600), hour(630)),)
    found = advise(noisy, 0.2, troubles=deep, grace=DAY)
    one = about(found, METRIC_THRESHOLD, "auc limit")
    costs = {o.knob: (o.missed, o.delay) for o in one.options}
    assert costs == {"below": (0, 25 * HOUR), "windows": (0, 26 * HOUR)}
    assert one.best is not None
    assert one.best.knob == "below"
    shallow = (Trouble(MODEL, hour(100), hour(101)), *deep)
    found = advise(noisy, 0.2, troubles=shallow, grace=DAY)
    one = about(found, METRIC_THRESHOLD, "auc limit")
    assert {o.missed for o in one.options} == {1}


def test_pages_about_real_trouble_may_be_left_out_of_the_count(noisy: Diary) -> None:
    deep = (Trouble(MODEL, hour(600), hour(630)),)
    every = advise(noisy, 1.05, troubles=deep, grace=DAY)
    assert about(every, METRIC_THRESHOLD, "auc limit").best is not None
    found = advise(noisy, 1.05, troubles=deep, grace=DAY, only_false=True)
    assert found.pages == 8 / WEEKS
    assert about(found, METRIC_THRESHOLD, "auc limit").best is None
    found = advise(noisy, 0.01, troubles=deep, grace=DAY, only_false=True)
    assert (found.counts, len(found.after)) == ((0,) * WEEKS, 1)


def test_proposals_are_monotone_in_the_budget(noisy: Diary) -> None:
    values: dict[str, list[float]] = {}
    for budget in (0.01, 0.13, 0.3, 0.8, 1.0):
        one = about(advise(noisy, budget), METRIC_THRESHOLD, "auc limit")
        for option in one.options:
            values.setdefault(option.knob, []).append(float(option.value))  # type: ignore[arg-type]
    assert values["below"] == sorted(values["below"])
    assert values["windows"] == sorted(values["windows"], reverse=True)
    again = advise(noisy, 0.13)
    assert again == advise(noisy, 0.13)


def test_minimum_samples_are_found_where_small_windows_page() -> None:
    rows = [20 if value < 0.8 else 200 for value in dips(*NOISY)]
    deeper = [0.3 if n == 20 else value for n, value in zip(rows, dips(*NOISY), strict=True)]
    past = diary(with_rules(*METRIC, thresholds=(AUC,)), *figures(AUC, deeper, rows))
    one = about(advise(past, 0.1), METRIC_THRESHOLD, "auc limit")
    assert {o.knob: o.value for o in one.options} == {"below": 0.3, "windows": 2, "min_rows": 21}


def test_limits_from_above_and_sure_ones_are_tuned_too() -> None:
    config = LimitConfig(above=0.8, sure=True)
    loss = MetricThreshold("loss limit", "loss", config)
    spikes = [(100 + 150 * n, 1.2 + n / 100, 1) for n in range(8)]
    values = [value - 0.4 if value < 1.0 else value for value in dips(*spikes)]
    verdicts = figures(replace(loss, config=replace(config, sure=False)), values)
    past = diary(with_rules(*METRIC, thresholds=(loss,)), *verdicts)
    errors = {(v.subject, v.window): 0.01 for v in verdicts}
    one = about(advise(past, 0.3, errors=errors), METRIC_THRESHOLD, "loss limit")
    option = next(o for o in one.options if o.knob == "above")
    assert option.value == 1.24
    assert option.pages == 2 / WEEKS, "1.26 and 1.27 are surely above"
    assert about(advise(past, 0.3), METRIC_THRESHOLD, "loss limit").options == ()


def test_the_budget_is_shared_by_rules_and_holds_are_proposed() -> None:
    rules = tuple(r for r in default_rules(("ops",)) if r.name in {"data_fault", "volume_anomaly"})
    past = diary(with_rules(*rules))
    for n in range(16):
        for status, at in ((Status.DRIFT, 80 * n + 10), (Status.OK, 80 * n + 13)):
            past.note(judged(Monitor.VOLUME, status, hour(at)))
    past.note(judged(Monitor.DATA_QUALITY, Status.DRIFT, hour(40), "amount"))
    past.note(judged(Monitor.DATA_QUALITY, Status.OK, hour(50), "amount"))
    found = advise(past, 1.0)
    volume, fault = about(found, "volume_anomaly"), about(found, "data_fault")
    assert (fault.pages, fault.best) == (1 / WEEKS, None)
    assert volume.level == pytest.approx(7 / WEEKS)
    assert volume.best is not None
    assert (volume.best.knob, volume.best.value) == ("hold", timedelta(hours=3))
    assert [e.rule for e in found.after] == ["data_fault"]
    assert [a.rule for a in found.advice] == ["volume_anomaly", "data_fault"]


def test_what_lasts_cannot_be_tuned_away() -> None:
    rules = tuple(r for r in default_rules(("ops",)) if r.name == "volume_anomaly")
    past = diary(with_rules(*rules))
    for n in range(4):
        past.note(judged(Monitor.VOLUME, Status.DRIFT, hour(300 * n + 10)))
        past.note(judged(Monitor.VOLUME, Status.OK, hour(300 * n + 210)))
    one = about(advise(past, 0.1), "volume_anomaly")
    assert (one.options, one.best, one.strictest) == ((), None, None)


def test_what_cannot_come_down_leaves_less_to_the_others() -> None:
    names = {"data_fault", "volume_anomaly"}
    past = diary(with_rules(*(r for r in default_rules(("ops",)) if r.name in names)))
    for n in range(4):
        past.note(judged(Monitor.VOLUME, Status.DRIFT, hour(300 * n + 10)))
        past.note(judged(Monitor.VOLUME, Status.OK, hour(300 * n + 210)))
    for n in range(5):
        past.note(judged(Monitor.DATA_QUALITY, Status.DRIFT, hour(200 * n + 5), "amount"))
        past.note(judged(Monitor.DATA_QUALITY, Status.OK, hour(200 * n + 7 + n), "amount"))
    found = advise(past, 6 / WEEKS, critical=True)
    assert about(found, "volume_anomaly").best is None
    fault = about(found, "data_fault")
    assert fault.level == pytest.approx(2 / WEEKS)
    assert fault.best is not None
    assert fault.best.value == timedelta(hours=4)
    assert sum(found.counts) == 6


@pytest.mark.parametrize("asked", [False, True])
def test_a_critical_rule_that_is_built_in_is_held_only_if_that_is_asked_for(asked: bool) -> None:
    rules = tuple(r for r in default_rules(("ops",)) if r.name == "model_down")
    past = diary(with_rules(*rules))
    for n in range(8):
        past.note(judged(Monitor.SERVICE, Status.DRIFT, hour(100 * n + 5), "availability"))
        past.note(judged(Monitor.SERVICE, Status.OK, hour(100 * n + 7), "availability"))
    down = about(advise(past, 0.3, critical=asked), "model_down")
    assert (down.critical, down.spared, down.best is None) == (True, not asked, not asked)


def test_the_owners_limits_on_series_are_tuned() -> None:
    low = AlertRule(
        "low",
        Static(Series("accuracy", DAY), Limit(below=0.8)),
        Severity.INFO,
        "r.md",
        own=True,
    )
    gone = replace(low, name="low.missing", condition=Missing(Series("accuracy", DAY), 9 * DAY))
    past = diary(with_rules(low, gone))
    for day in range(WEEKS * 7):
        value = 0.75 if day % 9 == 3 else 0.9
        past.measure(measured("accuracy", 24 * day, value))
    found = advise(past, 0.2)
    one = about(found, "low")
    assert one.pages == 6 / WEEKS
    assert {o.knob: o.value for o in one.options} == {
        "below": 0.75, "windows": 2, "hold": timedelta(days=1)
    }  # fmt: skip
    assert about(found, "low.missing").options == ()
    assert found.after == ()


def test_each_threshold_is_tuned_alone_and_dynamic_ones_not() -> None:
    odd = MetricThreshold("a[*]?", "auc", LimitConfig(below=0.5))
    moving = MetricThreshold("caught", "caught", SeriesConfig(every=DAY, share=0.1))
    drift = replace(PLAN.drift, share=0.15)
    plan = replace(PLAN, drift=drift, thresholds=(AUC, odd, moving), degraded=DegradedPolicy())
    found = {(u.rule.name, u.subject): u for u in units(plan)}
    assert found[METRIC_THRESHOLD, (Monitor.METRIC, "caught")].limit is None
    assert not list(knobs(found[METRIC_THRESHOLD, (Monitor.METRIC, "caught")], Figures(())))
    alone = found[METRIC_THRESHOLD, (Monitor.METRIC, "a[*]?")].alone.condition
    assert isinstance(alone, Verdicts)
    hit = judged(Monitor.METRIC, Status.DRIFT, hour(1), "a[*]?")
    assert alone.tell([hit]).active
    assert alone.tell([replace(hit, subject="a[*]x")]).active is None
    degraded = found["degraded_answers", (Monitor.SERVICE, DEGRADED)]
    assert degraded.limit == DegradedPolicy().limit
    assert isinstance(found["data_fault", None], Unit)


@settings(max_examples=60)
@given(
    LIMITS,
    st.lists(
        st.tuples(
            st.sampled_from([0.1, 0.3, 0.45, 0.55, 0.7, float("nan")]), st.sampled_from([10, 100])
        ),
        max_size=30,
    ),
)
def test_figures_are_judged_as_limits_judge_them(
    given_: Limit, rows: list[tuple[float, int]]
) -> None:
    points = [
        Point(Window(hour(n), hour(n + 1)), value, 0.05, count)
        for n, (value, count) in enumerate(rows)
    ]
    expected: list[tuple[int, Status]] = []
    state, before = LimitState(), None
    for place, point in enumerate(points):
        status = Status.INCONCLUSIVE
        if point.unjudged(given_.min_rows) is None:
            state = state.after(beyond=bool(given_.side(point)), windows=given_.windows)
            status = Status.DRIFT if state.firing else Status.OK
        if status is not before:
            expected.append((place, status))
        before = status
    assert list(Figures(points).judged(given_)) == expected


@pytest.mark.parametrize(
    ("value", "cut"),
    [(0.0, 0.0), (-0.123456, -0.1235), (123456.0, 123400.0), (0.00123456, 0.001234)],
    ids=["zero", "negative", "large", "small"],
)
def test_limits_are_cut_to_four_digits_outwards(value: float, cut: float) -> None:
    points = [Point(Window(hour(n), hour(n + 1)), v, 0.0, 9) for n, v in enumerate([value, 1e9])]
    unit = Unit(METRIC[0], (Monitor.METRIC, "x"), Limit(below=2e8))
    below = next(k for k in knobs(unit, Figures(points)) if k.name == "below")
    assert below.looser == [cut]
    assert with_setting(Limit(below=1.0), "min_rows", 5).min_rows == 5


def test_many_values_are_thinned_out_to_the_last() -> None:
    points = [Point(Window(hour(n), hour(n + 1)), n / 1000, 0.0, n) for n in range(1000)]
    unit = Unit(METRIC[0], (Monitor.METRIC, "x"), Limit(below=0.9))
    found = {k.name: k for k in knobs(unit, Figures(points))}
    assert len(found["below"].looser) == 40
    assert found["below"].looser[-1] == 0.0
    assert found["below"].stricter[0] == 0.999
    assert found["min_rows"].looser[-1] <= 500  # type: ignore[operator]
    assert len(found["min_rows"].looser) == 20


def test_progress_goes_up_to_all(noisy: Diary) -> None:
    tape, _ = noisy.read(UNTIL)
    seen: list[float] = []
    Tuner(noisy.plan, tape, SPAN, 0.2).advise(seen.append)
    assert seen == [1.0]
