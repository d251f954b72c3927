"""What counts as a fault, how large it must be, and how sure one must be."""

from __future__ import annotations

from dataclasses import dataclass

_UNITS = (
    100.0,
    1_000.0,
    10.0,
    1e6,
    1e9,
    60.0,
    3_600.0,
    86_400.0,
    24.0,
    12.0,
    7.0,
    1.609344,
    2.54,
    25.4,
    2.20462262,
    3.2808399,
    28.349523,
    3.785412,
)

UNITS: tuple[tuple[float, float], ...] = (
    (-1.0, 0.0),
    *((factor, 0.0) for unit in _UNITS for factor in (unit, 1.0 / unit)),
    (1.8, 32.0),
    (1.0 / 1.8, -32.0 / 1.8),
    (1.0, 273.15),
    (1.0, -273.15),
)
"""Factor and offset of known changes of unit, ``now = factor * before + offset``."""

DEFAULTS = frozenset(
    {0.0, -1.0, 1.0, 9.0, 99.0, 999.0, 9_999.0, 99_999.0, -9.0, -99.0, -999.0, -9_999.0}
)
"""Numbers that stand for "not known"."""

DEFAULT_WORDS = frozenset(
    {
        "",
        "-",
        "?",
        "0",
        "-1",
        "-9",
        "-99",
        "-999",
        "99",
        "999",
        "9999",
        "n/a",
        "na",
        "nan",
        "nil",
        "none",
        "null",
        "missing",
        "unknown",
        "unk",
        "undefined",
        "default",
        "not set",
        "tbd",
        "xxx",
        "#n/a",
    }
)
"""Texts that stand for "not known", in lower case."""


@dataclass(frozen=True, slots=True)
class FaultConfig:
    """How large a fault must be to be told, and how sure.

    Attributes
    ----------
    level : float
        Largest p-value of one check.
    min_rise : float
        Rise of a share of rows that matters.
    min_rows : int
        Rows of both sides below which only the schema is judged.
    max_sources : int
        Values of another column that may be the one source at fault.
    max_words : int
        Categories of both sides beyond which spellings are not compared.
    looks : int
        Comparisons among which a coincidence of frequencies may be met.
    """

    level: float = 1e-5
    min_rise: float = 0.05
    min_rows: int = 30
    max_sources: int = 20
    max_words: int = 50_000
    looks: int = 1
