"""Roll a model back on a deployment of this machine, and wait until the old version answers.

    python local.py -c homeostat.yaml -m fraud --reason "wrong scores"
    python local.py -c homeostat.yaml -m fraud --drill

The command does it at once, or the engine at its next tick; this asks, waits and says how long
it took. Exit codes: 0 done, 1 not done in time or not possible, 2 a mistake in the call.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time


def homeostat(*arguments: str) -> str:
    """Run the command and return what it says; its error ends this script with its exit code."""
    done = subprocess.run(["homeostat", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, end="", file=sys.stderr)
        sys.exit(done.returncode)
    return done.stdout


def serving(where: list[str]) -> tuple[str, str]:
    """Return champion and challenger."""
    found = json.loads(homeostat("rollout", "status", "--json", *where))["rollouts"][0]
    return found["champion"], found["challenger"]


def main() -> int:
    """Roll back, or drill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-c", "--config", default="homeostat.yaml")
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--reason", default="asked for by a script")
    parser.add_argument("--timeout", type=float, default=300.0, help="seconds")
    parser.add_argument("--drill", action="store_true", help="measure, and change nothing")
    given = parser.parse_args()
    where = ["-c", given.config, "-m", given.model]
    if given.drill:
        print(homeostat("rollback", "--drill", *where), end="")
        return 0
    before = serving(where)
    began = time.monotonic()
    homeostat("rollback", *where, "--reason", given.reason)
    while (now := serving(where)) == before:
        if time.monotonic() - began > given.timeout:
            print(f"not done within {given.timeout:g} s; is a control plane running?")
            return 1
        time.sleep(0.5)
    if now[0] == before[0]:
        print(f"{given.model}: the challenger {before[1]} is withdrawn, {now[0]} serves everyone")
        print(f"to go back behind {now[0]} as well, run this again")
        return 1
    print(f"{given.model}: {before[0]} -> {now[0]} in {time.monotonic() - began:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
