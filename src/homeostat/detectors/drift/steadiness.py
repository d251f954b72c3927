"""Whether a reference drifts by itself: its later half judged against its earlier one."""

from __future__ import annotations

from collections.abc import Sequence

from homeostat.detectors.drift.detector import evaluate
from homeostat.detectors.drift.reference import FEW_WINDOWS, DriftConfig, Windows, fit
from homeostat.detectors.drift.state import DriftState
from homeostat.domain.verdict import Status, Verdict


def drifting(
    reference: Windows, columns: Sequence[str], config: DriftConfig
) -> tuple[Verdict, ...]:
    """Return the verdicts on the columns that have drifted by the end of a reference.

    What a drifting reference calls usual depends on where it is cut. Empty too if there are fewer
    than `FEW_WINDOWS` windows in each half.

    Examples
    --------
    >>> from datetime import UTC, datetime, timedelta
    >>> import numpy as np
    >>> from homeostat.domain.window import Window
    >>> from homeostat.profiles.build import profile_numbers
    >>> from homeostat.profiles.profile import Profile
    >>> rng, day = np.random.default_rng(0), timedelta(days=1)
    >>> start = datetime(2024, 1, 1, tzinfo=UTC)
    >>> days = [Window(start + i * day, start + (i + 1) * day) for i in range(28)]
    >>> means = {"steady": [0.0] * 28, "rising": [0.05 * i for i in range(28)]}
    >>> windows = [
    ...     (w, Profile(500, {n: profile_numbers(rng.normal(m[i], 1, 500))
    ...                       for n, m in means.items()}))
    ...     for i, w in enumerate(days)
    ... ]
    >>> [verdict.subject for verdict in drifting(windows, list(means), DriftConfig())]
    ['rising']
    """
    used = sorted((item for item in reference if item[1].rows > 0), key=lambda item: item[0])
    half = len(used) // 2
    if half < FEW_WINDOWS:
        return ()
    fitted = fit(used[:half], columns, config)
    state = DriftState()
    verdicts: tuple[Verdict, ...] = ()
    for window, profile in used[half:]:
        state, verdicts = evaluate(fitted, state, "", window, profile, config)
    return tuple(v for v in verdicts if v.subject and v.status is Status.DRIFT)
