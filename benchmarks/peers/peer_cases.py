"""Pairs of columns on which other tools' answers are recorded.

Values come from a counter-based generator (splitmix64), so that they are the same in every version
of NumPy, in this environment and in the peers'.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating]
Values: TypeAlias = Floats | list[object]

SIZES = (
    (200, 50),
    (200, 200),
    (200, 1000),
    (1000, 200),
    (1000, 1000),
    (1000, 12_000),
    (1001, 200),
    (5000, 100),
    (5000, 1000),
    (5000, 5000),
)
"""Rows of the reference, of the current sample."""


@dataclass(frozen=True, slots=True)
class Case:
    """One column twice, and whether it is numeric."""

    name: str
    sizes: tuple[int, int]
    reference: Values
    current: Values
    numeric: bool

    @property
    def key(self) -> str:
        """Name with sizes: unique."""
        return f"{self.name} {self.sizes[0]}/{self.sizes[1]}"


def uniforms(key: str, rows: int) -> Floats:
    """Return uniform numbers in (0, 1), the same for the same key."""
    seed = np.uint64(zlib.crc32(key.encode())) << np.uint64(32)
    state = (seed + np.arange(1, rows + 1, dtype=np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    state ^= state >> np.uint64(31)
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(key: str, rows: int) -> Floats:
    """Return standard normal numbers (Box & Muller 1958)."""
    radius = np.sqrt(-2.0 * np.log(uniforms(f"{key} radius", rows)))
    return np.asarray(radius * np.cos(2.0 * np.pi * uniforms(f"{key} angle", rows)))


def levels(key: str, rows: int, shares: list[float]) -> NDArray[np.int64]:
    """Return positions in `shares`, drawn with these probabilities."""
    limits = np.cumsum(shares)[:-1] / sum(shares)
    return np.searchsorted(limits, uniforms(key, rows), "right")


Draw: TypeAlias = Callable[[str, int, bool], Floats]


def _with(values: Floats, key: str, share: float, other: float) -> Floats:
    return np.where(uniforms(f"{key} lost", values.size) < share, other, values)


NUMERIC: dict[str, Draw] = {
    "normal": lambda key, rows, _: normals(key, rows),
    "normal + 0.1": lambda key, rows, now: normals(key, rows) + 0.1 * now,
    "normal + 0.3": lambda key, rows, now: normals(key, rows) + 0.3 * now,
    "normal * 1.3": lambda key, rows, now: normals(key, rows) * (1.0 + 0.3 * now),
    "lognormal": lambda key, rows, _: np.exp(2.0 * normals(key, rows)),
    "uniform to square": lambda key, rows, now: uniforms(key, rows) ** (1 + now),
    "rounded": lambda key, rows, now: np.round(8.0 * normals(key, rows) + 0.5 * now),
    "two values": lambda key, rows, now: levels(key, rows, [0.7 - 0.1 * now, 0.3]) * 1.5,
    "five values": lambda key, rows, _: levels(key, rows, [1.0] * 5) - 2.0,
    "five values moved": lambda key, rows, now: levels(key, rows, [1.0 + now, 1, 1, 1, 1]) * 1.0,
    "six values": lambda key, rows, now: levels(key, rows, [1.0, 1, 1, 1, 1, 1 + now]) * 1.0,
    "constant": lambda _, rows, __: np.full(rows, 3.25),
    "constant moved": lambda _, rows, now: np.full(rows, 3.25 + now),
    "missing": lambda key, rows, now: _with(normals(key, rows), key, 0.1 + 0.2 * now, np.nan),
    "infinite": lambda key, rows, now: _with(normals(key, rows), key, 0.02 * now, np.inf),
    "infinite before": lambda key, rows, now: _with(
        normals(key, rows), key, 0.02 * (not now), -np.inf
    ),
}

CATEGORIES: dict[str, tuple[list[object], list[float], list[float]]] = {
    "even": (list("abcde"), [1, 1, 1, 1, 1], [1, 1, 1, 1, 1]),
    "moved": (list("abcde"), [1, 1, 1, 1, 1], [1.4, 1, 1, 1, 1]),
    "two": (["no", "yes"], [3, 1], [3, 1]),
    "two moved": (["no", "yes"], [3, 1], [2, 1]),
    "boolean": ([False, True], [1, 1], [1, 1.2]),
    "codes": ([1, 2, 7, 40], [4, 3, 2, 1], [4, 3, 1, 2]),
    "twenty": (list("abcdefghijklmnopqrst"), [1] * 20, [1] * 20),
    "rare": (list("abcd"), [900, 90, 9, 1], [900, 90, 9, 1]),
    "new": (list("abc"), [2, 1, 0], [2, 1, 0.1]),
    "lost": (list("abc"), [2, 1, 0.2], [2, 1, 0]),
    "other": (["a", "b"], [1, 0], [0, 1]),
    "single": (["a"], [1], [1]),
    "missing": (["a", "b", "c", None], [3, 2, 1, 0.5], [3, 2, 1, 2]),
}
"""Levels, and their shares in the reference and in the current sample."""


def cases() -> Iterator[Case]:
    """Yield all columns in all sizes."""
    for sizes in SIZES:
        for name, draw in NUMERIC.items():
            old, new = (
                draw(f"{name} {sizes} {now}", rows, now)
                for rows, now in zip(sizes, (False, True), strict=True)
            )
            yield Case(name, sizes, old, new, numeric=True)
        for name, (values, *shares) in CATEGORIES.items():
            drawn = [
                [values[i] for i in levels(f"{name} {sizes} {side}", rows, share)]
                for side, (rows, share) in enumerate(zip(sizes, shares, strict=True))
            ]
            yield Case(f"{name} categories", sizes, drawn[0], drawn[1], numeric=False)
