"""A model's records, made by hand, for reports to tell of."""

from datetime import UTC, datetime, timedelta

import numpy as np

from homeostat.domain.decision import Decision, Severity
from homeostat.domain.model import (
    Column,
    ColumnKind,
    Handling,
    LabelSpec,
    ModelSpec,
    ModelVersion,
    Schema,
    Task,
)
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.reports.facts import Business, Facts
from homeostat.reports.health import IncidentLine
from homeostat.reports.plots import Spread

END = datetime(2024, 3, 11, tzinfo=UTC)
DAY = timedelta(days=1)
WEEK = Window(END - 7 * DAY, END)
NAN = float("nan")
HOLDOUT = {"difference": -0.01, "lower": -0.02, "upper": -0.005}
HOSTILE = "<script>alert(1)</script>|`*\u202e😀" + "n" * 300

SPEC = ModelSpec(
    "fraud",
    Task.BINARY,
    Schema(
        (
            Column("amount", ColumnKind.NUMERIC, minimum=0.0),
            Column("country", ColumnKind.CATEGORICAL, categories=("FR", "DE")),
            Column("iban", ColumnKind.CATEGORICAL, personal=True, handling=Handling.HASH),
            Column(HOSTILE, ColumnKind.NUMERIC, nullable=False),
        )
    ),
    LabelSpec(2 * DAY),
)


def day(back: int) -> Window:
    """Return the day that ended so many days before the end of the report."""
    return Window(END - (back + 1) * DAY, END - back * DAY)


def point(
    back: int,
    value: float,
    half: float = 0.01,
    name: str = "auc",
    version: str = "v2",
    cohort: str = "matured",
    segment: str = "",
    n: int = 500,
    coverage: float = 0.95,
) -> MetricPoint:
    bounds = value - half, value + half
    return MetricPoint(
        "fraud", version, name, day(back), value, *bounds, n, coverage, cohort, segment
    )


def verdict(
    back: int,
    score: float = 0.05,
    status: Status = Status.OK,
    subject: str = "amount",
    monitor: Monitor = Monitor.DATA_DRIFT,
    rows: int = 4000,
) -> Verdict:
    return Verdict(
        monitor, "fraud", subject, day(back), status, score, 0.1, 2.0, 180.0, NAN, 50_000, rows,
        f"{subject} moved by {score:.2f}",
    )  # fmt: skip


def decision(
    back: float, action: str, subject: str = "v2", actor: str = "homeostat", reason: str = "why",
    **evidence: float,
) -> Decision:  # fmt: skip
    return Decision("fraud", END - back * DAY, actor, action, subject, reason, (*evidence.items(),))


def incident(back: float, *, over: float | None = None, by: str = "") -> IncidentLine:
    return IncidentLine(
        f"fraud:data_drift:{back:g}", "fraud", HOSTILE, Severity.WARNING, "firing",
        open=over is None, reason="amount moved", opened=END - back * DAY,
        resolved=None if over is None else END - over * DAY, acknowledged_by=by,
    )  # fmt: skip


def card(version: str, back: float, parent: str = "", *, known: bool = True) -> ModelVersion:
    made = END - back * DAY
    return ModelVersion(
        "fraud", version, "linear", "ab" * 32, made, parent, "fraud-0001" if known else "",
        9000 if known else 0, made - DAY if known else None, (("auc", 0.93),) if known else (),
    )  # fmt: skip


def spread(back: int, shift: float = 0.0) -> Spread:
    levels = (0.1 + shift, 0.2 + shift, 0.3 + shift, 0.4 + shift, 0.5 + shift)
    return Spread(day(back), 4000, levels)


def figures() -> list[MetricPoint]:
    """Return points that became worse six days ago."""
    rng = np.random.default_rng(3)
    points: list[MetricPoint] = []
    for back in range(40):
        if back in {20, 21}:
            continue
        value = (0.85 if back < 6 else 0.92) + float(rng.normal(0, 0.003))
        if back < 2:
            points.append(point(back, value, cohort="weighted", coverage=0.3))
        else:
            points.append(point(back, value, version="v2" if back < 10 else "v1"))
            points.append(point(back, 100.0 - back, 9.0, "saved", "all versions"))
            points.append(point(back, value - 0.1, 0.03, segment="country=FR"))
        points.append(point(back, value, 0.02, "estimated_auc", cohort="estimated", coverage=0.0))
    for back, value in ((7, 0.1), (37, 0.3)):
        points.append(point(back, value, 0.02, "importance:amount"))
    points.append(point(7, 0.05, 0.02, "importance:country"))
    points.append(point(37, 0.045, 0.02, "importance:country"))
    points.append(point(7, 0.01, 0.02, f"importance:{HOSTILE}"))
    points.append(point(39, 0.01, 0.02, "importance:gone"))
    return points


def rich(window: Window = WEEK) -> Facts:
    """Return a model in trouble: worse since four days, and a column that drifts."""
    drifts = [verdict(back, 0.3, Status.DRIFT) for back in range(3)]
    drifts += [verdict(back) for back in range(3, 14)]
    drifts += [verdict(0, NAN, Status.NO_DATA, "country"), verdict(0, 0.08, subject=HOSTILE)]
    drifts.append(verdict(9, 0.2, subject="long gone"))
    drifts.append(verdict(0, 0.02, subject="", monitor=Monitor.PREDICTION_DRIFT))
    drifts.append(verdict(0, 0.02, subject="", monitor=Monitor.VOLUME, rows=700))
    return Facts(
        spec=SPEC,
        window=window,
        generated=END + timedelta(hours=1),
        champion="v2",
        promoted=END - 10 * DAY,
        verdicts=tuple(drifts),
        points=tuple(figures()),
        decisions=(
            decision(13, "shadow"),
            decision(6, "promote", e_value=41.0, rows=3120.0, difference=0.0123),
            decision(5, "fire", "fraud:data_drift:1", reason="amount moved"),
            decision(4.5, "hold", "v3"),
            decision(4, "start_training", "fraud-0003"),
            decision(3.9, "train", "v3"),
            decision(
                3.8,
                "accept_candidate",
                "v3",
                rows=900.0,
                difference=-0.01,
                lower=-0.02,
                upper=-0.005,
            ),
            decision(2, "silence", "1", "ana", HOSTILE),
            decision(1, "refuse_retraining", "fraud-0004", reason=HOSTILE),
        ),
        incidents=(incident(5, over=4, by="ana"), incident(1)),
        versions=(card("v1", 60, known=False), card("v2", 12, "v1"), card("v3", 4, "v2")),
        lineage=("v1",),
        business=(Business("saved", total=True), Business("missed", "lower")),
        baseline=(("auc", 0.93),),
        pages=(("mail", 3), ("pager", 1)),
        answered=tuple((day(back), 4000) for back in reversed(range(7))),
        spreads=(("score", tuple(spread(back, back / 100) for back in range(7))),),
        problems=("profiles of the prediction log (the disk is away)",),
    )


def bare() -> Facts:
    """Return a model of which nothing is known yet."""
    return Facts(SPEC, WEEK, END)
