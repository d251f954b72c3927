"""A number as an option takes it."""

from __future__ import annotations

import math

import click


class Figure(click.FloatRange):
    """A number in a range; what is no number, or has no end, is in none."""

    def convert(
        self, value: float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Read and check it."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number
