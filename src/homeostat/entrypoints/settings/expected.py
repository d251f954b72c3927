"""Settings of what the owner expects of every candidate: ``retraining.checks``."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Number, Share, wrong

Value = Annotated[bool | float | str, Field(union_mode="smart")]


class Changed(Part):
    """What is done to one feature: set it, or multiply it and then add."""

    set: Value | None = None
    """The value."""
    times: Number | None = None
    """A factor."""
    add: Number | None = None
    """A summand."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        reckons = self.times is not None or self.add is not None
        if (self.set is not None) == reckons:
            raise wrong("needs either set, or times and add", "write it like {times: 2}")
        return self


class Expected(Part):
    """One expectation: a range of scores, or what a change of the row may do to the score."""

    rows: Annotated[str, Field(min_length=1)] | tuple[dict[str, Value | None], ...] | None = None
    """A CSV or Parquet file, or rows such as ``[{amount: 900, country: PT}]``; default: rows of the
    hold-out."""
    min: Number | None = None
    """The least score."""
    max: Number | None = None
    """The greatest score."""
    change: dict[str, Changed] = Field(default_factory=dict)
    """By feature: what makes a second row of each, such as ``{amount: {times: 2}}``."""
    score: Literal["up", "down", "same"] | None = None
    """Where the score must go by the change: up means not down, and the other way round."""
    tolerance: Annotated[Number, Field(ge=0)] = 0.0
    """By how much it may go the other way."""
    share: Share = 1.0
    """Part of the rows that must do as expected."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.change) != (self.score is not None):
            raise wrong("change and score stand together", "write both or none", "change")
        if not self.change and self.min is None and self.max is None:
            raise wrong("expects nothing", "add min, max, or change and score")
        low, high = self.range
        if low > high:
            raise wrong("is above max", "give the two in order", "min")
        return self

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest score."""
        low = -math.inf if self.min is None else self.min
        return low, math.inf if self.max is None else self.max
