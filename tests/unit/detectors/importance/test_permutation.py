"""Which columns a model lives on."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from homeostat.detectors.importance.permutation import (
    Importance,
    ImportanceConfig,
    importance,
)
from homeostat.domain.losses import row_losses
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.domain.verdict import Status

Floats = NDArray[np.float64]
SQUARED = partial(row_losses, Task.BINARY)


def rows(n: int = 400, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=n)
    table = pa.table(
        {
            "x": pa.array(x),
            "twin": pa.array(x),
            "land": pa.array(rng.choice(["DE", "FR"], n)),
            "same": pa.array(np.ones(n)),
        }
    )
    chances = score(table)
    labels = (rng.random(n) < chances).astype(float)
    return Predictions(Task.BINARY, ("no", "yes"), 0.5, chances, chances.round(), labels, table)


def score(table: pa.Table) -> Floats:
    french = np.asarray(table["land"].to_pylist()) == "FR"
    total = table["x"].to_numpy() + table["twin"].to_numpy() + french + table["same"].to_numpy()
    return np.asarray(1.0 / (1.0 + np.exp(-total)))


def measure(predictions: Predictions, **more: object) -> dict[str, Importance]:
    given = {"score": score, "losses": SQUARED, "rng": np.random.default_rng(3)} | more
    return {one.name: one for one in importance(predictions=predictions, **given)}


def test_columns_are_ranked_and_the_scorer_is_called_once_each() -> None:
    sizes: list[int] = []

    def counted(table: pa.Table) -> Floats:
        sizes.append(table.num_rows)
        return score(table)

    found = measure(rows(), score=counted)
    assert sizes == [400] + [2000] * 4
    assert [found[name].rank for name in ("land", "same")] == [3, 4]
    assert (found["x"].rank, found["twin"].rank) == (1, 1)
    assert found["x"].lower > 0.01
    assert found["same"].value == found["same"].lower == found["same"].upper == 0.0
    assert all(one.status is Status.OK and one.n == 400 for one in found.values())
    assert (found["x"].best, found["x"].worst) == (1, 2)
    assert found["same"].worst == 4


def test_twins_are_permuted_together() -> None:
    alone = measure(rows())
    together = measure(rows(), groups=[("x", "twin"), ("land",)])
    assert list(together) == ["x + twin", "land"]
    assert together["x + twin"].value > alone["x"].value + alone["twin"].value
    assert together["x + twin"].rank == 1


def test_rows_and_columns_are_bounded() -> None:
    config = ImportanceConfig(rows=100, repeats=2, columns=3)
    found = measure(rows(5000), config=config)
    assert [one.n for one in found.values()] == [100, 100, 100, 0]
    assert found["same"].status is Status.NO_DATA
    assert "first 3 columns" in found["same"].reason


def test_the_same_seed_gives_the_same_figures() -> None:
    config = ImportanceConfig(rows=100)
    assert measure(rows(), config=config) == measure(rows(), config=config)


def test_only_known_labels_count() -> None:
    found = rows()
    labels = found.labels.copy()
    labels[100:] = np.nan
    part = Predictions(
        found.task, found.classes, 0.5, found.scores, found.predictions, labels, found.features
    )
    assert measure(part)["x"] == measure(found.take(np.arange(100)))["x"]


def test_weights_count() -> None:
    found = rows(200)
    weights = np.where(np.arange(200) < 150, 1.0, 0.0)
    part = Predictions(
        found.task, found.classes, 0.5, found.scores, found.predictions, found.labels,
        found.features, weights=weights,
    )  # fmt: skip
    expected = measure(found.take(np.arange(150)))["x"]
    assert measure(part)["x"].value == pytest.approx(expected.value)
    assert measure(part)["x"].n == 150


@pytest.mark.parametrize(("n", "status"), [(0, "no_data"), (1, "no_data"), (12, "inconclusive")])
def test_few_rows(n: int, status: str) -> None:
    found = measure(rows(12).take(np.arange(n)))
    assert {one.status.value for one in found.values()} == {status}
    assert all(one.reason for one in found.values())
    if n < 2:
        assert all(np.isnan(one.value) and one.rank == 0 for one in found.values())


def test_no_label_at_all() -> None:
    found = rows(20)
    none = Predictions(
        found.task, found.classes, 0.5, found.scores, found.predictions, np.full(20, np.nan),
        found.features,
    )  # fmt: skip
    (reason,) = {one.reason for one in measure(none).values()}
    assert reason == "no row has a label that is known"


def fails_on(size: int, answer: Callable[[pa.Table], object]) -> Callable[[pa.Table], object]:
    return lambda table: answer(table) if table.num_rows == size else score(table)


def broken(_: pa.Table) -> Floats:
    raise RuntimeError("out of memory" * 99)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (broken, "scoring failed: RuntimeError: out of memory"),
        (lambda table: np.zeros(3), "rows gave scores of shape (3,)"),
        (lambda table: np.zeros(()), "rows gave scores of shape ()"),
        (lambda table: ["high"] * table.num_rows, "scoring failed: ValueError"),
        (lambda table: np.zeros((table.num_rows, 1)), ", 1)"),
    ],
    ids=["raises", "short", "scalar", "texts", "narrow"],
)
@pytest.mark.parametrize("size", [50, 250])
def test_a_scorer_that_fails(size: int, answer: Callable[[pa.Table], object], reason: str) -> None:
    found = measure(rows(50), score=fails_on(size, answer))
    assert {one.status for one in found.values()} == {Status.ERROR}
    assert all(reason in one.reason and len(one.reason) <= 200 for one in found.values())


def test_losses_of_another_shape() -> None:
    found = measure(rows(50), losses=lambda scores, labels: scores[:3])
    assert "50 rows gave losses of shape (3,)" in found["x"].reason


def test_a_loss_that_fails_is_our_fault_and_no_finding_about_the_model() -> None:
    def broken_loss(_scores: Floats, _labels: Floats) -> Floats:
        raise ZeroDivisionError("a fault in Homeostat")

    with pytest.raises(ZeroDivisionError):
        measure(rows(50), losses=broken_loss)


def test_rows_without_a_loss_are_left_out() -> None:
    predictions = rows(60)

    def partly(table: pa.Table) -> Floats:
        return np.where(table["x"].to_numpy() < -1.5, np.nan, score(table))

    lost = int((predictions.features["x"].to_numpy() < -1.5).sum())
    assert lost
    found = measure(predictions, score=partly)["land"]
    assert found.n == 60 - lost
    assert f"{lost} rows without a finite loss are left out" in found.reason
    nothing = measure(predictions, score=lambda table: np.full(table.num_rows, np.nan))["x"]
    assert (nothing.status, nothing.n) == (Status.NO_DATA, 0)


def test_permuted_rows_without_a_loss_are_an_error() -> None:
    def far(table: pa.Table) -> Floats:
        apart = np.abs(table["x"].to_numpy() - table["twin"].to_numpy()) > 1
        return np.where(apart, np.nan, score(table))

    found = measure(rows(100), score=far)
    assert found["x"].reason == "some permuted rows have no finite loss"
    assert found["land"].status is Status.OK
    assert found["land"].rank == 1


def test_unknown_columns_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="'y' is no feature; there are x, twin"):
        measure(rows(50), groups=[("x", "y")])
    for wrong in ({"rows": 0}, {"repeats": 0}, {"columns": 0}, {"level": 1.0}):
        with pytest.raises(ValueError, match="at least one row"):
            ImportanceConfig(**wrong)
