"""Figures as lines of the Prometheus text format."""

from __future__ import annotations

from collections.abc import Sequence


def line(name: str, labels: Sequence[str], values: Sequence[str], number: float) -> str:
    """Return one sample, values escaped.

    Examples
    --------
    >>> line("rows_total", ("model",), ("fraud",), 3)
    'rows_total{model="fraud"} 3'
    """
    pairs = ",".join(f'{k}="{_escape(v)}"' for k, v in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {number}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
