"""Which labelled rows a training gets, and how much each counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class RowChoice:
    """How the rows of a training are chosen and weighted; by default all, alike, without weights.

    Attributes
    ----------
    half_life : timedelta or None
        A row this much older counts half as much.
    negatives : float
        Share of the rows of the first class (binary: the negative one) that is kept, in (0, 1];
        what is kept counts for those that are not, so that scores need no correction.
    max_rows : int or None
        Most rows; of more, each class gives its share, and those taken count for the others.
    propensity : str
        Column with the probability, in (0, 1], that the row was to get a label; it counts for its
        inverse. Empty: none.

    Raises
    ------
    ValueError
        If a figure is out of range.

    Examples
    --------
    >>> RowChoice().plain, RowChoice(negatives=0.1).plain
    (True, False)
    """

    half_life: timedelta | None = None
    negatives: float = 1.0
    max_rows: int | None = None
    propensity: str = ""

    def __post_init__(self) -> None:
        if self.half_life is not None and self.half_life <= timedelta(0):
            raise ValueError("half_life must be positive")
        if not 0.0 < self.negatives <= 1.0:
            raise ValueError(f"negatives is a share in (0, 1], not {self.negatives}")
        if self.max_rows is not None and self.max_rows < 1:
            raise ValueError("max_rows must be at least 1")

    @property
    def plain(self) -> bool:
        """Whether all rows count alike, so that there is no weight to tell."""
        return self == RowChoice()
