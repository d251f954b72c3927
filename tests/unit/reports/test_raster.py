"""Curves as PNG: a decoder of our own reads the chunks; what was drawn is where it belongs."""

from __future__ import annotations

import math
import struct
import zlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from numpy.typing import NDArray

from homeostat.domain.window import Window
from homeostat.reports.figure import Curve
from homeostat.reports.raster import (
    GROUND,
    HEIGHT,
    INK,
    MARK,
    SHADE,
    TROUBLE,
    WIDTH,
    caption,
    encode,
    picture,
)

NOW = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)
FRAME = Window(NOW, NOW + 20 * HOUR)
SPAN = Window(NOW + 10 * HOUR, NOW + 14 * HOUR)


def decode(png: bytes) -> NDArray[np.uint8]:
    """Read a PNG of 8-bit RGB without filters, as ISO/IEC 15948 says."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, body = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length]) == (
            zlib.crc32(kind + body),
        )
        chunks[kind] = body
        at += 12 + length
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    width, height, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert rest == [8, 2, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8)
    rows = rows.reshape(height, 1 + 3 * width)
    assert not rows[:, 0].any()
    return rows[:, 1:].reshape(height, width, 3)


def drawn(curve: Curve) -> NDArray[np.uint8]:
    return decode(picture(curve, SPAN, FRAME))


def places(pixels: NDArray[np.uint8], colour: tuple[int, int, int]) -> NDArray[np.intp]:
    return np.argwhere((pixels == colour).all(axis=2))


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 5, 3)], ids=str)
def test_an_image_comes_back_as_it_was(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(7).integers(0, 256, shape, dtype=np.uint8)
    np.testing.assert_array_equal(decode(encode(pixels)), pixels)


def test_the_span_is_shaded_and_trouble_is_where_it_was() -> None:
    points = tuple((NOW + h * HOUR, 1.0 if h == 12 else 0.0, h == 12) for h in range(21))
    pixels = drawn(Curve("c", points, 0.5))
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    shaded = places(pixels, SHADE)[:, 1]
    assert (shaded.min(), shaded.max()) == (8 + 312, 8 + 436)  # of 623 pixels for 20 hours
    squares = places(pixels, TROUBLE)
    assert np.median(squares, axis=0).tolist() == [8, 8 + 374]
    limit = places(pixels, INK)[:, 0]
    assert set(limit.tolist()) == {HEIGHT - 1 - 8 - 56}


def test_gaps_are_not_bridged_and_what_is_outside_is_left_out() -> None:
    points = (
        (NOW - HOUR, 5.0, False), (NOW, 0.0, False), (NOW + 5 * HOUR, 0.0, False),
        (NOW + 6 * HOUR, math.nan, False), (NOW + 15 * HOUR, 1.0, False),
        (NOW + 16 * HOUR, 1.0, False),
    )  # fmt: skip
    columns = set(places(drawn(Curve("c", points)), MARK)[:, 1].tolist())
    assert min(columns) <= 8
    assert not columns & set(range(8 + 160, 8 + 460))


def test_nothing_and_one_value_are_drawn() -> None:
    blank = drawn(Curve("c", ()))
    assert len(places(blank, MARK)) == 0
    assert len(places(blank, GROUND)) > 0
    assert len(places(drawn(Curve("c", ((NOW, 3.0, False),))), MARK)) > 0
    assert caption(Curve("c", ()), FRAME).startswith("c: from 0 to 1; 2024-01-01")
