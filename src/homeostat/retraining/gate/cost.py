"""What serving a candidate costs: time for a row, and size."""

from __future__ import annotations

import numpy as np

from homeostat.retraining.gate.checks import Check
from homeostat.retraining.gate.paired import Floats

LEAST = 0.001
"""Seconds for a row that matter; less is the machine's own noise."""
QUANTILES = (("the median", "p50", 0.5), ("the 95th percentile", "p95", 0.95))


def judge_latency(champion: Floats, candidate: Floats, limit: float) -> Check:
    """Compare the seconds that both took for the same rows, in turns on one machine.

    Examples
    --------
    >>> found = judge_latency(np.full(50, 0.002), np.full(50, 0.1), 2.0)
    >>> found.passed, found.text.partition(";")[0]
    (False, 'a row takes 100 ms at the median, champion 2 ms')
    """
    evidence: list[tuple[str, float]] = []
    slow: list[str] = []
    for words, name, quantile in QUANTILES:
        before, after = (float(np.quantile(times, quantile)) for times in (champion, candidate))
        evidence += [(f"{name}_champion", before), (f"{name}_candidate", after)]
        if after > limit * before and after - before >= LEAST:
            slow.append(f"{after * 1e3:.3g} ms at {words}, champion {before * 1e3:.3g} ms")
    if not slow:
        return Check("latency", True, f"within {limit:g} times the champion's", tuple(evidence))
    text = f"a row takes {'; '.join(slow)} (limit {limit:g} times)"
    return Check("latency", False, text, tuple(evidence))


def judge_size(size: int, limit: int) -> Check:
    """Compare the artifact's bytes with the limit.

    Examples
    --------
    >>> judge_size(3_000_000, 1_000_000).text
    'the artifact has 3 MB, at most 1 MB are allowed'
    """
    text = f"the artifact has {size / 1e6:.4g} MB, at most {limit / 1e6:.4g} MB are allowed"
    return Check("size", size <= limit, text, (("bytes", float(size)),))
