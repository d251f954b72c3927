"""Run by the server's Python: the command line, or a reader of prediction logs."""

import json
import sys
from datetime import timedelta
from pathlib import Path

from homeostat.adapters.clock import SystemClock
from homeostat.domain.record import prediction_schema
from homeostat.domain.window import Window
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import main
from homeostat.entrypoints.settings import load


def rows(folder: Path) -> str:
    clock = SystemClock()
    deployment = open_deployment(load(folder / "homeostat.yaml"), clock)
    now = clock.now()
    window = Window(now - timedelta(days=400), now + timedelta(days=1))
    spec = deployment.settings.specs[0]
    names = [*prediction_schema(spec).names, *spec.outcomes]
    found = deployment.log.labelled(spec, window, now + timedelta(days=1), names)
    deployment.close()
    return json.dumps(found.to_pylist(), default=str)


if __name__ == "__main__":
    if sys.argv[1] != "reader":
        main(sys.argv[1:])
    for line in sys.stdin:
        sys.stdout.write(rows(Path(line.strip())) + "\n")
        sys.stdout.flush()
