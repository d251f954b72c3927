"""Serves two models by the command line, for clients in another environment: FOLDER."""

import sys
from pathlib import Path

from homeostat.adapters.clock import SystemClock
from homeostat.adapters.models import Term, save_linear
from homeostat.adapters.routes import RecordsRoutes
from homeostat.domain.model import ModelVersion
from homeostat.domain.route import Route
from homeostat.entrypoints.bootstrap import open_deployment
from homeostat.entrypoints.cli import main
from homeostat.entrypoints.settings import load

CONFIG = """\
gateway: {port: 0, grpc_port: 0, deadline: 5s}
models:
  - name: fraud
    task: binary
    classes: [no, yes]
    features: {amount: numeric, age: numeric}
    labels: {maturity: 1d}
  - name: mixed
    task: binary
    classes: [no, yes]
    features: {amount: numeric, land: categorical, vip: boolean}
    labels: {maturity: 1d}
"""
MODELS = {"fraud": [Term("amount", 0.1), Term("age", -0.1)], "mixed": [Term("amount", 0.1)]}


def make(folder: Path) -> Path:
    """Make a deployment whose models have a version each; return its configuration."""
    file = folder / "homeostat.yaml"
    file.write_text(CONFIG)
    deployment = open_deployment(load(file), SystemClock())
    router = RecordsRoutes(deployment.records)
    for name, terms in MODELS.items():
        save_linear(folder / name, 0.0, terms)
        card = ModelVersion(name, "1", "linear", "", SystemClock().now())
        version = deployment.registry.register(card, folder / name).version
        router.publish(Route(name, version))
    deployment.close()
    return file


if __name__ == "__main__":
    main(["gateway", "-c", str(make(Path(sys.argv[1])))])
