"""What training on young rows gains and risks where delays, rates and mixes change.

The worlds are those of early_labels.py: bookings, of which the cancelled are known early and the
kept on departure; and "drift", in which those far ahead are cancelled more and more often. At each
of the last four months' beginnings a logistic regression on the days until arrival is trained on
what is known by then, and judged by the month that follows.

Run: ``PYTHONPATH=src:benchmarks python benchmarks/young_rows.py [RUNS]`` (8 runs take a minute).
Prints, for each world and choice of rows, the mean Brier score and how much the mean score is off:
"mature" (older than the maturity), "early" (these, and young ones by what they will probably be),
"naive" (every label known), and that of the last 90 and 30 days.
"""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import pyarrow as pa
from early_labels import DAY, LENGTH, MATURITY, MONTHS, ROWS, WORLDS, bookings
from numpy.typing import NDArray

from homeostat.domain.effect import StartTraining
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.predictions import Predictions
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.window import EPOCH, Window
from homeostat.engine.young import with_young
from homeostat.retraining.rows import WEIGHT

Floats = NDArray[np.float64]
SPEC = ModelSpec(
    "bookings", Task.BINARY, Schema((Column("lead", ColumnKind.NUMERIC),)), LabelSpec(MATURITY),
    classes=("kept", "cancelled"),
)  # fmt: skip
DRIFT = "drift"
CHOICES = ("mature", "early", "naive", "naive 90", "naive 30")
JUDGED = range(MONTHS - 4, MONTHS)


def drifting(seed: int) -> Predictions:
    """Return bookings of which those far ahead are cancelled more and more often."""
    rng, n = np.random.default_rng(seed), MONTHS * ROWS
    made = np.sort(rng.random(n)) * MONTHS * LENGTH
    soon = rng.random(n) < 0.25
    lead = np.where(soon, rng.integers(0, 3, n), np.minimum(rng.exponential(35.0, n), 119.0))
    lead = np.floor(lead)
    odds = (0.1 + 0.5 * made / made.max()) * np.log1p(lead) - 2.2
    label = rng.random(n) < 1.0 / (1.0 + np.exp(-odds))
    part = np.where(rng.random(n) < 0.5, rng.beta(1.0, 6.0, n), rng.beta(3.0, 1.2, n))
    delay = np.where(label, lead * part, lead + rng.integers(1, 8, n))
    moments = np.asarray(made * DAY, np.int64)
    return Predictions(
        Task.BINARY, SPEC.classes, 0.5, np.full(n, 0.2), np.zeros(n), label.astype(float),
        pa.table({"lead": lead}), moments, moments + np.asarray(delay * DAY, np.int64),
    )  # fmt: skip


def design(lead: Floats) -> Floats:
    part = np.log1p(lead)
    return np.column_stack([np.ones(lead.size), part, part**2])


def fit(lead: Floats, labels: Floats, weights: Floats) -> Floats:
    matrix, found = design(lead), np.zeros(3)
    for _ in range(12):
        chance = 1.0 / (1.0 + np.exp(-matrix @ found))
        curve = matrix * (weights * chance * (1.0 - chance))[:, None]
        gradient = matrix.T @ (weights * (labels - chance)) - 1e-2 * found
        found = found + np.linalg.solve(matrix.T @ curve + 1e-2 * np.eye(3), gradient)
    return np.asarray(found)


def predict(model: Floats, lead: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-design(lead) @ model)))


def logged(rows: Predictions, now: int) -> pa.Table:
    """Return what the log holds at a moment."""
    made, came = rows.timestamps, rows.arrivals
    assert made is not None
    assert came is not None
    past = made < now
    count, known = int(past.sum()), came[past] <= now
    plain = {name: ["x"] * count for name in ("prediction_id", "version", "role", "tier")}
    labels = np.where(known, rows.labels[past], np.nan)
    return pa.table(
        plain
        | {
            "timestamp": pa.array(made[past], TIMESTAMP),
            "score": rows.scores[past],
            "prediction": rows.predictions[past],
            "lead": rows.features["lead"].to_numpy()[past].astype(float),
            "label": pa.array(labels, pa.float64(), from_pandas=True),
            "arrival": pa.array(np.where(known, came[past], 0), TIMESTAMP, mask=~known),
        }
    )


def trained(choice: str, table: pa.Table, now: int) -> Floats:
    age = (now - table["timestamp"].cast(pa.int64()).to_numpy()) / DAY
    known = table["label"].is_valid().to_numpy()
    limit = float(choice.split()[1]) if " " in choice else np.inf
    kept = known & (age >= MATURITY / timedelta(days=1) if choice == "mature" else age < limit)
    if choice == "early":
        moment = EPOCH + timedelta(microseconds=now)
        judged = trained("mature", table, now)
        request = StartTraining(
            "r", "bookings", "", Window(EPOCH, moment), moment, guide="judged", kinds=("lead",)
        )
        found = with_young(
            lambda _spec, _version, rows: predict(judged, rows["lead"].to_numpy()),
            SPEC, request, table,
        )  # fmt: skip
        return fit(*(found[name].to_numpy() for name in ("lead", "label", WEIGHT)))
    part = table.filter(pa.array(kept))
    return fit(part["lead"].to_numpy(), part["label"].to_numpy(), np.ones(part.num_rows))


def judge(world: str, seed: int) -> Floats:
    """Return the Brier score and the error of the mean score by choice, shape (choices, 2)."""
    rows = drifting(seed) if world == DRIFT else bookings(world, seed)
    assert rows.timestamps is not None
    found = np.zeros((len(CHOICES), 2))
    for month in JUDGED:
        now = month * LENGTH * DAY
        table = logged(rows, now)
        next_ = (rows.timestamps >= now) & (rows.timestamps < now + LENGTH * DAY)
        lead, truth = rows.features["lead"].to_numpy()[next_].astype(float), rows.labels[next_]
        for place, choice in enumerate(CHOICES):
            scores = predict(trained(choice, table, now), lead)
            found[place] += ((scores - truth) ** 2).mean(), abs(scores.mean() - truth.mean())
    return found / len(JUDGED)


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 8
    print(f"| world | {' | '.join(CHOICES)} |")
    print("| --- " * (len(CHOICES) + 1) + "|")
    for world in (*WORLDS, DRIFT):
        mean = np.mean([judge(world, seed) for seed in range(count)], axis=0)
        cells = [f"{brier:.4f} ({off:.3f})" for brier, off in mean]
        print(f"| {world} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
