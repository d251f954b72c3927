"""``hs.profile`` and ``hs.load_profile``: summaries of rows to keep and to compare later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self, cast

import pyarrow as pa

from homeostat.adapters.profiles import files
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.engines import (
    LOCAL,
    EngineName,
    engine_of,
    profile_files,
    profile_log,
)
from homeostat.entrypoints.frames import Data, open_rows
from homeostat.entrypoints.logged import LogWindow, as_window
from homeostat.entrypoints.rows import Progress, Rows, sampled_kinds, unheard
from homeostat.profiles import profile as profiles
from homeostat.profiles.infer import infer_kinds

Kinds = Mapping[str, ColumnKind | str]
IGNORE = "ignore"


@dataclass(frozen=True, slots=True)
class Profile(profiles.Profile):
    """What is known about the columns of some rows; it holds no rows.

    Attributes
    ----------
    rows : int
    columns : mapping of str to ColumnProfile
    assumptions : tuple of str
        What was assumed about the columns, a sentence each.
    """

    assumptions: tuple[str, ...] = ()

    @classmethod
    def of(cls, profile: profiles.Profile, assumptions: tuple[str, ...] = ()) -> Self:
        """Return a profile with what was assumed to make it."""
        if isinstance(profile, Profile) and not assumptions:
            assumptions = profile.assumptions
        plain = {item.name: getattr(profile, item.name) for item in fields(profiles.Profile)}
        return cls(**plain, assumptions=assumptions)

    def merge(self, other: profiles.Profile) -> Self:
        """Return the profile of the rows of both.

        Raises
        ------
        ValueError
            If a column is of two kinds.
        """
        theirs = other.assumptions if isinstance(other, Profile) else ()
        said = tuple(dict.fromkeys((*self.assumptions, *theirs)))
        return self.of(profiles.merge_all((self, other)), said)

    def save(self, path: str | Path) -> None:
        """Write the profile to a file, from which `load_profile` reads it.

        Raises
        ------
        NotFoundError, DataError
            If the folder does not exist, or the file cannot be written.
        """
        files.save_profile(self, Path(path))


def profile(
    data: Data | LogWindow,
    *,
    kinds: Kinds | None = None,
    streaming: bool = False,
    engine: EngineName = LOCAL,
    progress: Progress = unheard,
) -> Profile:
    """Summarise the columns of rows.

    Parameters
    ----------
    data : dataframe, mapping of columns, path or Profile
        pandas, Polars, PyArrow or a dict of arrays; or the path or address
        of a file or folder (Parquet, CSV, Arrow). A `LogWindow`, or its address such as
        ``log:fraud@2026-10-01/2026-11-01``: the features and scores of a model's answers.
    kinds : mapping of str to str, optional
        ``"numeric"``, ``"categorical"``, ``"boolean"`` or ``"ignore"`` for columns whose kind you
        know; the others' are inferred, and the assumptions say how.
    streaming : bool
        Read a file a piece at a time.
    engine : {"local", "spark", "dask", "ray"}
        Where to compute; others than ``local`` take a path and give the same profile.
    progress : callable, optional
        Called with the number of rows read since the last call.

    Raises
    ------
    NotFoundError, DataError
        If the data cannot be read, or `kinds` names what is not there.
    UserError
        If Spark, Java or Dask is missing, or the deployment of a log cannot be used.

    Examples
    --------
    >>> monday = profile({"amount": [1.5, 2.5], "shop": ["a", "b"]})
    >>> tuesday = profile({"amount": [3.5, None], "shop": ["a", "a"]})
    >>> both = monday.merge(tuesday)
    >>> both.rows, both.columns["amount"].mean, both.columns["shop"].values
    (4, 2.5, {'a': 3, 'b': 1})
    """
    logged = as_window(data)
    if logged is not None:
        return Profile.of(profile_log(logged, engine))
    spread = engine_of(engine) if engine != LOCAL else None
    opened = open_rows(cast("Data", data), "data", streaming=streaming or spread is not None)
    if isinstance(opened, profiles.Profile):
        return Profile.of(opened)
    given = given_kinds(kinds, opened)
    if spread is not None:
        if not isinstance(data, str | Path):
            raise DataError(f"{engine} reads files: give the path of a file or folder, not rows")
        # A pass over the data is what the engine is there for: the first rows must do.
        first = next(opened.pieces(), pa.table({}))
        found = infer_kinds(first, given)
        return Profile.of(profile_files(spread, str(data), found.kinds), found.assumptions)
    found = sampled_kinds(opened, given, progress)
    made, readings = opened.profile(found.kinds, progress)
    left = (f"{n} is left out: {r.problem}" for n, r in readings.items() if n not in made.columns)
    return Profile.of(made, (*found.assumptions, *opened.notes, *left))


def load_profile(path: str | Path) -> Profile:
    """Read a profile that `Profile.save` or ``homeostat profile`` wrote.

    Raises
    ------
    NotFoundError, DataError
        If there is no such file, or it is no profile, cut short or changed.
    """
    return Profile.of(files.load_profile(Path(path)))


def given_kinds(kinds: Kinds | None, *sides: Rows) -> dict[str, ColumnKind | None]:
    """Return the kinds that the caller states; None leaves a column out.

    Raises
    ------
    DataError
        If a kind or a column does not exist.
    """
    known = {name for rows in sides for name in rows.names}
    found: dict[str, ColumnKind | None] = {}
    for name, kind in (kinds or {}).items():
        if name not in known:
            raise DataError(f"there is no column {name!r} to take as {kind}; check its name")
        if kind != IGNORE and kind not in list(ColumnKind):
            choice = ", ".join((*ColumnKind, IGNORE))
            raise DataError(f"column {name!r}: {kind!r} is no kind; choose one of {choice}")
        found[name] = None if kind == IGNORE else ColumnKind(kind)
    return found
