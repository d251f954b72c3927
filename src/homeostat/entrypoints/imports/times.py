"""Times as people write them in files, in UTC: ISO 8601, seconds and milliseconds, mail dates."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from homeostat.domain.errors import UserError
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import EPOCH
from homeostat.entrypoints.imports.values import Column

UNITS = {"s": 10**6, "ms": 10**3, "us": 1}
"""Microseconds in each unit of a number that is a time; of ``ns`` a thousand are one."""
_STEPS = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (math.inf, 1e-3))
"""Below which size a number is of which unit (in microseconds): until the year 5138."""
_FORMS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%d.%m.%Y %H:%M:%S",
          "%d.%m.%Y %H:%M", "%d.%m.%Y")  # fmt: skip
EARLIEST, LATEST = -62_135_596_800e6, 253_402_300_800e6
"""Microseconds that Python's dates can hold."""
DAY = 86_400e6
FIRST_DATE, LAST_DATE = 19_000_101, 21_001_231
ZERO = pa.scalar(0, pa.int64())
NAIVE = pa.timestamp("us")
REASON = "must be a time, such as 2024-01-31T12:00:00Z or seconds since 1970"


@dataclass(frozen=True, slots=True)
class Times:
    """How times of a file are to be read.

    Attributes
    ----------
    zone : ZoneInfo
        Of times that name none. An hour that a clock shows twice is taken for the first one.
    unit : str
        What numbers count since 1970: s, ms, us or ns; empty: told by their size.
    form : str
        As in `datetime.strptime`, for texts; empty: the usual ones. Whether 3/4 is in March or in
        April is never guessed.
    """

    zone: ZoneInfo
    unit: str = ""
    form: str = ""

    def read(self, column: Column) -> tuple[Column, NDArray[np.bool_]]:
        """Return times in UTC, null where there is none, and which values are no times."""
        kind = column.type
        if pa.types.is_timestamp(kind):
            zone = kind.tz
            column = column.cast(pa.timestamp("us", zone), safe=kind.unit != "ns")
            column, bad = _in_range(column)
            return self._from_zone(column) if zone is None else column.cast(TIMESTAMP), bad
        if pa.types.is_date(kind):
            column, bad = _in_range(column.cast(pa.date32(), safe=False))
            return self._from_zone(column.cast(NAIVE)), bad
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return self._numbers(column)
        if pa.types.is_null(kind):
            return column.cast(TIMESTAMP), np.zeros(len(column), np.bool_)
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            return self._texts(column.cast(pa.string()))
        none = pa.chunked_array([pa.nulls(len(column))]).cast(TIMESTAMP)
        return none, _present(column)

    def _from_zone(self, column: Column) -> Column:
        if self.zone.key == "UTC":
            return column.cast(TIMESTAMP)
        try:
            options = pc.AssumeTimezoneOptions(self.zone.key, ambiguous="earliest")
            zoned: Column = pc.call_function("assume_timezone", [column], options)
        except pa.ArrowInvalid:
            # Times that a clock never showed: as Python takes them.
            found = [moment and moment.replace(tzinfo=self.zone) for moment in column.to_pylist()]
            return pa.chunked_array([pa.array(found, TIMESTAMP)])
        return zoned.cast(TIMESTAMP)

    def _numbers(self, column: Column) -> tuple[Column, NDArray[np.bool_]]:
        present = _present(column)
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
        if not self.unit and present.any() and _are_dates(values[present]):
            digits = column.cast(pa.int64()).cast(pa.string())
            days = pc.replace_substring_regex(digits, r"^(\d{4})(\d{2})(\d{2})$", r"\1-\2-\3")
            return self._texts(days)
        scales = self._scales(values)
        micros = np.floor(values * scales + 0.5)
        good = present & (micros >= EARLIEST) & (micros < LATEST)
        whole = np.where(good, micros, 0.0).astype(np.int64)
        if pa.types.is_integer(column.type) and column.type != pa.uint64():
            # Floats would round microseconds of whole numbers.
            exact = np.asarray(column.cast(pa.int64()).fill_null(ZERO).to_numpy(), np.int64)
            exact = np.where(good, exact, 0)
            up = np.maximum(scales, 1.0).astype(np.int64)
            whole = np.where(scales < 1, exact // 1000, exact * up)
        found = pa.array(whole, mask=~good).cast(TIMESTAMP)
        return pa.chunked_array([found]), present & ~good & ~np.isnan(values)

    def _scales(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.unit:
            return np.full(values.shape, float(UNITS.get(self.unit, 0)) or 1e-3)
        limits = np.asarray([limit for limit, _ in _STEPS])
        place = np.searchsorted(limits, np.abs(np.nan_to_num(values)), side="right")
        return np.asarray([scale for _, scale in _STEPS])[np.minimum(place, len(_STEPS) - 1)]

    def _texts(self, column: Column) -> tuple[Column, NDArray[np.bool_]]:
        if not self.form:
            for kind in (TIMESTAMP, NAIVE, pa.int64(), pa.float64()):
                try:
                    return self.read(column.cast(kind))
                except pa.ArrowInvalid:
                    continue
        known: dict[str, int | None] = {}
        micros: list[int | None] = []
        for text in column.to_pylist():
            if text is not None and text not in known:
                known[text] = self._micros(text.strip())
            micros.append(None if text is None else known[text])
        found = pa.chunked_array([pa.array(micros, pa.int64()).cast(TIMESTAMP)])
        return found, _present(column) & ~_present(found)

    def _micros(self, text: str) -> int | None:
        for read in self._ways():
            try:
                moment = read(text)
                moment = moment.replace(tzinfo=self.zone) if moment.tzinfo is None else moment
                return (moment.astimezone(UTC) - EPOCH) // timedelta(microseconds=1)
            except (ValueError, OverflowError, TypeError):
                continue
        return None

    def _ways(self) -> tuple[Callable[[str], datetime], ...]:
        forms = (partial(_parsed, form) for form in ([self.form] if self.form else _FORMS))
        if self.form:
            return tuple(forms)
        return (datetime.fromisoformat, self._number, *forms, parsedate_to_datetime)

    def _number(self, text: str) -> datetime:
        if not text.isascii():
            raise ValueError
        integer = text.lstrip("+-").isdigit() and len(text) < 19
        column = pa.chunked_array([[int(text) if integer else float(text)]])
        found, bad = self._numbers(column)
        micros = found.cast(pa.int64())[0].as_py()
        if bad.any() or micros is None:
            raise ValueError
        return EPOCH + timedelta(microseconds=micros)


def _parsed(form: str, text: str) -> datetime:
    return datetime.strptime(text, form)  # noqa: DTZ007 - the caller adds the zone, if there is none


def zone_of(name: str) -> ZoneInfo:
    """Return a time zone by its name; raises UserError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise UserError(
            f"there is no time zone {name!r}; use a name such as Europe/Lisbon or UTC"
        ) from None


def _are_dates(values: NDArray[np.float64]) -> bool:
    """Whether all numbers are dates written as 20240131: as seconds all would be of one year."""
    if not np.all((values >= FIRST_DATE) & (values <= LAST_DATE) & (values == np.floor(values))):
        return False
    days, months = values % 100, values // 100 % 100
    return bool(np.all((days >= 1) & (days <= 31) & (months >= 1) & (months <= 12)))


def _in_range(column: Column) -> tuple[Column, NDArray[np.bool_]]:
    """Return times in microseconds, or days, null where Python has no date, and where that is."""
    days = pa.types.is_date(column.type)
    numbers = column.cast(pa.int32()) if days else column
    counts = np.asarray(numbers.cast(pa.int64()).fill_null(ZERO).to_numpy(), np.int64)
    scale = DAY if days else 1
    bad = (counts < EARLIEST / scale) | (counts >= LATEST / scale)
    if not bad.any():
        return column, bad
    return pc.if_else(pa.array(~bad), column, pa.scalar(None, column.type)), bad


def _present(column: Column) -> NDArray[np.bool_]:
    return np.asarray(column.is_valid().to_numpy(), np.bool_)
