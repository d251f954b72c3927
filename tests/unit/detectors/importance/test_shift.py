"""Whether a model lives on other columns than before."""

from functools import partial

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from scipy.stats import ttest_ind_from_stats

from homeostat.detectors.importance.permutation import (
    Importance,
    ImportanceConfig,
    importance,
)
from homeostat.detectors.importance.shift import ImportanceShift, importance_shift
from homeostat.domain.losses import row_losses
from homeostat.domain.model import Task
from homeostat.domain.predictions import Predictions
from homeostat.domain.verdict import Status

CONFIG = ImportanceConfig(repeats=3)
COLUMNS = ("strong", "middling", "rare", "idle", "weak")


def score(table: pa.Table) -> NDArray[np.float64]:
    strong, middling, rare = (table[name].to_numpy() for name in COLUMNS[:3])
    total = 1.2 * strong + 0.6 * middling + 2.0 * rare + 0.2 * table["weak"].to_numpy() - 1.0
    return np.asarray(1.0 / (1.0 + np.exp(-total)))


def measured(n: int, rng: np.random.Generator, *, changed: bool = False) -> tuple[Importance, ...]:
    """Measure on rows whose labels follow the model, but for ``strong`` where it is changed."""
    table = pa.table({name: rng.normal(size=n) for name in COLUMNS})
    table = table.set_column(2, "rare", pa.array((rng.random(n) < 0.05).astype(float)))
    truth = table.set_column(0, "strong", pa.array(rng.normal(size=n))) if changed else table
    labels = (rng.random(n) < score(truth)).astype(float)
    chances = score(table)
    rows = Predictions(Task.BINARY, ("0", "1"), 0.5, chances, chances.round(), labels, table)
    return importance(score, rows, partial(row_losses, Task.BINARY), rng, config=CONFIG)


def drifted(found: tuple[ImportanceShift, ...]) -> list[str]:
    return [one.name for one in found if one.status is Status.DRIFT]


@pytest.mark.parametrize("n", [50, 300])
def test_false_alarms_stay_within_the_level(n: int) -> None:
    rng = np.random.default_rng(n)
    pairs = [(measured(n, rng), measured(n, rng)) for _ in range(200)]
    alarms = sum(bool(drifted(importance_shift(*pair, effect=0.0))) for pair in pairs)
    assert alarms / 200 <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / 200)


def test_a_column_that_lost_its_meaning_is_found() -> None:
    rng = np.random.default_rng(8)
    found = [
        drifted(importance_shift(measured(300, rng), measured(300, rng, changed=True)))
        for _ in range(60)
    ]
    assert sum("strong" in names for names in found) / 60 >= 0.9
    assert sum(bool({"idle", "weak"} & {*names}) for names in found) / 60 <= 0.1


def one(
    value: float, error: float = 0.01, n: int = 500, status: Status = Status.OK, name: str = "x"
) -> Importance:
    return Importance((name,), status, value, 0.0, 0.0, error, 1, 1, 1, n, "why")


def test_the_test_is_welchs() -> None:
    (found,) = importance_shift([one(0.3, 0.05, 40)], [one(0.1, 0.02, 90)])
    deviations = (0.05 * np.sqrt(40), 0.02 * np.sqrt(90))
    expected = ttest_ind_from_stats(0.3, deviations[0], 40, 0.1, deviations[1], 90, equal_var=False)
    assert found.p_value == pytest.approx(expected.pvalue)
    interval = expected.statistic
    assert found.difference == pytest.approx(-0.2)
    assert found.lower < found.difference < found.upper
    assert interval > 0
    assert (found.upper < 0) == (expected.pvalue < 0.05)


def test_a_real_difference_may_be_too_small_to_matter() -> None:
    before = [one(1.0, name="large"), one(0.10, 0.001)]
    after = [one(1.0, name="large"), one(0.15, 0.001)]
    assert drifted(importance_shift(before, after)) == []
    assert drifted(importance_shift(before, after, effect=0.04)) == ["x"]
    assert importance_shift(before, after)[1].p_value < 1e-6


def test_columns_that_are_not_read_cost_no_power() -> None:
    before, after = one(0.30, 0.03), one(0.20, 0.03)
    idle = [one(0.0, 0.0, name=f"idle {i}") for i in range(99)]
    alone = importance_shift([before], [after])[0].p_value
    found = importance_shift([before, *idle], [*idle, after])
    assert found[0].p_value == alone
    assert np.isnan(found[1].p_value)
    assert found[1].status is Status.OK
    assert (found[1].lower, found[1].upper) == (0.0, 0.0)
    (certain,) = importance_shift([one(0.0, 0.0)], [one(0.5, 0.0)])
    assert (certain.status, certain.p_value) == (Status.DRIFT, 0.0)


def test_what_could_not_be_measured_says_so() -> None:
    nan = float("nan")
    good, none = one(0.3), one(nan, nan, 0, Status.NO_DATA)
    for pair in ((good, none), (none, good)):
        (found,) = importance_shift([pair[0]], [pair[1]])
        assert (found.status, found.reason) == (Status.NO_DATA, "why")
        assert np.isnan([found.difference, found.lower, found.p_value]).all()
    (found,) = importance_shift([good], [one(0.0, 0.001, 12, Status.INCONCLUSIVE)])
    assert (found.status, found.reason) == (Status.INCONCLUSIVE, "why")
    assert importance_shift([good], [one(0.3, name="other")]) == ()
    assert importance_shift([], []) == ()


@pytest.mark.parametrize("wrong", [{"alpha": 0.0}, {"alpha": 1.0}, {"effect": -0.1}], ids=str)
def test_settings_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="alpha lies in"):
        importance_shift([], [], **wrong)
