"""Send all traffic of a KServe InferenceService to its previous revision.

    python kserve.py fraud -n models
    python kserve.py fraud -n models --drill

Sets ``canaryTrafficPercent: 0``, as KServe documents for a rollback in serverless mode: the
revision that was rolled out before the latest takes all traffic again. A drill asks the API server
to check the change (``--dry-run=server``). Exit codes: 0 done, 1 not possible, 2 a mistake in the
call. Needs kubectl with rights to patch inferenceservices.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

PATCH = json.dumps({"spec": {"predictor": {"canaryTrafficPercent": 0}}})


def kubectl(*arguments: str) -> str:
    """Run kubectl and return what it says; raises CalledProcessError."""
    return subprocess.run(
        ["kubectl", *arguments], capture_output=True, text=True, check=True
    ).stdout


def main() -> int:
    """Roll back, or drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("service")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--drill", action="store_true", help="check, and change nothing")
    given = parser.parse_args()
    of = ["inferenceservice", given.service, "-n", given.namespace]
    began = time.monotonic()
    try:
        found = json.loads(kubectl("get", *of, "-o", "json"))
        status = found.get("status", {}).get("components", {}).get("predictor", {})
        latest = status.get("latestRolledoutRevision", "")
        earlier = status.get("previousRolledoutRevision", "")
        if not earlier or earlier == latest:
            print("there is no earlier revision to go back to")
            return 1
        dry = ["--dry-run=server"] if given.drill else []
        kubectl("patch", *of, "--type", "merge", "-p", PATCH, *dry)
        if not given.drill:
            kubectl("wait", *of, "--for=condition=Ready", f"--timeout={given.timeout:g}s")
    except subprocess.CalledProcessError as error:
        print(f"kubectl: {error.stderr.strip()}")
        return 1
    did = "would send" if given.drill else "sent"
    took = time.monotonic() - began
    print(f"{given.service}: {did} all traffic from {latest} to {earlier} ({took:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
