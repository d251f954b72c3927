"""A report as PDF, printed by a browser that is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from homeostat.domain.errors import DataError, UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LONGEST = 120
VARIABLE = "HOMEOSTAT_BROWSER"


def browser() -> str:
    """Return the path of a browser that can print; raises UserError if there is none."""
    named = os.environ.get(VARIABLE, "")
    names = (named,) if named else BROWSERS
    for name in names:
        found = shutil.which(name)
        if found:
            return found
    tried = f"{VARIABLE} names {named!r}, which is not there" if named else "no Chromium is found"
    raise UserError(
        f"{tried}: a PDF is printed by one; install it (apt install chromium), or take --format "
        "html and print that"
    )


def pdf(html: str) -> bytes:
    """Print an HTML document; it runs no script and asks the network for nothing.

    Raises
    ------
    UserError
        If no browser is installed.
    DataError
        If the browser does not print.
    """
    program = browser()
    with tempfile.TemporaryDirectory(prefix="homeostat-") as folder:
        page, out = Path(folder) / "report.html", Path(folder) / "report.pdf"
        page.write_text(html, encoding="utf-8")
        command = [
            program,
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--no-pdf-header-footer",
            f"--user-data-dir={folder}/profile",
            *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium refuses root otherwise
            f"--print-to-pdf={out}",
            page.as_uri(),
        ]
        try:
            done = subprocess.run(  # noqa: S603 - our own words, and a path of the owner
                command, capture_output=True, timeout=LONGEST, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DataError(f"{program} does not print the report: {error}") from error
        if not out.is_file():
            said = done.stderr.decode(errors="replace").strip().splitlines()
            why = said[-1] if said else f"exit code {done.returncode}"
            raise DataError(f"{program} does not print the report: {why}")
        return out.read_bytes()
