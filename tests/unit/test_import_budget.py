"""What the first seconds of a user cost: heavy libraries are loaded only by what needs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

LOADED = "import json, sys; print(json.dumps(sorted(m for m in sys.modules if '.' not in m)))"
HEAVY = {
    "aiohttp", "alembic", "altair", "httpx", "lightgbm", "matplotlib", "numpy", "pandas", "plotly",
    "polars", "psycopg", "pyarrow", "pydantic", "scipy", "sklearn", "sqlalchemy", "sqlite3",
    "starlette", "uvicorn",
}  # fmt: skip


def loaded_after(statement: str) -> set[str]:
    # Coverage of child processes would load its own database.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}\n{LOADED}"],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_import_loads_no_web_plotting_or_database_library() -> None:
    assert not loaded_after("import homeostat") & HEAVY


def test_help_loads_no_web_plotting_or_database_library() -> None:
    """Every command is listed without importing what it needs."""
    calls = "from homeostat.entrypoints.cli import run; run(['--help'])"
    assert not loaded_after(calls) & HEAVY


@pytest.mark.parametrize("package", ["stats", "profiles", "detectors.drift.detector", "rollout"])
def test_the_core_loads_no_web_plotting_or_database_library(package: str) -> None:
    """Whoever uses the statistics in a notebook or a Spark worker does not pay for the server."""
    allowed = {"numpy", "pyarrow"}
    assert not loaded_after(f"import homeostat.{package}") & (HEAVY - allowed)
