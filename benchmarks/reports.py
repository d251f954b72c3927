"""How long a weekly and a monthly report of a model with 10 million predictions a week take.

    PYTHONPATH=src python benchmarks/reports.py [--rows 10000000] [--features 100] [--keep FOLDER]

Makes a deployment from nothing: hourly profiles of so many predictions (histograms and moments,
as the log stores them; made once for each hour of the day and stored again), hourly verdicts on
drift of each feature for eight weeks, daily metrics and estimates, importances, decisions and
incidents. Then it times `homeostat report weekly` and `monthly` as whole processes, and says how
large the files are. Nothing but the records is read: there are no rows.

``--keep`` leaves the deployment there, to look at reports with; ``--trouble`` makes columns drift.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import sqlalchemy as sa

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.records.codec import to_micros
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.adapters.records.tables import log_profiles
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.episode import Stage as IncidentStage
from homeostat.detectors.performance.detector import LossBaseline
from homeostat.domain.decision import Cause, Decision, Diagnosis, Severity
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window, floor
from homeostat.engine.watch import Baseline, fresh
from homeostat.profiles.build import profile_numbers
from homeostat.profiles.format import to_bytes
from homeostat.profiles.profile import Profile
from homeostat.rollout.state import RolloutState, Stage

HOUR, DAY, WEEK = timedelta(hours=1), timedelta(days=1), timedelta(days=7)
MODEL = "fraud"
MAIN = "import sys; from homeostat.entrypoints.cli import main; main(sys.argv[1:])"


def config(features: int) -> str:
    columns = ", ".join(f"f{k:03}: numeric" for k in range(features))
    return f"""\
models:
  - name: {MODEL}
    task: binary
    classes: [no, yes]
    features: {{{columns}}}
    labels: {{maturity: 5d}}
    business:
      saved: {{value: "f000 if label == 1 and prediction == 1 else 0"}}
