"""Point MLflow's alias champion at the version that previous points at.

For servers that load ``models:/NAME@champion`` while no control plane runs. Where one runs, ask it
instead (local.py): it holds the champion pointer, and moves the alias back at its next tick.

    MLFLOW_TRACKING_URI=https://mlflow.example.org python mlflow_alias.py fraud --expect 7
    ... python mlflow_alias.py fraud --drill

Exit codes: 0 done, 1 not possible, 2 a mistake in the call. Needs mlflow or mlflow-skinny.
"""

from __future__ import annotations

import argparse
import sys
import time

from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient


def main() -> int:
    """Roll back, or drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="name of the registered model")
    parser.add_argument("--expect", default="", help="number that champion must point at")
    parser.add_argument("--drill", action="store_true", help="measure, and change nothing")
    given = parser.parse_args()
    client = MlflowClient()
    began = time.monotonic()
    try:
        aliases = client.get_registered_model(given.model).aliases
        champion, previous = aliases.get("champion", ""), aliases.get("previous", "")
        if given.expect and champion != given.expect:
            print(f"champion points at {champion or 'nothing'}, not at {given.expect}")
            return 1
        if not previous or previous == champion:
            print("there is no previous version to go back to")
            return 1
        client.get_model_version(given.model, previous)
        if not given.drill:
            client.set_registered_model_alias(given.model, "champion", previous)
    except MlflowException as error:
        print(f"mlflow: {error}")
        return 1
    did = "would move" if given.drill else "moved"
    print(
        f"{given.model}: {did} {champion or '-'} -> {previous} ({time.monotonic() - began:.2f} s)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
