"""A PostgreSQL server of the test session's own: made for it, reached by a socket, gone with it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

REMEDY = "no PostgreSQL found: apt-get install postgresql"
DRIVER = "no driver of PostgreSQL found: make setup"
OWNER = "nobody"  # the server refuses to run as root
SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",  # it ends with the session
    "shared_buffers": "16MB",
    "max_connections": "60",
}


def binaries() -> Path | None:
    """Return the folder of the newest server's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_release)
    if found:
        return found[-1].parent
    elsewhere = shutil.which("postgres")
    return None if elsewhere is None else Path(elsewhere).resolve().parent


def _release(path: Path) -> int:
    name = path.parents[1].name
    return int(name) if name.isdecimal() else 0


def _run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    owner = OWNER if os.getuid() == 0 else None
    return subprocess.run(
        command, check=True, capture_output=True, text=True, cwd="/", user=owner,
        extra_groups=[] if owner else None,
    )  # fmt: skip


@dataclass
class Postgres:
    """A running server."""

    folder: Path
    programs: Path
    made: int = 0

    @classmethod
    def begin(cls, programs: Path) -> Postgres:
        """Make a cluster and start it."""
        # Not below pytest's folder, which the owner may not enter; and a socket's path is short.
        folder = Path(tempfile.mkdtemp(prefix="homeostat-pg-"))
        if os.getuid() == 0:
            shutil.chown(folder, OWNER)
        server = cls(folder, programs)
        cluster = ("-D", folder / "data")
        _run(programs / "initdb", *cluster, "-U", "homeostat", "-A", "trust", "-N", "-E", "UTF8")
        given = " ".join(f"-c {name}='{value}'" for name, value in SETTINGS.items())
        told = ("-o", f"{given} -k {folder}", "-l", folder / "log")
        _run(programs / "pg_ctl", *cluster, *told, "-w", "start")
        return server

    def end(self) -> None:
        """Stop it and remove what it wrote."""
        _run(self.programs / "pg_ctl", "-D", self.folder / "data", "-m", "immediate", "stop")
        shutil.rmtree(self.folder)

    def database(self) -> str:
        """Make an empty database and return its URL for SQLAlchemy."""
        self.made += 1
        name = f"t{self.made}"
        self._execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://homeostat@/{name}?host={self.folder}"

    def drop(self, url: str) -> None:
        """Remove a database; whoever is still connected is cut off."""
        name = url.split("@/")[1].split("?", maxsplit=1)[0]
        self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        import psycopg

        target = f"host={self.folder} user=homeostat dbname=postgres"
        with psycopg.connect(target, autocommit=True) as connection:
            connection.execute(statement.encode())


def begin_or_tell() -> Postgres:
    """Start a server; without its programs the test says so, and with CI=true fails."""
    programs, driver = binaries(), find_spec("psycopg")
    if programs is not None and driver is not None:
        return Postgres.begin(programs)
    remedy = DRIVER if driver is None else REMEDY
    if os.environ.get("CI") == "true":
        pytest.fail(remedy, pytrace=False)
    pytest.skip(remedy)
