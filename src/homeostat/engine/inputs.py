"""Judges what comes in: distributions, constraints and fault patterns, volume, and the service."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np

from homeostat.detectors.quality import detector as quality
from homeostat.detectors.quality.reference import QualityReference
from homeostat.detectors.quality.reference import fit as fit_quality
from homeostat.detectors.service import detector as service
from homeostat.detectors.volume import detector as volume
from homeostat.domain.columns import by_split, texts, where
from homeostat.domain.decision import Decision
from homeostat.domain.model import ModelSpec
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window, closed_windows
from homeostat.engine.drift import DriftReferences, fit_drift, follow_segments, still_there
from homeostat.engine.outcomes import Found
from homeostat.engine.plan import ModelPlan
from homeostat.engine.ports import PredictionLog, Records
from homeostat.engine.signals_served import Served
from homeostat.engine.watch import Baseline, Fault, Watch, baseline_key
from homeostat.profiles.profile import Profile, merge_all
from homeostat.serving.plan import Reason

LONGEST_DOUBT = timedelta(days=1)
MODEL_TIER = "model"
SERVICE_COLUMNS = ("role", "version", "tier", "reason", "latency_ms")


@dataclass(frozen=True, slots=True, eq=False)
class Reference:
    """A version's reference, fitted: what inputs and scores are compared with.

    Each monitor has its own, so that one without does not switch the others off.
    """

    drift: DriftReferences | None
    quality: QualityReference
    volume: volume.VolumeReference | None


@dataclass
class References:
    """Reads baselines and fits references when they are first needed.

    Both never change once written, and what it holds can be read again from the records.
    """

    records: Records
    _baselines: dict[tuple[str, str], Baseline] = field(default_factory=dict)
    _fitted: dict[tuple[str, str], Reference] = field(default_factory=dict)
    _followed: dict[tuple[str, str], DriftReferences] = field(default_factory=dict)

    def baseline(self, model: str, version: str) -> Baseline | None:
        """Return the baseline of a version, or None if it came without."""
        key = (model, version)
        if key not in self._baselines:
            found = self.records.read(baseline_key(model, version), Baseline)
            if found is None:
                return None
            self._baselines[key] = found
        return self._baselines[key]

    def fitted(self, plan: ModelPlan, version: str) -> Reference | None:
        """Return the fitted reference of a version, or None if it has none."""
        key = (plan.spec.name, version)
        if key not in self._fitted:
            found = self._fit(plan, version)
            if found is None:
                return None
            self._fitted[key] = found
        return self._fitted[key]

    def drift(
        self, plan: ModelPlan, log: PredictionLog, watch: Watch, now: datetime
    ) -> DriftReferences | None:
        """Return a version's reference of drift, with segments as the log has them.

        These are read when a window is first judged: as late as that, for it takes many profiles.
        """
        fitted = self.fitted(plan, watch.reference)
        if fitted is None or fitted.drift is None:
            return None
        if not any(closed_windows(watch.inputs_until, now, plan.drift.every)):
            return fitted.drift
        key = (watch.model, watch.reference)
        known = self._followed.get(key)
        if known is None or not still_there(plan, log, known):
            known = self._followed[key] = follow_segments(plan, log, watch, fitted.drift)
        return known

    def _fit(self, plan: ModelPlan, version: str) -> Reference | None:
        windows = self.records.reference(plan.spec.name, version)
        baseline = self.baseline(plan.spec.name, version)
        counts = baseline.volumes if baseline is not None else ()
        usual = volume.fit(counts, plan.volume) if counts else None
        if any(profile.rows for _, profile in windows):
            return Reference(
                fit_drift(plan, windows),
                fit_quality(windows, plan.spec.schema, plan.quality),
                usual,
            )
        return None if usual is None else Reference(None, quality.unfitted(), usual)


@dataclass
class Seen:
    """Profiles of this tick's windows; a longer window is merged from shorter ones at hand."""

    log: PredictionLog
    spec: ModelSpec
    _pieces: dict[datetime, tuple[Window, Profile]] = field(default_factory=dict)

    def profile(self, window: Window) -> Profile:
        """Return the profile of what was answered in a window."""
        parts: list[Profile] = []
        moment = window.start
        while moment < window.end:
            piece = self._pieces.get(moment)
            if piece is None or piece[0].end > window.end:
                found = self.log.profile(self.spec, window)
                self._pieces[window.start] = (window, found)
                return found
            parts.append(piece[1])
            moment = piece[0].end
        return merge_all(parts)


def judge_quality(
    plan: ModelPlan, seen: Seen, watch: Watch, reference: Reference | None, now: datetime
) -> tuple[Found, tuple[Decision, ...]]:
    """Check every closed window for broken data; open and close faults accordingly.

    Without a reference, for what the schema states.
    """
    verdicts: list[Verdict] = []
    decisions: list[Decision] = []
    known = quality.unfitted() if reference is None else reference.quality
    for window in closed_windows(watch.quality_until, now, plan.quality.every):
        watch = replace(watch, quality_until=window.end)
        profile = seen.profile(window)
        state, found = quality.evaluate(
            plan.quality,
            known,
            watch.quality,
            plan.spec.name,
            window,
            profile,
            plan.spec.schema,
        )
        watch, noted = note_faults(plan, replace(watch, quality=state), found, window, now)
        verdicts += found
        decisions += noted
    return Found(watch, tuple(verdicts)), tuple(decisions)


