"""Whether the inputs, or the scores, have changed beyond what the reference's windows do.

``DRIFT`` needs two things. *Evidence*: the e-detectors of all columns, segments and windows
together hold the alarm budget. *Effect*: the change is one that the owner cares about, and larger
than what the reference does by itself over weeks. Small shifts gather evidence over windows, big
ones fire at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from homeostat.detectors.drift.aspects import Limits, Reading
from homeostat.detectors.drift.finding import Finding, Last, find
from homeostat.detectors.drift.reference import DriftConfig, DriftReference, fit
from homeostat.detectors.drift.state import DriftState, pack
from homeostat.detectors.drift.streams import Stream
from homeostat.detectors.drift.wording import overall_verdict, stream_verdict
from homeostat.domain.verdict import Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.profile import Profile
from homeostat.stats.changepoint import Tally, forget, fresh, measure, update
from homeostat.stats.multiple import e_bh

__all__ = ["DriftConfig", "DriftReference", "DriftState", "Limits", "evaluate", "fit"]

Floats = NDArray[np.float64]

TELLING = 6.0  # standard errors between the reference and where a column had gone


def evaluate(
    reference: DriftReference,
    state: DriftState,
    model: str,
    window: Window,
    profile: Profile,
    config: DriftConfig,
    segments: Mapping[str, Profile] | None = None,
    monitor: Monitor = Monitor.DATA_DRIFT,
) -> tuple[DriftState, tuple[Verdict, ...]]:
    """Judge a window; call once a window, in order of time.

    Parameters
    ----------
    reference : DriftReference
    state : DriftState
        Of the window before; ``DriftState()`` at first, or after the reference changed.
    model : str
    window : Window
    profile : Profile
    config : DriftConfig
    segments : mapping of str to Profile, optional
        Parts of the rows, by name.
    monitor : Monitor

    Returns
    -------
    DriftState, tuple of Verdict
        One verdict per column and segment (``amount [country=FR]``), whose score is the largest
        effect in units of the owner's limit: 1 just matters. With ``DATA_DRIFT`` a last one for
        subject ``""``: its score is the share of columns that drifted, also in its details.

    Notes
    -----
    Columns are named by e-BH: only if the average e-detector is over the threshold, so that the
    expected time to the first false alarm of *any* column is at least the threshold. One that
    drifted is ``ok`` again when its newest windows, as many as tell the two apart, lie closer to
    the reference than to where it had gone. Windows with too few rows change nothing.
    """
    state = state if state.reference == reference.key else DriftState(reference.key)
    readings = [_read(stream, profile, segments, config) for stream in reference.streams]
    tally, last = _add(reference, state, window, readings)
    tally, returned = _return(reference, state, tally, last)
    shift = measure(tally, reference.baseline, reference.groups)
    findings = [
        find(reference, config, shift, last, place, reading)
        for place, reading in enumerate(readings)
    ]
    held = frozenset(state.drifted) - returned
    verdicts = _name(reference, monitor, model, window, findings, config, held)
    if any(reading.usable for reading in readings):
        going = {v.subject for v in verdicts if v.status is Status.DRIFT}
        unseen = {found.stream.subject for found in findings if not found.usable}
        kept = held & unseen
        state = pack(reference.key, tally, tuple(sorted(going | kept)))
    if monitor is Monitor.DATA_DRIFT:
        average = math.fsum(f.evidence * f.stream.weight for f in findings) / max(1, len(findings))
        overall = overall_verdict(reference, model, window, verdicts, average, config, profile.rows)
        verdicts = (*verdicts, overall)
    return state, verdicts


def _name(
    reference: DriftReference,
    monitor: Monitor,
    model: str,
    window: Window,
    findings: Sequence[Finding],
    config: DriftConfig,
    held: frozenset[str],
) -> tuple[Verdict, ...]:
    """Return the verdicts, naming as many streams as the budget allows.

    What was proven stays so until it has returned, though evidence may dip as starts thin out.
    """
    weighted = [found.evidence * found.stream.weight for found in findings]
    named = set(e_bh(weighted, config.threshold))
    level = config.threshold * len(findings) / max(1, len(named))
    return tuple(
        stream_verdict(
            reference,
            monitor,
            model,
            window,
            found,
            level,
            proven=index in named or found.stream.subject in held,
        )
        for index, found in enumerate(findings)
    )


def _read(
    stream: Stream,
    profile: Profile,
    segments: Mapping[str, Profile] | None,
    config: DriftConfig,
) -> Reading:
    part = profile if not stream.segment else (segments or {}).get(stream.segment)
    return stream.lens.read(part, config.min_rows)


def _add(
    reference: DriftReference, state: DriftState, window: Window, readings: Sequence[Reading]
) -> tuple[Tally, Last]:
    """Add a window to the tally."""
    baseline = reference.baseline
    sizes = [len(stream.lens.aspects) for stream in reference.streams]
    seen = np.concatenate([reading.values for reading in readings]) if readings else np.empty(0)
    counts = np.array([float(max(1, reading.rows)) for reading in readings])
    rows = np.repeat(counts, sizes) if readings else np.empty(0)
    values = seen - reference.rhythm.expected(window)
    known = ~np.isnan(values) & (baseline.windows > 0.0)
    weights = np.where(known, baseline.weigh(rows, reference.rhythm.stretch(window)), 0.0)
    # Against a short reference each window stands alone: the ones before are no better known.
    before = fresh(values.size) if reference.partial else state.tally(values.size)
    tally = update(before, baseline, np.where(known, values, 0.0), weights)
    return tally, Last(np.where(known, values - baseline.mean, 0.0), weights)


def _return(
    reference: DriftReference, state: DriftState, tally: Tally, last: Last
) -> tuple[Tally, frozenset[str]]:
    """Start drifted streams afresh that are closer to the reference than to where they had gone."""
    if not state.drifted or reference.partial:
        return tally, frozenset()
    before = measure(state.tally(last.moved.size), reference.baseline, reference.groups)
    back = np.zeros(last.moved.size, dtype=np.bool_)
    returned = set()
    for stream in reference.streams:
        if stream.subject not in state.drifted or not last.weights[stream.place].any():
            continue
        lead = stream.place.start + int(np.argmax(before.parts[stream.place]))
        if _is_back(tally, lead, float(before.size[lead])):
            back[stream.place] = True
            returned.add(stream.subject)
    return forget(tally, back), frozenset(returned)


def _is_back(tally: Tally, series: int, size: float) -> bool:
    """Whether the newest windows, as many as tell a shift of `size` from none, say none."""
    newest = tally.since[::-1, :, series]
    telling = newest[newest[:, 0] * size**2 >= TELLING**2]
    return bool((telling[:1, 1] * size < telling[:1, 0] * size**2 / 2.0).any())
