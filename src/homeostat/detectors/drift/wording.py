"""Verdicts on drift, and the sentences in them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from homeostat.detectors.drift.aspects import Aspect
from homeostat.detectors.drift.correlations import PairLens
from homeostat.detectors.drift.finding import Finding
from homeostat.detectors.drift.reference import DriftConfig, DriftReference
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window

NAMED = 5
TEXTS = {
    Aspect.LOCATION: "{:+.3g} standard deviations",
    Aspect.SPREAD: "{:+.0%} spread",
    Aspect.SHAPE: "{:.1%} of rows in other cells",
    Aspect.MISSING: "{:+.1%} missing values",
    Aspect.CORRELATION: "correlation {:+.2f}",
}


def stream_verdict(
    reference: DriftReference,
    monitor: Monitor,
    model: str,
    window: Window,
    found: Finding,
    level: float,
    *,
    proven: bool,
) -> Verdict:
    """Return the verdict on one column; `proven`: the budget allows it to be named."""
    status, reason = _status(found, partial=reference.partial, proven=proven)
    details: tuple[tuple[str, float], ...] = ()
    if found.usable:
        effects = ((str(aspect), size) for aspect, size in found.effects.items())
        details = (*effects, ("missing_share", found.missing), *found.named)
    return Verdict(
        monitor=monitor,
        model=model,
        subject=found.stream.subject,
        window=window,
        status=status,
        score=found.score if found.usable else math.nan,
        effect_threshold=1.0,
        evidence=found.evidence,
        evidence_threshold=level / found.stream.weight,
        p_value=found.p_value,
        n_reference=reference.rows,
        n_current=found.rows,
        reason=reason,
        details=details,
    )


def _status(found: Finding, *, partial: bool, proven: bool) -> tuple[Status, str]:
    if not found.rows:
        return Status.NO_DATA, "no rows in the window"
    if not found.usable:
        few = f"{found.rows} rows in the window, {found.needed} are needed"
        kind = f"not {found.stream.lens.expects} any more: cannot be compared"
        return Status.INCONCLUSIVE, few if found.rows < found.needed else kind
    big = found.score >= 1.0
    size = TEXTS[found.leading].format(found.effects[found.leading])
    if found.named:
        size += f" ({', '.join(name for name, _ in found.named)})"
    limit = TEXTS[found.leading].format(found.limits[found.leading]).lstrip("+")
    if proven and big:
        return Status.DRIFT, f"{size}: more than its own windows vary, and enough to matter"
    if found.asked >= 1.0 and partial:
        return Status.INCONCLUSIVE, f"{size}, but the reference is too short to tell"
    usual = "not more than the reference's own windows explain" if big else "as usual"
    text = f"real, but too small to matter (limit {limit})" if proven else usual
    return Status.OK, f"{size}: {text}"


def overall_verdict(
    reference: DriftReference,
    model: str,
    window: Window,
    verdicts: Sequence[Verdict],
    evidence: float,
    config: DriftConfig,
    rows: int,
) -> Verdict:
    """Return the verdict on the model as a whole; segments count for it, not for the share."""
    fired = [verdict.subject for verdict in verdicts if verdict.status is Status.DRIFT]
    columns = {
        stream.subject
        for stream in reference.streams
        if not stream.segment and not isinstance(stream.lens, PairLens)
    }
    drifted = [subject for subject in fired if subject in columns]
    share = len(drifted) / len(columns) if columns else math.nan
    judged = {verdict.status for verdict in verdicts}
    order = (Status.DRIFT, Status.OK, Status.INCONCLUSIVE)
    status = next((status for status in order if status in judged), Status.NO_DATA)
    reason = f"{len(drifted)} of {len(columns)} columns drifted"
    if fired:
        reason += ": " + ", ".join(fired[:NAMED]) + (", ..." if len(fired) > NAMED else "")
    return Verdict(
        monitor=Monitor.DATA_DRIFT,
        model=model,
        subject="",
        window=window,
        status=status,
        score=share,
        effect_threshold=0.0,
        evidence=evidence,
        evidence_threshold=config.threshold,
        p_value=math.nan,
        n_reference=reference.rows,
        n_current=rows,
        reason=reason,
        details=(
            ("share_drifted", share),
            ("drifted", float(len(drifted))),
            ("columns", float(len(columns))),
        ),
    )
