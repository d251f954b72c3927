"""Measures what a user pays before the first result: install, import, demo (``make figures``).

The wheels of this repository are installed with pip, without pins, into a bare environment made
for it. The demo runs in this environment; its memory is the sum over its processes, sampled five
times a second.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
MEGABYTE = 1e6
RUNS = 15
LIMITS = {"distributions": 45, "install": 450.0, "import": 150.0, "seconds": 120.0, "demo": 1500.0}


def run(*command: str | Path, at: Path = ROOT) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=at).stdout


def megabytes(folder: Path, *, bytecode: bool) -> float:
    """Return what the files take on the disk, each file once."""
    stats = {
        (found := path.lstat()).st_ino: found.st_blocks * 512
        for path in folder.rglob("*")
        if bytecode or path.suffix != ".pyc"
    }
    return sum(stats.values()) / MEGABYTE


def distributions(python: Path) -> int:
    return len(run(python, "-m", "pip", "list", "--format", "freeze").splitlines())


def install(folder: Path) -> tuple[Path, dict[str, float]]:
    """Install the wheels into a bare environment; return its Python and what was added."""
    for project in (ROOT, ROOT / "client"):
        run(
            sys.executable,
            "-m",
            "hatchling",
            "build",
            "-t",
            "wheel",
            "-d",
            folder / "dist",
            at=project,
        )
    bare = folder / "bare"
    venv.create(bare, with_pip=True)
    python = bare / "bin" / "python"
    before = [distributions(python), *(megabytes(bare, bytecode=b) for b in (True, False))]
    wheels = sorted((folder / "dist").glob("*.whl"))
    start = time.perf_counter()
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wheels)
    seconds = time.perf_counter() - start
    after = [distributions(python), *(megabytes(bare, bytecode=b) for b in (True, False))]
    names = ("distributions", "install", "without bytecode")
    added = {name: b - a for name, a, b in zip(names, before, after, strict=True)}
    return python, added | {"install seconds": seconds}


def milliseconds(python: Path, statement: str) -> float:
    """Return the median time that one statement takes in a new process."""
    timed = f"import time; start = time.perf_counter(); {statement}\n"
    timed += "print((time.perf_counter() - start) * 1000)"
    return statistics.median(float(run(python, "-c", timed).splitlines()[-1]) for _ in range(RUNS))


def resident(session: int) -> float:
    """Return the memory of all processes of a session."""
    pages = 0
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            pages += int(status.with_name("statm").read_text().split()[1]) * (
                int(fields[3]) == session
            )
        except (OSError, IndexError):
            continue  # the process has ended
    return pages * os.sysconf("SC_PAGE_SIZE") / MEGABYTE


def demo(folder: Path) -> dict[str, float]:
    command = [Path(sys.executable).with_name("homeostat"), "demo"]
    start = time.perf_counter()
    with (folder / "demo.txt").open("w") as out:
        process = subprocess.Popen(command, start_new_session=True, stdout=out, cwd=folder)
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, resident(process.pid))
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.2)
    if process.returncode:
        raise SystemExit(f"homeostat demo failed with {process.returncode}")
    return {"seconds": time.perf_counter() - start, "demo": peak}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        python, figures = install(Path(name))
        figures["import"] = milliseconds(python, "import homeostat")
        command = "from homeostat.entrypoints.cli import run; run(['--help'])"
        figures["help"] = milliseconds(python, command)
        if sys.platform == "linux":
            figures |= demo(Path(name))
    lines = (
        ("distributions", "distributions added to a bare environment", ""),
        ("install", "size added, with the bytecode that pip writes", "MB"),
        ("without bytecode", "size added, without it", "MB"),
        ("install seconds", "pip install", "s"),
        ("import", "import homeostat", "ms"),
        ("help", "homeostat --help", "ms"),
        ("seconds", "homeostat demo", "s"),
        ("demo", "memory of the demo at its peak", "MB"),
    )
    for key, text, unit in lines:
        if key in figures:
            limit = f"(limit {LIMITS[key]:.0f})" if key in LIMITS else ""
            print(f"{text:<48}{figures[key]:>8.0f} {unit:<3}{limit}")
    over = [key for key, limit in LIMITS.items() if figures.get(key, 0.0) > limit]
    sys.exit(f"over the limit: {', '.join(over)}" if over else 0)


if __name__ == "__main__":
    main()
