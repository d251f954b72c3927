"""The process that runs a user's training function, given the run's folder.

It reads ``request.json`` and ``rows.parquet`` from there, calls the function and writes
``result.json`` last, in one step, so that a run without a result is one that did not finish.
"""

from __future__ import annotations

import importlib.util
import json
import math
import random
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from homeostat.adapters.digest import sha256
from homeostat.domain.errors import ConfigError, TrainingError
from homeostat.domain.model import ModelSpec

REQUEST, ROWS, RESULT = "request.json", "rows.parquet", "result.json"
ARTIFACT, LOG, LOCK, PID = "artifact", "log.txt", "lock", "pid"
JOB, PROGRESS = "job.json", "progress"
LONGEST_PROBLEM = 2000

TrainFunction = Callable[[pa.Table, ModelSpec, Path], Mapping[str, float]]


def load_function(reference: str) -> TrainFunction:
    """Import the function named by ``path/to/file.py:name``.

    Raises
    ------
    ConfigError
        If the reference has another form, or there is no such file or function.
    """
    path, _, name = reference.rpartition(":")
    if not path or not name.isidentifier():
        raise ConfigError(f"trainer {reference!r} is not of the form file.py:function")
    file = Path(path)
    if not file.is_file():
        raise ConfigError(f"trainer file {path} does not exist")
    module_spec = importlib.util.spec_from_file_location(file.stem, file)
    if module_spec is None or module_spec.loader is None:
        raise ConfigError(f"trainer file {path} cannot be imported", "it must end in .py")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[file.stem] = module
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))
    module_spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise ConfigError(f"trainer file {path} has no function {name!r}")
    return function  # type: ignore[no-any-return]  # a user's function; its result is checked below


def write_json(path: Path, content: object) -> None:
    """Write a file in one step: it is there as a whole, or not at all; raises OSError."""
    part = path.with_name(f"{path.name}.part")
    part.write_text(json.dumps(content))
    part.replace(path)


def run(folder: Path) -> dict[str, float]:
    """Train in the run's folder and return the metrics that the function reports.

    Python's and NumPy's global generators begin with the run's seed.

    Raises
    ------
    TrainingError
        If the function wrote nothing, or returned something else than metrics by name or None.
    """
    request = json.loads((folder / REQUEST).read_text())
    spec = TypeAdapter(ModelSpec).validate_python(request["spec"])
    rows = pq.read_table(folder / ROWS)
    artifact = folder / ARTIFACT
    artifact.mkdir(exist_ok=True)
    seed = int(request.get("seed", 0))
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 - libraries draw from it
    metrics: object = load_function(request["function"])(rows, spec, artifact)
    if not any(artifact.iterdir()):
        raise TrainingError("the training function wrote no artifact into its output folder")
    if not isinstance(metrics, Mapping | None):
        raise TrainingError(
            f"the training function returned {type(metrics).__name__}, not metrics by name"
        )
    numbers = {str(name): float(value) for name, value in (metrics or {}).items()}
    return {name: number for name, number in numbers.items() if math.isfinite(number)}


def main(folder: Path) -> int:
    """Run and report; the exit code is 0 when there is a result of either kind."""
    try:
        result: dict[str, object] = {"metrics": run(folder), "sha256": sha256(folder / ARTIFACT)}
    except Exception as error:  # noqa: BLE001 - a user's code may raise anything; it is reported
        traceback.print_exc()
        result = {"problem": f"{type(error).__name__}: {error}"[:LONGEST_PROBLEM]}
    write_json(folder / RESULT, result)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
