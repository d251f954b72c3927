"""A curve as a small PNG, for mail programs, which show no SVG. Words go beside it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from math import isfinite

import numpy as np
from numpy.typing import NDArray

from homeostat.domain.window import Window
from homeostat.reports.figure import Curve
from homeostat.reports.wording import number, when

WIDTH, HEIGHT, MARGIN = 640, 130, 8
GROUND, SHADE, FRAME = (255, 255, 255), (253, 232, 217), (213, 218, 224)
INK, MARK, TROUBLE = (107, 114, 128), (59, 130, 196), (213, 94, 0)
DASH = 8
SIGNATURE = b"\x89PNG\r\n\x1a\n"

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]


def picture(curve: Curve, span: Window, frame: Window) -> bytes:
    """Return the PNG of a curve; what is in trouble is drawn as larger squares.

    Parameters
    ----------
    curve : Curve
    span : Window
        Shaded, such as the time of an incident.
    frame : Window
        What the axis shows; points outside are left out.
    """
    pixels: Pixels = np.full((HEIGHT, WIDTH, 3), GROUND, dtype=np.uint8)
    inside = [point for point in curve.points if frame.start <= point[0] <= frame.end]
    low, high = _range(curve, inside)

    def x(at: datetime) -> int:
        share = (min(max(at, frame.start), frame.end) - frame.start) / frame.length
        return MARGIN + round(share * (WIDTH - 1 - 2 * MARGIN))

    def y(value: float) -> int:
        share = (value - low) / (high - low) if high > low else 0.5
        return HEIGHT - 1 - MARGIN - round(share * (HEIGHT - 1 - 2 * MARGIN))

    pixels[:, x(span.start) : x(span.end) + 1] = SHADE
    pixels[[0, -1], :] = FRAME
    pixels[:, [0, -1]] = FRAME
    if curve.limit is not None:
        across = np.arange(MARGIN, WIDTH - MARGIN)
        pixels[y(curve.limit), across[across % DASH < DASH // 2]] = INK
    before: tuple[int, int] | None = None
    for at, value, _ in inside:
        here = (x(at), y(value)) if isfinite(value) else None
        if here is not None and before is not None:
            _line(pixels, before, here)
        before = here
    for at, value, trouble in inside:
        if isfinite(value):
            _square(pixels, x(at), y(value), 3 if trouble else 1, TROUBLE if trouble else MARK)
    return encode(pixels)


def caption(curve: Curve, frame: Window) -> str:
    """Say in words what the picture shows, for where it is not seen and for its scales.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 2, tzinfo=UTC))
    >>> caption(Curve("data drift amount", ((day.start, 0.4, True),), 0.1), day)
    'data drift amount: from 0.1 to 0.4, limit 0.1; 2024-01-01 00:00 UTC to 2024-01-02 00:00 UTC'
    """
    inside = [point for point in curve.points if frame.start <= point[0] <= frame.end]
    low, high = _range(curve, inside)
    limit = "" if curve.limit is None else f", limit {number(curve.limit)}"
    scale = f"from {number(low)} to {number(high)}{limit}"
    return f"{curve.title}: {scale}; {when(frame.start)} to {when(frame.end)}"


def _range(curve: Curve, points: Iterable[tuple[datetime, float, bool]]) -> tuple[float, float]:
    known = [value for _, value, _ in points if isfinite(value)]
    known += [] if curve.limit is None else [curve.limit]
    return (min(known), max(known)) if known else (0.0, 1.0)


def _line(pixels: Pixels, start: tuple[int, int], end: tuple[int, int]) -> None:
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    xs = np.rint(np.linspace(start[0], end[0], steps + 1)).astype(int)
    ys = np.rint(np.linspace(start[1], end[1], steps + 1)).astype(int)
    pixels[ys, xs] = MARK
    pixels[np.minimum(ys + 1, HEIGHT - 1), xs] = MARK


def _square(pixels: Pixels, x: int, y: int, half: int, colour: Colour) -> None:
    pixels[max(y - half, 0) : y + half + 1, max(x - half, 0) : x + half + 1] = colour


def encode(pixels: Pixels) -> bytes:
    """Return an image of rows x columns x 3 as PNG (ISO/IEC 15948): RGB, 8 bits, no filter."""
    height, width, _ = pixels.shape
    rows = np.concatenate(
        [np.zeros((height, 1), dtype=np.uint8), pixels.reshape(height, 3 * width)], axis=1
    )
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts: Sequence[tuple[bytes, bytes]] = (
        (b"IHDR", header),
        (b"IDAT", zlib.compress(rows.tobytes(), 9)),
        (b"IEND", b""),
    )
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in parts
    )
