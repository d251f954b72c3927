"""Business metrics from Python."""

from datetime import datetime, timedelta

import numpy as np
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError

SPEC = hs.PredictionSpec(timestamp="at", segments=("land",), features=("land",))
CAUGHT = {"caught": "amount if label == 1 and prediction == 1 else 0"}


def rows(n: int = 400, worth: float = 1.0, right: float = 0.8) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    label = rng.random(n) < 0.5
    hit = rng.random(n) < right
    return {
        "at": np.datetime64("2026-01-01") + np.arange(n) * np.timedelta64(144, "m"),
        "amount": rng.lognormal(3.0, 0.3, n) * worth,
        "score": np.where(label == hit, 0.9, 0.1),
        "label": label,
        "land": np.where(rng.random(n) < 0.5, "DE", "FR"),
    }


def test_figures_are_of_all_rows_and_of_segments_by_window() -> None:
    data = rows()
    found = hs.value(data, SPEC, CAUGHT)
    worth = np.where(data["label"] & (data["score"] >= 0.5), data["amount"], 0.0)
    whole, *parts = found.figures
    assert whole.estimate.value == pytest.approx(worth.mean())
    assert {part.segment for part in parts} == {("land", "DE"), ("land", "FR")}
    weekly = hs.value(data, SPEC, CAUGHT, every=timedelta(days=7)).figures
    assert len({one.window for one in weekly}) == 6
    assert str(found).startswith("caught: ")


def test_rows_too_young_for_their_labels_do_not_count() -> None:
    spec = hs.PredictionSpec(timestamp="at", maturity=timedelta(days=10))
    found = hs.value(rows(), spec, CAUGHT, as_of=datetime(2026, 1, 31))
    assert found.figures[0].rows == 201
    assert "younger than 10 days" in found.problems[0]


def test_worth_that_falls_while_accuracy_rises_is_told() -> None:
    found = hs.value(rows(worth=0.3, right=0.98), SPEC, CAUGHT, reference=rows())
    assert found.changes[0].opposed
    assert "accuracy and caught disagree: caught fell from" in str(found)


def test_options_that_cannot_be_are_named() -> None:
    with pytest.raises(ConfigError, match="'price' is no column"):
        hs.value(rows(), SPEC, {"v": "price"})
    with pytest.raises(ConfigError, match="every is '7d'"):
        hs.value(rows(), SPEC, CAUGHT, every="7d")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="as_of is 'now'"):
        hs.value(rows(), SPEC, CAUGHT, as_of="now")  # type: ignore[arg-type]