def note_faults(
    plan: ModelPlan, watch: Watch, verdicts: tuple[Verdict, ...], window: Window, now: datetime
) -> tuple[Watch, tuple[Decision, ...]]:
    """Open a fault for each column that broke and close those that are fine again.

    A fault begins one window before the first bad one and ends one after the last, because it may
    have begun or ended inside a window that it did not spoil enough to be seen. Windows before it
    that had too few rows to be judged are vouched for by nobody: it begins before these, at most
    `LONGEST_DOUBT` earlier. A column that left the schema is broken no longer. Closed faults are
    kept as long as training may reach back.
    """
    broken = {v.subject: v.reason for v in verdicts if v.status is Status.DRIFT}
    fine = {v.subject for v in verdicts if v.status is Status.OK}
    known = set(plan.spec.schema.names)
    decisions: list[Decision] = []
    faults: list[Fault] = []
    for fault in watch.faults:
        if fault.end is None and (fault.column in fine or fault.column not in known):
            decisions.append(_noted(watch, now, "end_fault", fault, "values are back to normal"))
            faults.append(replace(fault, end=window.end))
        elif fault.end is None or fault.end > now - reach(plan):
            faults.append(fault)
    open_now = {fault.column for fault in faults if fault.end is None}
    sound = {name: end for name, end in watch.sound_until if name in known}
    for column in sorted(set(broken) - open_now):
        doubt = max(sound.get(column, window.start), window.start - LONGEST_DOUBT)
        start = min(doubt, window.start) - window.length
        fault = Fault(column, start, reason=f"{column}: {broken[column]}")
        faults.append(fault)
        decisions.append(_noted(watch, now, "begin_fault", fault, broken[column]))
    sound |= dict.fromkeys(sorted(fine & known), window.end)
    watch = replace(watch, faults=tuple(faults), sound_until=tuple(sound.items()))
    return watch, tuple(decisions)


def reach(plan: ModelPlan) -> timedelta:
    """Return how far back a training that starts now may use rows."""
    policy = plan.retraining
    used = policy.window + policy.holdout if policy else timedelta(0)
    return used + plan.spec.labels.maturity + plan.drift.every


def _noted(watch: Watch, now: datetime, action: str, fault: Fault, reason: str) -> Decision:
    return Decision(watch.model, now, "homeostat", action, fault.column, reason)


def judge_volume(
    plan: ModelPlan, seen: Seen, watch: Watch, reference: Reference | None, now: datetime
) -> Found:
    """Compare the rows of every closed window with what is usual at that time."""
    verdicts: list[Verdict] = []
    for window in closed_windows(watch.volume_until, now, plan.volume.every):
        watch = replace(watch, volume_until=window.end)
        if reference is None or reference.volume is None:
            continue
        rows = seen.profile(window).rows
        state, verdict = volume.evaluate(
            reference.volume, watch.volume, plan.spec.name, window, rows, plan.volume
        )
        watch = replace(watch, volume=state)
        verdicts.append(verdict)
    return Found(watch, tuple(verdicts))


def judge_service(plan: ModelPlan, log: PredictionLog, watch: Watch, now: datetime) -> Found:
    """Judge availability and latency of what the split answered since the last tick."""
    if now <= watch.service_until:
        return Found(watch)
    window = Window(watch.service_until, now)
    asked, scored, moved, reasons, times = 0, 0, 0, Counter[str](), [np.empty(0)]
    for part in log.stretches(plan.spec, window):  # at full traffic a minute has millions of rows
        rows = by_split(log.rows(plan.spec, part, SERVICE_COLUMNS))
        by_model = where(rows, "tier", MODEL_TIER)
        challenged = where(by_model, "role", "challenger")
        asked += rows.num_rows
        scored += by_model.num_rows
        moved += where(challenged, "version", watch.challenger.other).num_rows
        reasons.update(texts(rows, "reason"))
        times.append(by_model["latency_ms"].drop_null().to_numpy())
    latencies = np.concatenate(times)
    served = Served(window, asked, asked - scored, reasons, latencies)
    judged = asked - reasons[Reason.NOT_LOADED.value]  # no model was there to answer or to fail
    state, verdicts = service.evaluate(
        plan.service,
        watch.service,
        plan.spec.name,
        window,
        judged,
        reasons,
        latencies,
    )
    pairing = replace(watch.challenger, served=watch.challenger.served + moved)
    watch = replace(watch, service_until=now, service=state, challenger=pairing)
    # A period without requests says nothing; the volume monitor judges silence.
    told = tuple(verdict for verdict in verdicts if verdict.status is not Status.NO_DATA)
    return Found(watch, told, served=served)
