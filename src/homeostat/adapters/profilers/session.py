"""Spark sessions, what is used of their types, and their failures in plain words."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import Protocol, TypeAlias, cast

import pyarrow as pa

from homeostat.domain.errors import DataError, NotFoundError, UserError

Batches: TypeAlias = Iterable[pa.RecordBatch]

INSTALL = "pip install 'homeostat[spark]'"
JAVA = "install a Java runtime (17 or newer; Debian: default-jre-headless) or set JAVA_HOME"
LOCAL = {
    "spark.master": "local[*]",
    "spark.ui.enabled": "false",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
}
"""Settings of a session on this machine: seen by nobody else."""

_LONGEST = 300  # characters of a message of Spark's that are passed on


class Frame(Protocol):
    """What is used of ``pyspark.sql.DataFrame``, classic or Connect."""

    @property
    def dtypes(self) -> list[tuple[str, str]]:
        """Names and types of the columns."""
        ...

    def toDF(self, *names: str) -> Frame:  # noqa: N802 - Spark's name
        """Rename all columns."""
        ...

    def selectExpr(self, *expressions: str) -> Frame:  # noqa: N802
        """Compute columns from SQL."""
        ...

    def where(self, condition: str) -> Frame:
        """Keep some rows."""
        ...

    def distinct(self) -> Frame:
        """Drop repeated rows."""
        ...

    def limit(self, num: int) -> Frame:
        """Keep so many rows."""
        ...

    def mapInArrow(  # noqa: N802
        self, function: Callable[[Batches], Iterator[pa.RecordBatch]], schema: str
    ) -> Frame:
        """Map each partition's batches."""
        ...

    def repartition(self, *columns: str) -> Frame:
        """Bring rows together that are equal in the columns."""
        ...

    def unionAll(self, other: Frame) -> Frame:  # noqa: N802
        """Append the rows of another one with the same columns."""
        ...

    def collect(self) -> Sequence[Mapping[str, object]]:
        """Run the job."""
        ...


class Reader(Protocol):
    """What is used of ``pyspark.sql.DataFrameReader``."""

    def load(self, path: str | list[str], format: str, **options: str) -> Frame:  # noqa: A002 - Spark's name
        """Open files."""
        ...


class Session(Protocol):
    """What is used of ``pyspark.sql.SparkSession``."""

    @property
    def read(self) -> Reader:
        """Opens files."""
        ...

    def createDataFrame(self, data: pa.Table) -> Frame:  # noqa: N802
        """Bring rows to Spark."""
        ...

    def sql(self, sqlQuery: str, **frames: Frame) -> Frame:  # noqa: N803
        """Ask in SQL; the frames' names stand in braces."""
        ...

    def stop(self) -> None:
        """End the session."""
        ...


@contextlib.contextmanager
def spark_session(options: Mapping[str, str]) -> Iterator[Session]:
    """Give the process's session, or one with these settings that ends with the block.

    Raises
    ------
    UserError
        If pyspark or Java is not installed, a setting is none of Spark's, or no session can be had.
    """
    foreign = [name for name in options if not name.startswith("spark.")]
    if foreign:
        raise UserError(f"{foreign[0]!r} is no setting of Spark; they begin with 'spark.'")
    try:
        builder = import_module("pyspark.sql").SparkSession.builder
        running = import_module("pyspark.sql").SparkSession.getActiveSession()
    except ImportError as error:
        raise UserError(f"Spark needs pyspark, which is not installed; {INSTALL}") from error
    if running is not None:
        yield cast("Session", running)
        return
    local = options.get("spark.master", "local").startswith("local")
    settings = {**LOCAL, **options} if local and "spark.remote" not in options else options
    with explained(), quiet(), _this_python(local=settings is not options):
        session = cast("Session", builder.config(map=dict(settings)).getOrCreate())
    try:
        yield session
    finally:
        session.stop()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence pyspark's warning on the version of pandas, which nothing here uses."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*pandas", FutureWarning)
        yield


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Turn Spark's failures, with their traces of Java, into errors of one line.

    Raises
    ------
    NotFoundError
        If a path does not exist.
    DataError
        If Spark refuses the data or the question.
    UserError
        For whatever else fails in Spark.
    """
    try:
        yield
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in {"pyspark", "py4j"}:
            raise
        raise _translated(error) from None


def _translated(error: Exception) -> UserError:
    text = str(error)
    if "JAVA_GATEWAY_EXITED" in text:
        return UserError(f"Spark could not start Java; {JAVA}")
    if "PACKAGE_NOT_INSTALLED" in text:
        return UserError(f"Spark lacks a Python package ({_line(text)}); {INSTALL}")
    if "No module named 'homeostat" in text:
        return UserError("Spark's executors lack homeostat; install it on them, or ship it along")
    if "PATH_NOT_FOUND" in text:
        return NotFoundError(f"{_line(text)}; check the path")
    refused = type(error).__name__ in {"AnalysisException", "ParseException"}
    return (DataError if refused else UserError)(f"Spark's job failed: {_line(text)}")


def _line(text: str) -> str:
    """Return the line that says what is wrong: ``[CONDITION] ...``, or the innermost cause."""
    lines = [line.strip() for line in text.partition("JVM stacktrace:")[0].splitlines()]
    told = [found[0] for line in lines if (found := re.search(r"\[[A-Z_]{4,}[A-Z_.]*\] .*", line))]
    named = [
        line for line in lines if re.match(r"(Caused by: |: )?[\w.]+(Error|Exception): ", line)
    ]
    chosen = (told or named[-1:] or [line for line in lines if line] or [text])[0]
    plain = "".join(c if c.isprintable() else " " for c in chosen)
    return plain if len(plain) <= _LONGEST else f"{plain[:_LONGEST]}..."


@contextlib.contextmanager
def _this_python(*, local: bool) -> Iterator[None]:
    """Let workers on this machine be the same Python; else Spark takes what ``python3`` is."""
    name = "PYSPARK_PYTHON"
    if not local or name in os.environ:
        yield
        return
    os.environ[name] = sys.executable
    try:
        yield
    finally:
        del os.environ[name]
