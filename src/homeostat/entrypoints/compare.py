"""``hs.compare``: two sets of rows, as dataframes, files or stored profiles, compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from homeostat.detectors.comparison.compare import compare_profiles
from homeostat.detectors.comparison.config import DEFAULT, ComparisonConfig
from homeostat.detectors.comparison.segments import compare_segments
from homeostat.detectors.drift.presets import (
    PRESETS,
    Preset,
    PresetDecision,
    dataset_drifted,
    decide,
)
from homeostat.domain.comparison import Comparison
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.engines import LOCAL, EngineName
from homeostat.entrypoints.frames import Data, open_rows
from homeostat.entrypoints.logged import LogWindow, as_window
from homeostat.entrypoints.profiling import Kinds, given_kinds, profile
from homeostat.entrypoints.rows import Progress, Renamed, Rows, sampled_kinds, unheard
from homeostat.entrypoints.segments import split
from homeostat.entrypoints.together import changed_pairs
from homeostat.profiles.cast import Reading, Readings, read_columns
from homeostat.profiles.infer import Guess, Inference
from homeostat.profiles.profile import EMPTY, Profile
from homeostat.reports.comparison import render_comparison, summarise

Side: TypeAlias = "Rows | Profile"

SHOWN_COLUMNS = 30


@dataclass(frozen=True, slots=True, repr=False)
class Report(Comparison):
    """A comparison with the profiles that it rests on, so that it can be drawn.

    In a notebook it shows itself.
    """

    reference: Profile = EMPTY
    current: Profile = EMPTY

    def to_html(self, title: str = "Comparison") -> str:
        """Return one self-contained HTML page: no script, no network, every name shown as text."""
        return render_comparison(self, self.reference, self.current, title)

    def __str__(self) -> str:
        lines = [f"{c.name}: {c.verdict.value} ({c.reason})" for c in self.ranked[:SHOWN_COLUMNS]]
        hidden = len(self.columns) - len(lines)
        more = [f"... and {hidden:,} more columns"] if hidden > 0 else []
        return "\n".join([summarise(self), *lines, *more])

    def __repr__(self) -> str:
        return f"<Report: {summarise(self)}>"

    def _repr_html_(self) -> str:
        return render_comparison(self, self.reference, self.current, "Comparison", fragment=True)


def compare(
    reference: Data | LogWindow,
    current: Data | LogWindow,
    *,
    kinds: Kinds | None = None,
    columns: Mapping[str, str] | None = None,
    segments: Sequence[str] = (),
    config: ComparisonConfig = DEFAULT,
    preset: Preset | None = None,
    streaming: bool = False,
    engine: EngineName = LOCAL,
    progress: Progress = unheard,
) -> Report:
    """Compare current rows with reference rows: which columns drifted, and what is wrong with them.

    Parameters
    ----------
    reference, current : dataframe, mapping of columns, path or Profile
        pandas, Polars (also lazy), PyArrow or a dict of arrays; the path or address of a file or
        folder (Parquet, CSV, Arrow) or of a log (``log:fraud@2026-10-01/2026-11-01``); or a profile
        (`profile`, `load_profile`, or its path).
    kinds : mapping of str to str, optional
        ``"numeric"``, ``"categorical"``, ``"boolean"`` or ``"ignore"`` for columns whose kind you
        know; the others' are inferred from the reference, and the assumptions say how.
    columns : mapping of str to str, optional
        Reference names of columns that the current rows call otherwise: ``{"amount": "amt"}``.
    segments : sequence of str
        Columns by whose values to compare as well.
    config : ComparisonConfig
        How sure to be, and which changes matter.
    preset : str, optional
        Decide as another tool does (``"evidently"``, ``"nannyml"``, ``"psi-0.2"``, ``"ks-0.05"``),
        by rows on both sides.
    streaming : bool
        Read files a piece at a time, in bounded memory.
    engine : {"local", "spark", "dask", "ray"}
        Where paths are profiled; all but ``local`` compare by profiles alone.
    progress : callable, optional
        Called with the number of rows read since the last call.

    Raises
    ------
    NotFoundError, DataError
        If the data cannot be read at all, or an option names what is not there; of a column that
        cannot be compared the verdict says why.

    Examples
    --------
    >>> import numpy as np
    >>> amounts = np.random.default_rng(0).normal(50, 10, 1000)
    >>> shops = ["a", "b"] * 500
    >>> report = compare({"amount": amounts, "shop": shops}, {"amount": amounts + 8, "shop": shops})
    >>> report.drifted, report["shop"].reason
    (['amount'], 'as in the reference')
    """
    before, after, said = _sides(reference, current, kinds, engine, streaming=streaming)
    after = _renamed(after, columns) if columns else after
    inference = _infer(before, after, kinds, progress)
    report = _Request(before, after, inference, config).report(tuple(segments), preset, progress)
    return replace(report, assumptions=tuple(dict.fromkeys((*said, *report.assumptions))))


def _sides(
    reference: Data | LogWindow,
    current: Data | LogWindow,
    kinds: Kinds | None,
    engine: EngineName,
    *,
    streaming: bool,
) -> tuple[Side, Side, tuple[str, ...]]:
    """Return both sides, and what was assumed where another engine profiled them."""
    before, said = _opened(reference, "reference", kinds, engine, streaming=streaming)
    known: dict[str, ColumnKind | str] = dict(kinds or {})
    if isinstance(before, Profile):
        known |= {name: column.kind for name, column in before.columns.items()}
    after, told = _opened(current, "current", known, engine, streaming=streaming)
    return before, after, (*said, *told)


def _opened(
    data: Data | LogWindow, role: str, kinds: Kinds | None, engine: EngineName, *, streaming: bool
) -> tuple[Side, tuple[str, ...]]:
    """Return a side, and what was assumed where another engine profiled it."""
    if as_window(data) is not None:
        return profile(data, engine=engine), ()
    if engine != LOCAL and isinstance(data, str | Path):
        opened = open_rows(data, role, streaming=True)
        if not isinstance(opened, Profile):
            there = {n: k for n, k in (kinds or {}).items() if n in opened.names}
            made = profile(data, kinds=there, engine=engine)
            return made, made.assumptions
    return open_rows(cast("Data", data), role, streaming=streaming), ()


@dataclass(frozen=True, slots=True)
class _Request:
    """Two sides to compare, and as what."""

    before: Side
    after: Side
    inference: Inference
    config: ComparisonConfig

    def report(
        self, segments: tuple[str, ...], preset: Preset | None, progress: Progress
    ) -> Report:
        if preset and segments:
            raise DataError(f"the preset {preset} knows no segments; leave out one of the two")
        before, after, kinds = self.before, self.after, self.inference.kinds
        ours, our_readings = _profile(before, self.inference, progress)
        theirs, their_readings = _profile(after, self.inference, progress)
        readings = (our_readings, their_readings)
        decided = _decide(preset, before, after, kinds) if preset else None
        found = compare_profiles(ours, theirs, self.config, readings=readings, decided=decided)
        if preset and decided:
            found = replace(found, decided=dataset_drifted(preset, list(decided.values())))
        if not isinstance(before, Profile) and not isinstance(after, Profile) and not preset:
            pairs = changed_pairs(before, after, kinds, self.config)
            found = replace(found, pairs=pairs)
        if segments:
            found = compare_segments(found, split(before, after, segments, kinds), self.config)
        said = (
            *self.inference.assumptions,
            *_notes(before, "reference"),
            *_notes(after, "current"),
        )
        if not set(ours.columns) & set(theirs.columns):
            said = (*said, "the two sides have no column in common; map names that differ")
        return _report(replace(found, assumptions=said), ours, theirs)


def _renamed(rows: Side, columns: Mapping[str, str]) -> Side:
    if isinstance(rows, Profile):
        raise DataError("a stored profile keeps its names: call the columns alike before profiling")
    return Renamed(rows, columns)


def _report(found: Comparison, reference: Profile, current: Profile) -> Report:
    plain = {item.name: getattr(found, item.name) for item in fields(Comparison)}
    return Report(**plain, reference=reference, current=current)


def _notes(side: Side, role: str) -> Iterator[str]:
    if not isinstance(side, Profile):
        yield from (f"{note} ({role})" for note in side.notes)


def _infer(before: Side, after: Side, kinds: Kinds | None, progress: Progress) -> Inference:
    """Say what each column is: a stored profile decides, then the reference, then the current."""
    rows = [side for side in (before, after) if not isinstance(side, Profile)]
    profiles = [side for side in (before, after) if isinstance(side, Profile)]
    given = given_kinds(kinds, *rows) if rows else {}
    stored: dict[str, ColumnKind | None] = {
        name: column.kind for profile in profiles for name, column in profile.columns.items()
    }
    guesses: dict[str, Guess] = {}
    for side in rows:
        settled = {name for name, guess in guesses.items() if not guess.empty}
        if settled.issuperset(side.names):
            continue
        known = {n: k for n, k in (stored | given).items() if n not in guesses}
        found = sampled_kinds(side, known, progress).guesses
        guesses |= {name: guess for name, guess in found.items() if name not in settled}
    return Inference(guesses)


def _profile(side: Side, inference: Inference, progress: Progress) -> tuple[Profile, Readings]:
    if isinstance(side, Profile):
        ignored = {n for n, guess in inference.guesses.items() if guess.kind is None}
        kept = {n: column for n, column in side.columns.items() if n not in ignored}
        return replace(side, columns=kept), {}
    profile, readings = side.profile(inference.kinds, progress)
    empty = {name: Reading() for name, guess in inference.guesses.items() if guess.empty}
    return profile, {**empty, **readings}


def _decide(
    preset: Preset, before: Side, after: Side, kinds: Mapping[str, ColumnKind]
) -> dict[str, PresetDecision]:
    """Let another tool's rule decide about the columns that both sides have."""
    if preset not in PRESETS:
        raise DataError(f"there is no preset {preset!r}; choose one of {', '.join(PRESETS)}")
    if isinstance(before, Profile) or isinstance(after, Profile):
        raise DataError("a preset decides by the rows themselves: give files or dataframes")
    known, seen = (
        read_columns(pa.concat_tables(list(side.pieces())), kinds)[0] for side in (before, after)
    )
    both = {*known.column_names} & {*seen.column_names}
    return {
        name: decide(preset, _values(known, name, kind), _values(seen, name, kind), kind)
        for name, kind in kinds.items()
        if name in both
    }


def _values(table: pa.Table, name: str, kind: ColumnKind) -> NDArray[np.generic]:
    column = table.column(name)
    if kind is ColumnKind.NUMERIC:
        return column.to_numpy()
    return np.array(column.to_pylist(), dtype=object)
