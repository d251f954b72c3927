"""What a candidate must not be worse in than the champion, besides its loss, and by how much."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GateLimits:
    """How much worse a candidate may look before it is refused; None: that is not judged.

    A candidate is refused where it is worse by more than the limit and the difference is beyond
    chance.

    Attributes
    ----------
    segment : float or None
        Rise of a segment's loss, as a share of the champion's there.
    segment_proof : bool
        Each segment with enough rows must be shown to rise by less than that, instead of not being
        shown to be worse.
    calibration : float or None
        Rise of the expected calibration error (binary).
    value : float or None
        Fall of a business metric, as a share of the champion's.
    latency : float or None
        Ratio of the times to score one row, at the median and at the 95th percentile.
    size : int or None
        Bytes of the artifact.
    robustness : float or None
        Rise of the loss on damaged rows, as a share of the champion's on the same ones.

    Raises
    ------
    ValueError
        If a limit is negative or not finite, or a ratio or size below 1.
    """

    segment: float | None = 0.1
    segment_proof: bool = False
    calibration: float | None = 0.02
    value: float | None = 0.02
    latency: float | None = 2.0
    size: int | None = None
    robustness: float | None = 0.5

    def __post_init__(self) -> None:
        shares = (self.segment, self.calibration, self.value, self.robustness)
        if any(share is not None and not 0.0 <= share < math.inf for share in shares):
            raise ValueError("a gate's limits cannot be negative or infinite")
        if any(limit is not None and limit < 1 for limit in (self.latency, self.size)):
            raise ValueError("a gate's limits of latency and size are at least 1")