"""


def verdicts(window: Window, features: int, rng: np.random.Generator, *, trouble: bool) -> list:
    found = []
    scores = np.abs(rng.normal(0.03, 0.015, features))
    for k, calm in enumerate(scores.tolist()):
        hot = trouble and k in {3, 7} and (window.start.toordinal() % 30) > 12
        score = calm + (0.12 if hot else 0.0)
        status = Status.DRIFT if score > 0.1 else Status.OK
        reason = f"f{k:03} moved by {score:.2f} of its spread" if hot else "as in the reference"
        found.append(
            Verdict(Monitor.DATA_DRIFT, MODEL, f"f{k:03}", window, status, score, 0.1, 2.0, 180.0,
                    0.4, 1_000_000, 60_000, reason)
        )  # fmt: skip
    found.append(
        Verdict(Monitor.VOLUME, MODEL, "", window, Status.OK, 0.1, 0.5, 1.0, 90.0, 0.5, 50_000,
                60_000, "as usual")
    )  # fmt: skip
    return found


def points(day: Window, k: int, end: datetime, rng: np.random.Generator, *, trouble: bool) -> list:
    drop = 0.03 if trouble and k < 12 else 0.0
    found = []

    def add(
        name: str, value: float, half: float, cohort: str, coverage: float, segment: str = ""
    ) -> None:
        n = int(rng.integers(300, 900))
        version = "all versions" if name == "saved" else "v2" if k < 20 else "v1"
        found.append(
            MetricPoint(MODEL, version, name, day, value, value - half, value + half, n, coverage,
                        cohort, segment)
        )  # fmt: skip

    auc = float(0.92 - drop + rng.normal(0, 0.006))
    add("estimated_auc", auc + float(rng.normal(0, 0.004)), 0.02, "estimated", 0.0)
    if end - day.end < 5 * DAY:
        add("auc", auc, 0.03, "weighted", 0.9 - 0.15 * (5 - (end - day.end) / DAY))
        return found
    if 30 <= k < 33:
        return found
    add("auc", auc, 0.015, "matured", 0.97)
    add("log_loss", float(0.2 + drop + rng.normal(0, 0.005)), 0.012, "matured", 0.97)
    add("saved", float(40 - 300 * drop + rng.normal(0, 2)), 5.0, "matured", 0.97)
    for segment, shift in (("country=FR", 0.0), ("country=DE", -0.04), ("country=PL", 0.01)):
        add("auc", auc + shift, 0.03, "matured", 0.97, segment)
    return found


def story(end: datetime) -> list[Decision]:
    ours = "homeostat"
    return [
        Decision(MODEL, end - 20 * DAY, ours, "start_training", "fraud-0002", "loss is above"),
        Decision(MODEL, end - 20 * DAY + HOUR, ours, "train", "v2", "training finished"),
        Decision(MODEL, end - 20 * DAY + HOUR, ours, "accept_candidate", "v2", "passes",
                 (("rows", 9000.0), ("difference", -0.014), ("lower", -0.02), ("upper", -0.008))),
        Decision(MODEL, end - 20 * DAY + 2 * HOUR, ours, "shadow", "v2", "artifact verified"),
        Decision(MODEL, end - 16 * DAY, ours, "promote", "v2", "better; v1 is kept warm",
                 (("e_value", 41.7), ("rows", 3120.0), ("difference", 0.0123))),
        Decision(MODEL, end - 6 * DAY, ours, "fire", "fraud:data_drift:3", "f003 moved"),
        Decision(MODEL, end - 5 * DAY, "ana", "acknowledge", "fraud:data_drift:3", "looking"),
        Decision(MODEL, end - 4 * DAY, "ana", "resolve", "fraud:data_drift:3", "false alarm: sale"),
        Decision(MODEL, end - 3 * DAY, ours, "fire", "fraud:performance_drop:1", "auc fell"),
        Decision(MODEL, end - 3 * DAY, ours, "diagnose", Cause.COVARIATE_SHIFT, "f003 and f007"),
        Decision(MODEL, end - 2 * DAY, ours, "refuse_retraining", "fraud-0003", "few labels"),
        Decision(MODEL, end - DAY, ours, "start_training", "fraud-0003", "auc fell"),
        Decision(MODEL, end - DAY + 2 * HOUR, ours, "train", "v3", "training finished"),
        Decision(MODEL, end - DAY + 2 * HOUR, ours, "reject_candidate", "v3", "not shown better"),
    ]  # fmt: skip


def populate(
    folder: Path, rows: int, features: int, end: datetime, *, trouble: bool
) -> DatabaseRecords:
    (folder / "homeostat-data").mkdir(parents=True)
    (folder / "homeostat.yaml").write_text(config(features))
    url = f"sqlite:///{folder}/homeostat-data/records.db"
    records, rng = DatabaseRecords(url, SystemClock(), "OFF"), np.random.default_rng(7)
    start = end - 8 * WEEK
    for k in range(56):
        day = Window(end - (k + 1) * DAY, end - k * DAY)
        with records.begin() as uow:
            for hour in range(24):
                window = Window(day.start + hour * HOUR, day.start + (hour + 1) * HOUR)
                uow.judge(*verdicts(window, features, rng, trouble=trouble))
            uow.measure(*points(day, k, end, rng, trouble=trouble))
    for period, shift in ((2, 0.0), (1, 0.02)):
        window = Window(end - period * 4 * WEEK, end - (period - 1) * 4 * WEEK)
        with records.begin() as uow:
            for k in range(min(features, 12)):
                value = 0.1 / (k + 1) + (shift if k == 2 else 0.0)
                uow.measure(
                    MetricPoint(MODEL, f"v{3 - period}", f"importance:f{k:03}", window, value,
                                value - 0.005, value + 0.005, 2000, 0.97, "matured")
                )  # fmt: skip
    _states(records, end)
    _profiles(records, rows, features, start, end, rng)
    return records


def _states(records: DatabaseRecords, end: datetime) -> None:
    told = Diagnosis(Cause.COVARIATE_SHIFT, ("f003", "f007"), "Retrain on rows since the change.",
                     "Two columns moved and carry the loss.", retrain=True)  # fmt: skip
    watch = replace(fresh(MODEL, "v2", end - 8 * WEEK, ("matured",)), diagnosis=told)
    incident = IncidentState(
        MODEL, "performance_drop", IncidentStage.FIRING, episode=1, severity=Severity.CRITICAL,
        title="fraud: performance drop (auc)", reason="auc fell by 0.03", fired_at=end - 3 * DAY,
        cause="Two columns moved and carry the loss.", runbook="runbooks/performance_drop.md",
    )  # fmt: skip
    metrics = (("auc", 0.925), ("log_loss", 0.19))
    baseline = Baseline("v2", LossBaseline(0.19, 5000, 0.2), metrics=metrics)
    with records.begin() as uow:
        uow.save(f"rollout:{MODEL}", RolloutState(MODEL, Stage.CHAMPION, "v2", ("v1",),
                                                  since=end - 16 * DAY))  # fmt: skip
        uow.save(f"baseline:{MODEL}:v2", baseline)
        uow.save(f"watch:{MODEL}", watch)
        uow.save(f"incident:{MODEL}:performance_drop", incident)
        uow.decide(*story(end))


def _profiles(
    records: DatabaseRecords, rows: int, features: int, start: datetime, end: datetime,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    hourly = rows // (7 * 24)
    made = []
    for hour in range(24):
        columns = {
            f"f{k:03}": profile_numbers(rng.lognormal(k % 5, 0.5, hourly)) for k in range(features)
        }
        columns["score"] = profile_numbers(rng.beta(1 + hour / 24, 9, hourly))
        made.append(to_bytes(Profile(hourly, columns)))
    count = int((end - start) / HOUR)
    entries = [
        {"model": MODEL, "version": "v2", "hour": to_micros(start + k * HOUR),
         "profile": made[k % 24], "late": 0, "rows": hourly}
        for k in range(count)
    ]  # fmt: skip
    with records.database.write() as connection:
        connection.execute(sa.insert(log_profiles), entries)


def timed(folder: Path, kind: str, out: str, as_of: str) -> tuple[float, float, int]:
    """Return seconds, CPU seconds and bytes of a report."""
    command = [sys.executable, "-c", MAIN, "report", kind, MODEL, "--as-of", as_of, "-o", out]
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, env=os.environ)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, cpu, (folder / out).stat().st_size


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--features", type=int, default=100)
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--trouble", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = asked.keep or Path(temporary) / "site"
        end = floor(SystemClock().now(), DAY)
        populate(folder, asked.rows, asked.features, end, trouble=asked.trouble).close()
        size = (folder / "homeostat-data" / "records.db").stat().st_size
        print(f"{asked.rows:,} predictions a week, {asked.features} features, {size / 1e6:.0f} MB")
        for kind in ("weekly", "monthly", "drift", "card"):
            for form in ("html", "json"):
                took, cpu, size = timed(folder, kind, f"{kind}.{form}", f"{end:%Y-%m-%d}")
                print(f"{kind:8} {form:5} {took:6.2f} s, {cpu:6.2f} s CPU, {size / 1e3:7.0f} kB")


if __name__ == "__main__":
    main()
