"""A hotel's bookings under three policies: left alone, naive monthly retraining, Homeostat's.

The model is trained on bookings before December 2015 with the labels known by then. "naive"
retrains on the first of each month on every label known so far and serves at once; "naive, 90 days"
does so on those of the last 90 days only. Homeostat's settings are examples/hotel/homeostat.yaml.
Printed are AUC, Brier score and mean score by month and over all, and the decisions. Exit code 1
where Homeostat is not better than both over all, or in any month more than 0.02 Brier worse than
the model that is left alone.

How to run (from the repository, with LightGBM; about two minutes)::

    PYTHONPATH=src python benchmarks/hotel_policy.py /path/to/hotel_resort_dev.parquet

Data: N. Antonio, A. de Almeida, L. Nunes, Hotel booking demand datasets, Data in Brief 22 (2019)
41-49, CC BY 4.0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from homeostat.entrypoints.backtest import (
    ALONE,
    HOMEOSTAT,
    NAIVE,
    POLICIES,
    SHORT,
    Backtest,
    Month,
    Result,
)
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load

ROOT = Path(__file__).parents[1]
START = datetime(2015, 12, 1, tzinfo=UTC)
WORST = 0.02
TOLD = {
    "start_training",
    "accept_candidate",
    "reject_candidate",
    "promote",
    "roll_back",
    "abort",
    "fire",
}


def table(months: tuple[Month, ...]) -> str:
    """Return the figures of every month as a Markdown table, policies side by side."""
    heads = [f"{name} {policy}" for name in ("auc", "brier") for policy in POLICIES]
    lines = [f"| month | rows | rate | {' | '.join(heads)} |", "| --- " * (3 + len(heads)) + "|"]
    for month in months:
        cells = [
            f"{month.figures[policy][name]:.4f}" for name in ("auc", "brier") for policy in POLICIES
        ]
        lines.append(
            f"| {month.month} | {month.rows} | {month.mean_label:.3f} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def missed(result: Result) -> list[str]:
    """Say what was asked for and not reached; empty if all is."""
    whole, found = result.months[-1].figures, []
    for other in (ALONE, NAIVE, SHORT):
        for name, sign in (("brier", 1.0), ("auc", -1.0)):
            ours, theirs = whole[HOMEOSTAT][name], whole[other][name]
            if sign * ours >= sign * theirs:
                found.append(f"{name} over all: {ours:.4f}, {other} {theirs:.4f}")
    for month in result.months:
        worse = month.figures[HOMEOSTAT]["brier"] - month.figures[ALONE]["brier"]
        if worse > WORST:
            found.append(f"{month.month}: Brier {worse:+.4f} against the model left alone")
    return found


def main() -> int:
    """Run the backtest and print what came out."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    settings = load(ROOT / "examples" / "hotel" / "homeostat.yaml")
    model = settings.models[0].name
    rows = read_history(settings, model, parser.parse_args().data)
    with tempfile.TemporaryDirectory() as folder:
        result = Backtest(settings, model, rows, START, Path(folder)).run()
    print(table(result.months))
    print()
    for decision in result.decisions:
        if decision.action in TOLD:
            print(f"- {decision.at:%Y-%m-%d} {decision.action} {decision.subject}: ", end="")
            print(decision.reason)
    shortfalls = missed(result)
    print("\n".join(["", *(f"not reached: {text}" for text in shortfalls)]))
    return int(bool(shortfalls))


if __name__ == "__main__":
    sys.exit(main())
