"""Judges realized performance: evidence from every newly matured row, metrics per window."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.calibration import detector as calibration
from homeostat.detectors.calibration.detector import CalibrationState
from homeostat.detectors.performance import detector
from homeostat.detectors.performance.detector import LossBaseline
from homeostat.domain.decision import Decision
from homeostat.domain.model import ModelSpec, Task
from homeostat.domain.verdict import MetricPoint, Status, Verdict
from homeostat.domain.window import EPOCH, Window, closed_windows
from homeostat.engine.cohort import MATURED, Cohort, Outcomes, cohorts, outcomes, with_segments
from homeostat.engine.hindsight import Hindsight
from homeostat.engine.mishaps import MISHAPS, located
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog
from homeostat.engine.signals_served import Served
from homeostat.engine.training import probable
from homeostat.engine.watch import Baseline, Matured, Pairing, Watch
from homeostat.rollout.state import RolloutState, Stage

AUTOMATIC = "homeostat"
KEPT_WINDOWS = 1000


@dataclass(frozen=True, slots=True)
class Found:
    """What one monitor found in this tick; ``served`` is what the service monitor counted."""

    watch: Watch
    verdicts: tuple[Verdict, ...] = ()
    points: tuple[MetricPoint, ...] = ()
    decisions: tuple[Decision, ...] = ()
    served: Served | None = None


def judge_losses(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    rollout: RolloutState,
    baseline: Baseline,
    hindsight: Hindsight,
    now: datetime,
) -> Found:
    """Bet on the rows whose labels became complete since the last tick."""
    spec = plan.spec
    cohort = cohorts(spec)[0]
    until = now - cohort.maturity
    if until <= watch.loss_until:
        return Found(watch)
    window = Window(watch.loss_until, until)
    faults = tuple(fault.window(now) for fault in watch.faults)
    rows = outcomes(log, spec, cohort, window, now, faults)
    watch = replace(watch, loss_until=until)
    watch = _pair(plan, watch, rollout, rows, window, hindsight, now, baseline.loss)
    scores, labels = rows.of(rollout.champion)
    losses = _losses(plan, scores, labels)
    wrong = None
    if spec.task is Task.BINARY:
        wrong = detector.mistakes(scores, labels, spec.threshold)
    # The evidence counts when the labels are in hand, which is now.
    state, verdict = detector.evaluate(
        plan.performance, baseline.loss, watch.loss, spec.name, rollout.champion,
        Window(window.start, now), losses, rows.hours(rollout.champion), wrong,
    )  # fmt: skip
    watch = replace(watch, loss=state)
    if verdict.status is Status.NO_DATA:
        return Found(watch)
    began = watch.drop_since or state.calm or window.start
    onset = began if verdict.status is Status.DRIFT else None
    if watch.drop_since is not None and onset is None:
        # What the drop explained is no evidence that scores are off now that it is over.
        watch = replace(watch, calibration=CalibrationState())
    watch = replace(watch, drop_since=onset)
    watch, further = _judge_calibration(
        plan, watch, baseline, rollout.champion, Window(window.start, now), scores, labels
    )
    told = tuple(replace(one, window=window) for one in (verdict, *further))
    return Found(watch, told)


def _judge_calibration(
    plan: ModelPlan,
    watch: Watch,
    baseline: Baseline,
    champion: str,
    window: Window,
    scores: NDArray[np.float64],
    labels: NDArray[np.float64],
) -> tuple[Watch, tuple[Verdict, ...]]:
    """Bet on whether the champion's probabilities still come true as often as they say."""
    if plan.calibration is None or baseline.calibration is None:
        return watch, ()
    usable = probable(scores, labels)
    state, verdict = calibration.evaluate(
        plan.calibration, baseline.calibration, watch.calibration, plan.spec.name, champion,
        window, labels[usable], scores[usable],
    )  # fmt: skip
    return replace(watch, calibration=state), (verdict,)


