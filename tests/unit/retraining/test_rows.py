"""Which rows a training gets and how much each counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from homeostat.domain.choice import RowChoice
from homeostat.domain.errors import DataError
from homeostat.domain.model import Task
from homeostat.domain.record import TIMESTAMP
from homeostat.retraining.rows import WEIGHT, DataPolicy, choose

NOW = datetime(2024, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def rows(labels: list[float], **further: object) -> pa.Table:
    columns: dict[str, object] = {
        "prediction_id": [f"p{place}" for place in range(len(labels))],
        "timestamp": pa.array([NOW - place * DAY for place in range(len(labels))], TIMESTAMP),
        "label": labels,
    }
    return pa.table(columns | further)


def weights(table: pa.Table) -> np.ndarray:
    return np.asarray(table[WEIGHT].to_numpy())


def test_all_rows_alike_are_left_as_they_are() -> None:
    table = rows([0.0, 1.0])
    assert choose(table, RowChoice(), Task.BINARY, NOW) is table
    none = table.slice(0, 0)
    assert choose(none, RowChoice(negatives=0.5), Task.BINARY, NOW) is none


@given(
    st.lists(st.booleans(), min_size=1, max_size=60),
    st.floats(0.05, 1.0),
    st.none() | st.integers(2, 40),
)
def test_what_is_taken_stands_for_its_class(
    positive: list[bool], negatives: float, most: int | None
) -> None:
    labels = np.asarray(positive, np.float64)
    table = rows(labels.tolist())
    found = choose(table, RowChoice(negatives=negatives, max_rows=most), Task.BINARY, NOW)
    kept = np.asarray(found["label"].to_numpy())
    counted = weights(found) if WEIGHT in found.column_names else np.ones(kept.size)
    for value in (0.0, 1.0):
        mass = counted[kept == value].sum()
        assert mass == pytest.approx(np.count_nonzero(labels == value))
    assert most is None or found.num_rows <= most
    order = found["timestamp"].to_pylist()
    assert order == sorted(order, reverse=True)


def test_the_choice_does_not_depend_on_the_order_of_the_rows() -> None:
    table = rows([float(place % 3 == 0) for place in range(90)])
    choice = RowChoice(negatives=0.5, max_rows=30)
    turned = table.take(np.arange(90)[::-1])
    ids = [
        set(choose(each, choice, Task.BINARY, NOW)["prediction_id"].to_pylist())
        for each in (table, turned)
    ]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 30


def test_of_a_regression_rows_are_taken_whatever_the_number() -> None:
    found = choose(rows([1.5, 2.5, 3.5, 4.5]), RowChoice(max_rows=2), Task.REGRESSION, NOW)
    assert weights(found).tolist() == [2.0, 2.0]


def test_a_row_older_by_the_half_life_counts_half() -> None:
    found = choose(rows([1.0, 0.0, 0.0]), RowChoice(half_life=DAY), Task.BINARY, NOW)
    assert weights(found).tolist() == [1.0, 0.5, 0.25]


def test_weights_that_are_there_already_are_multiplied() -> None:
    table = rows([1.0, 0.0], **{WEIGHT: [0.3, 0.4]})
    found = choose(table, RowChoice(half_life=DAY), Task.BINARY, NOW)
    assert weights(found).tolist() == pytest.approx([0.3, 0.2])
    assert found.column_names.count(WEIGHT) == 1


def test_rows_count_for_the_inverse_of_their_chance_to_get_a_label() -> None:
    chances = [1.0, 0.05, 0.0, None, 0.001, 2.0]
    table = rows([1.0] * 6, explored=chances)
    found = choose(table, RowChoice(propensity="explored"), Task.BINARY, NOW)
    assert weights(found) == pytest.approx([1.0, 20.0, 1.0, 1.0, 100.0, 1.0])
    with pytest.raises(DataError, match="no column 'other' of propensities"):
        choose(table, RowChoice(propensity="other"), Task.BINARY, NOW)


def test_exploration_undoes_what_a_policy_hides() -> None:
    """Loans above a limit get a label only at random: the rate of all is what weights tell."""
    rng = np.random.default_rng(5)
    risk = rng.random(40_000)
    label = (rng.random(40_000) < risk).astype(np.float64)
    chance = np.where(risk > 0.5, 0.1, 1.0)
    seen = rng.random(40_000) < chance
    count = int(seen.sum())
    table = pa.table(
        {
            "prediction_id": [str(place) for place in range(count)],
            "timestamp": pa.array([NOW] * count, TIMESTAMP),
            "label": label[seen],
            "chance": chance[seen],
        }
    )
    found = choose(table, RowChoice(propensity="chance"), Task.BINARY, NOW)
    told = np.average(label[seen], weights=weights(found))
    assert label[seen].mean() < 0.35
    assert told == pytest.approx(label.mean(), abs=0.02)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"half_life": timedelta(0)}, "half_life"),
        ({"negatives": 0.0}, "share"),
        ({"negatives": 1.5}, "share"),
        ({"max_rows": 0}, "max_rows"),
    ],
    ids=["half_life", "none", "more", "max_rows"],
)
def test_choices_that_make_no_sense_are_refused(changes: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        RowChoice(**changes)  # type: ignore[arg-type]  # by the test's table


def test_early_labels_need_a_refit() -> None:
    with pytest.raises(ValueError, match="need a refit"):
        DataPolicy(early=True)
