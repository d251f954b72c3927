"""``hs.estimate``: weights, segments, and how it prints."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError, DataError

BINARY = hs.PredictionSpec("binary", label="y", score="p")


def logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def binary(n: int, seed: int, shift: float = 0.0, blind: float = 0.0) -> dict[str, np.ndarray]:
    """A model that sees x but, if `blind` is above 0, not z, on which labels depend too."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(shift, 1.0, n), rng.normal(shift, 1.0, n)
    truth = logistic(1.5 * x + blind * z)
    return {"x": x, "z": z, "p": logistic(1.2 * x), "y": (rng.random(n) < truth).astype(int)}


def blind(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in rows.items() if name != "y"}


def test_rows_without_weight_do_not_count_and_others_count_alike() -> None:
    spec = hs.PredictionSpec("binary", label="y", score="p", weight="w")
    good, now = binary(900, 1), blind(binary(400, 2))
    count = np.asarray(good["y"]).size
    odd = np.arange(count) % 2 == 1
    wrong = good | {"y": np.where(odd, 1 - np.asarray(good["y"]), good["y"])}
    weighed = wrong | {"w": np.where(odd, 0.0, 3.0)}
    whole = now | {"w": np.ones(np.asarray(now["p"]).size)}
    found = hs.estimate(weighed, whole, spec, windows=1)
    half = {name: np.asarray(values)[~odd] for name, values in good.items()}
    expected = hs.estimate(half, now, replace(spec, weight=""), windows=1)
    assert found.windows == expected.windows
    assert "reference: 450 of 900 rows have no weight: left out" in found.problems
    with pytest.raises(ConfigError, match="reference: weights differ, which an estimate"):
        hs.estimate(good | {"w": 1.0 + odd}, whole, spec)
    with pytest.raises(DataError, match="current: no row has a weight above 0"):
        hs.estimate(good | {"w": np.ones(count)}, now | {"w": np.zeros(400)}, spec)


def test_estimates_are_printed_as_lines() -> None:
    found = hs.estimate(binary(2000, 1), blind(binary(600, 2)), BINARY, windows=2)
    printed = str(found)
    assert "Estimation(" not in printed
    assert found.method in printed
    accuracy = found.windows[1]["accuracy"]
    assert f"accuracy: {accuracy.value:.4g} [{accuracy.lower:.4g}, " in printed
    assert "rows 301 to 600" in printed
    few = str(hs.estimate(binary(2000, 1), blind(binary(5, 2)), BINARY, windows=1))
    assert "accuracy: not identifiable, " in few
    assert "nan" not in few
    many = str(hs.estimate(binary(2000, 1), blind(binary(600, 2)), BINARY, windows=30))
    assert "... and 10 more windows" in many


def test_estimates_say_their_times() -> None:
    at = np.datetime64("2024-01-01T00:00") + np.arange(2000) * np.timedelta64(1, "h")
    rows = binary(2000, 1) | {"at": at}
    printed = str(hs.estimate(rows, rows, replace(BINARY, timestamp="at"), windows=1))
    assert "rows 1 to 2,000, 2024-01-01 00:00 to 2024-03-24 07:00" in printed


def test_segments_are_said_not_to_be_told_apart() -> None:
    rows = binary(600, 1) | {"shop": np.tile(["a", "b"], 300)}
    found = hs.estimate(rows, rows, replace(BINARY, segments=("shop",)), windows=1)
    assert found.problems[-1].startswith("estimates are not told apart by shop")


def test_no_metrics_are_none() -> None:
    with pytest.raises(ConfigError, match="metrics is empty"):
        hs.estimate(binary(600, 1), blind(binary(90, 2)), BINARY, metrics=[])
    with pytest.raises(ConfigError, match="metrics is empty"):
        hs.evaluate(binary(600, 1), BINARY, metrics=[])
