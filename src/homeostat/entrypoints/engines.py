"""Where work on many rows is done: in this process, on Spark, or on Dask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

import pyarrow as pa

from homeostat.adapters.predlog.roll import personal_columns, profile_kinds
from homeostat.adapters.predlog.shares import logged_rows
from homeostat.adapters.profilers.engine import Engine, Found, Pool
from homeostat.adapters.profilers.logwork import LoggedProfiles
from homeostat.adapters.profilers.worker import ReadProfiling
from homeostat.domain.errors import DataError
from homeostat.domain.model import ColumnKind
from homeostat.entrypoints.logged import LogWindow
from homeostat.profiles.build import profile_table
from homeostat.profiles.profile import Profile, merge_all

EngineName = Literal["local", "spark", "dask", "ray"]
ENGINES: tuple[EngineName, ...] = ("local", "spark", "dask", "ray")
LOCAL: Literal["local"] = "local"


def engine_of(name: str) -> Engine:
    """Return the engine of this name.

    Raises
    ------
    DataError
        If there is none.
    UserError
        If its package is not installed.
    """
    # Only who asks for one pays for the import.
    if name == "spark":
        from homeostat.adapters.profilers.spark import SparkEngine  # noqa: PLC0415

        return SparkEngine()
    if name == "dask":
        from homeostat.adapters.profilers.dask import dask_engine  # noqa: PLC0415

        return dask_engine()
    if name == "ray":
        from homeostat.adapters.profilers.ray import ray_engine  # noqa: PLC0415

        return ray_engine()
    if name != LOCAL:
        raise DataError(f"there is no engine {name!r}; choose one of {', '.join(ENGINES)}")
    return Pool()


def profile_files(engine: Engine, location: str, kinds: Mapping[str, ColumnKind]) -> Profile:
    """Return the profile of files, computed by an engine; raises as `Engine.files`."""
    found = engine.files(location, kinds, ReadProfiling(kinds))
    made = _merged(kinds, found, pairs=False)
    return replace(made, columns={name: made.columns[name] for name in kinds})


def profile_log(asked: LogWindow, engine: str) -> Profile:
    """Return the profile of what was answered in a window of a log.

    Locally it is merged from the profiles that the log keeps; other engines read the rows.

    Raises
    ------
    UserError, StorageError
        If the deployment, the log or the engine cannot be used.
    """
    with asked.opened() as (log, spec, _):
        if engine == LOCAL:
            return log.profile(spec, asked.window, asked.version)
        kinds = profile_kinds(spec)
        rows = logged_rows(log, spec, asked.window, (*kinds, "version", "role"))
        work = LoggedProfiles(kinds, frozenset(personal_columns(spec)), asked.version)
        return _merged(kinds, engine_of(engine).logged(rows, work), pairs=True)


def _merged(kinds: Mapping[str, ColumnKind], found: Found, *, pairs: bool) -> Profile:
    nothing = pa.table({name: pa.array([], pa.string()) for name in kinds})
    none = profile_table(nothing, kinds, pairs=pairs)
    return merge_all([none, *(cast("Profile", part) for part in found.values())])
