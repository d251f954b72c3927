"""A hotel's bookings under several policies: left alone, naive monthly retraining, Homeostat's.

The model is trained on bookings before December 2015 with the labels known by then. "naive"
retrains on the first of each month on every label known so far and serves at once; "naive, 90 days"
and "naive, 30 days" do so on the labels, known by then, of the bookings of the last 90 and 30 days.
Homeostat's settings are examples/hotel/homeostat.yaml. Printed are AUC, Brier score and mean score
by month and over all, bootstrap intervals of the differences (whole weeks are drawn), and the
decisions. Exit code 1 where Homeostat is not better than all others over all, or in any month more
than 0.02 Brier worse than the model that is left alone.

How to run (from the repository, with LightGBM; about two minutes)::

    PYTHONPATH=src python benchmarks/hotel_policy.py /path/to/hotel_resort_dev.parquet

Data: N. Antonio, A. de Almeida, L. Nunes, Hotel booking demand datasets, Data in Brief 22 (2019)
41-49, CC BY 4.0.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from homeostat.entrypoints.backtest import ALONE, HOMEOSTAT, MEMORIES, Backtest, Result
from homeostat.entrypoints.backtest_figures import Month
from homeostat.entrypoints.history import read_history
from homeostat.entrypoints.settings import load
from homeostat.stats import metrics

ROOT = Path(__file__).parents[1]
START = datetime(2015, 12, 1, tzinfo=UTC)
NEWEST = "naive, 30 days"
NAIVE = {**MEMORIES, NEWEST: timedelta(days=30)}
POLICIES = (ALONE, *NAIVE, HOMEOSTAT)
WORST = 0.02
WEEK = 7 * 86_400_000_000
RESAMPLES = 1000
TOLD = {
    "start_training",
    "accept_candidate",
    "reject_candidate",
    "refit",
    "keep_judged",
    "promote",
    "roll_back",
    "abort",
    "fire",
}
Floats = NDArray[np.float64]


def table(months: tuple[Month, ...]) -> str:
    """Return the figures of every month as Markdown tables, policies side by side."""
    lines = []
    for name in ("brier", "auc", "mean_score"):
        lines += ["", name, "", f"| month | rows | rate | {' | '.join(POLICIES)} |"]
        lines.append("| --- " * (3 + len(POLICIES)) + "|")
        for month in months:
            cells = [f"{month.figures[policy][name]:.4f}" for policy in POLICIES]
            head = f"| {month.month} | {month.rows} | {month.mean_label:.3f} |"
            lines.append(f"{head} {' | '.join(cells)} |")
    return "\n".join(lines)


def intervals(result: Result) -> Iterator[str]:
    """Say how Homeostat differs from each other policy, with 95 % intervals over weeks."""
    known = np.isfinite(result.labels)
    labels, weeks = result.labels[known], result.stamps[known] // WEEK
    rows = [np.flatnonzero(weeks == week) for week in np.unique(weeks)]
    rng = np.random.default_rng(1)
    drawn = [
        np.concatenate([rows[place] for place in rng.integers(0, len(rows), len(rows))])
        for _ in range(RESAMPLES)
    ]
    ours = result.scores[HOMEOSTAT][known]
    for other in POLICIES[:-1]:
        theirs = result.scores[other][known]
        for name, metric in (("brier", metrics.brier), ("auc", metrics.auc)):
            told = _difference(metric, labels, ours, theirs, drawn)
            yield f"- {name}, homeostat less {other}: {told}"


def _difference(
    metric: Callable[[Floats, Floats], float],
    labels: Floats,
    ours: Floats,
    theirs: Floats,
    drawn: list[NDArray[np.intp]],
) -> str:
    whole = metric(labels, ours) - metric(labels, theirs)
    many = [metric(labels[at], ours[at]) - metric(labels[at], theirs[at]) for at in drawn]
    lower, upper = np.quantile(many, [0.025, 0.975])
    return f"{whole:+.4f} ({lower:+.4f} to {upper:+.4f})"


def missed(result: Result) -> list[str]:
    """Say what was asked for and not reached; empty if all is."""
    whole, found = result.months[-1].figures, []
    for other in POLICIES[:-1]:
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
        backtest = Backtest(settings, model, rows, START, Path(folder), memories=NAIVE)
        result = backtest.run()
    print(table(result.months), "", *intervals(result), "", sep="\n")
    for decision in result.decisions:
        if decision.action in TOLD:
            print(f"- {decision.at:%Y-%m-%d} {decision.action} {decision.subject}: ", end="")
            print(decision.reason)
    shortfalls = missed(result)
    print("\n".join(["", *(f"not reached: {text}" for text in shortfalls)]))
    return int(bool(shortfalls))


if __name__ == "__main__":
    sys.exit(main())
