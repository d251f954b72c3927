"""What the owner cares about in a comparison, and how sure it must be."""

from __future__ import annotations

from dataclasses import dataclass

from homeostat.detectors.drift.aspects import Limits

LIMITS = Limits()
MUST_BE_POSITIVE = (
    "min_shift",
    "min_moved",
    "min_missing",
    "min_correlation",
    "dataset_share",
)


@dataclass(frozen=True, slots=True)
class ComparisonConfig:
    """When a change counts as drift: real at level `alpha`, and as large as one of the others.

    Attributes
    ----------
    alpha : float
        Probability, in (0, 1), of calling any column drifted when none has changed.
    min_shift : float
        Shift of a number's location, in standard deviations of the reference (on normal scores).
    min_moved : float
        Share of rows that moved to other values, in (0, 1].
    min_missing : float
        Change of the share of rows without a usable value, in (0, 1].
    min_correlation : float
        Change of the rank correlation of two numbers, in (0, 2].
    min_rows : int
        Rows on each side below which nothing is said.
    dataset_share : float
        Share of drifted columns from which the data set counts as drifted.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """

    alpha: float = 0.01
    min_shift: float = LIMITS.shift
    min_moved: float = LIMITS.share
    min_missing: float = LIMITS.missing
    min_correlation: float = LIMITS.correlation
    min_rows: int = 30
    dataset_share: float = 0.3

    def __post_init__(self) -> None:
        if not 0.0 < self.alpha < 1.0:
            raise ValueError(f"alpha is a probability between 0 and 1, not {self.alpha}")
        for name in MUST_BE_POSITIVE:
            if not getattr(self, name) > 0.0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}")
        if self.min_rows < 2:
            raise ValueError(f"min_rows must be at least 2, not {self.min_rows}")


DEFAULT = ComparisonConfig()