def _losses(
    plan: ModelPlan, scores: NDArray[np.float64], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    return detector.losses(
        plan.spec.task, scores, labels, plan.spec.threshold, plan.performance.scale
    )


def _pair(
    plan: ModelPlan,
    watch: Watch,
    rollout: RolloutState,
    rows: Outcomes,
    window: Window,
    hindsight: Hindsight,
    now: datetime,
    usual: LossBaseline,
) -> Watch:
    """Update the paired evidence about the challenger and the version that is kept warm."""
    live = rollout.stage in {Stage.SHADOW, Stage.CANARY, Stage.PROMOTING}
    challenger = rollout.challenger if live else ""
    previous = rollout.previous if rollout.on_probation(now) else ""
    both = (rollout.champion, challenger)
    day = (window.start - EPOCH) // timedelta(days=1)
    filled = hindsight.fill(plan.spec, rows, window, both) if challenger else rows
    return replace(
        watch,
        challenger=_advance(plan, watch.challenger, rollout, challenger, filled, day, usual),
        warm=_advance(plan, watch.warm, rollout, previous, rows, day, usual),
    )


def _advance(
    plan: ModelPlan,
    pairing: Pairing,
    rollout: RolloutState,
    other: str,
    rows: Outcomes,
    day: int,
    usual: LossBaseline,
) -> Pairing:
    if not other:
        return Pairing()
    if (pairing.champion, pairing.other) != (rollout.champion, other):
        pairing = Pairing(rollout.champion, other)
    if pairing.since != rollout.since:
        pairing = replace(pairing, answered=0, served=0, since=rollout.since)
    margin = min(1.0, max(0.0, plan.gate_margin) * usual.mean)
    champion_scores, other_scores, labels = rows.paired(rollout.champion, other)
    bets, _ = detector.compare_paired(
        _losses(plan, champion_scores, labels),
        _losses(plan, other_scores, labels),
        pairing.bets,
        margin,
        day,
        usual.sure,
    )
    answered = pairing.answered + int(labels.size)
    return replace(pairing, bets=bets, answered=answered, margin=margin, sure=usual.sure)


def paired_evidence(pairing: Pairing) -> detector.PairedEvidence:
    """Return what the paired bets say so far."""
    bets = pairing.bets
    _, evidence = detector.compare_paired([], [], bets, block=bets.block or 0)
    return evidence


def measure_windows(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    rollout: RolloutState,
    now: datetime,
) -> Found:
    """Write the metrics of every window whose labels became complete.

    Of each cohort and version: of all rows, and of each segment. A window that cannot be measured
    is passed over with a decision: those after it can be, and it comes up again for late labels.
    """
    points: list[MetricPoint] = []
    decisions: list[Decision] = []
    for cohort in cohorts(plan.spec):
        cursors = dict(watch.metrics_until)
        start = cursors.get(cohort.name, watch.since)
        for window in closed_windows(start, now - cohort.maturity, plan.metric_window):
            try:
                found = _measure_window(plan, log, watch, rollout, cohort, window, now)
            except MISHAPS as error:
                reason = f"{cohort.name} rows of {window} not measured: {located(error)}"
                found = Found(watch, decisions=(_decision(plan, now, "skip_window", reason),))
            watch = found.watch
            points += found.points
            decisions += found.decisions
            cursors[cohort.name] = window.end
        watch = replace(watch, metrics_until=tuple(cursors.items()))
    return Found(watch, points=tuple(points), decisions=tuple(decisions))


def _measure_window(
    plan: ModelPlan,
    log: PredictionLog,
    watch: Watch,
    rollout: RolloutState,
    cohort: Cohort,
    window: Window,
    now: datetime,
) -> Found:
    points: list[MetricPoint] = []
    decisions: list[Decision] = []
    faults = tuple(fault.window(now) for fault in watch.faults)
    for segment, rows in with_segments(log, plan.spec, cohort, window, now, faults):
        points += measure_rows(plan, rows, window, cohort.name, segment)
        if cohort.name == MATURED and not segment:
            watch = _count(plan, watch, rollout, rows, window)
            if rows.strange:
                what = "a label or an answer that is no class of the model"
                reason = f"{rows.strange} logged rows of {window} have {what}; it is left out"
                decisions.append(_decision(plan, now, "leave_out", reason))
    return Found(watch, points=tuple(points), decisions=tuple(decisions))


def _decision(plan: ModelPlan, now: datetime, action: str, reason: str) -> Decision:
    return Decision(plan.spec.name, now, AUTOMATIC, action, "performance", reason)


def measure_rows(
    plan: ModelPlan, rows: Outcomes, window: Window, cohort: str, segment: str = ""
) -> list[MetricPoint]:
    """Return the metrics of every version that scored rows of the window, and enough of them."""
    spec = plan.spec
    points: list[MetricPoint] = []
    for version in sorted({str(name) for name in rows.rows["version"].to_pylist()}):
        scores, labels = rows.of(version)
        points += detector.measure(
            spec, version, window, scores, labels, rows.coverage, cohort,
            rows.probabilities(version, len(spec.classes)), segment,
            plan.performance.min_rows,
        )  # fmt: skip
    return points


def _count(
    plan: ModelPlan, watch: Watch, rollout: RolloutState, rows: Outcomes, window: Window
) -> Watch:
    """Remember how many labels the window has and whether performance was worse in it."""
    _, labels = rows.of(rollout.champion)
    counts = class_counts(plan.spec, labels)
    matured = Matured(window, counts, rows.asked, rows.known)
    kept = (*watch.matured, matured)[-KEPT_WINDOWS:]
    if labels.size < plan.performance.min_rows:
        return replace(watch, matured=kept)
    worse = watch.drop_since is not None and window.end > watch.drop_since
    return replace(watch, matured=kept, drops=watch.drops + 1 if worse else 0)


def class_counts(spec: ModelSpec, labels: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the number of labels of each class; one figure for regression.

    Examples
    --------
    >>> from datetime import timedelta
    >>> from homeostat.domain.model import LabelSpec, Schema
    >>> labels = LabelSpec(timedelta(days=1))
    >>> spec = ModelSpec("m", Task.BINARY, Schema(()), labels, classes=("no", "yes"))
    >>> class_counts(spec, np.array([0.0, 1.0, 0.0]))
    (2, 1)
    """
    if spec.task is Task.REGRESSION:
        return (int(labels.size),)
    classes = max(len(spec.classes), 2)
    return tuple(int((labels == index).sum()) for index in range(classes))
