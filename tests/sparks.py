"""A real Spark for tests, as cheap as it gets: what it computes is not what it costs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from homeostat.adapters.profilers.session import spark_session

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "America/New_York",
    # Compiling takes more time than such small jobs do.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}


@contextmanager
def started(folder: Path, **settings: str) -> Iterator[SparkSession]:
    """Give a session that keeps its files in a folder; skips, or in CI fails, without Spark."""
    if find_spec("pyspark") is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no Spark: make spark")
    places = {"spark.local.dir": str(folder), "spark.sql.warehouse.dir": str(folder / "tables")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "src"))
        # It logs a failed query to a logger that turns every handler it gets to JSON, and pytest
        # gives it the one that all later tests of this process read their log from.
        silent = "pyspark.errors.exceptions.base.PySparkException._log_exception"
        patch.setattr(silent, lambda _: None)
        with spark_session(SETTINGS | places | settings) as running:
            yield cast("SparkSession", running)
