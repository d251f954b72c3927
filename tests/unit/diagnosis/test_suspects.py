"""Faults that pass for a change of the mix of rows or of meaning: told where anything tells."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

import homeostat as hs
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Explanation, FaultKind
from homeostat.domain.predictions import PredictionSpec

Columns = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float64]
Broken = Callable[[Columns, NDArray[np.bool_]], Columns]

N = 3000
SPECS = {"binary": PredictionSpec("binary"), "regression": PredictionSpec("regression")}


def inputs(n: int, rng: np.random.Generator) -> Columns:
    """Return a skewed size with a companion, two columns alike, and equally frequent words."""
    size = rng.lognormal(3.0, 0.7, n)
    kind = rng.choice(np.array(["k1", "k2", "k3"], dtype=object), n)
    left, right = rng.normal(size=(2, n))
    return {
        "size": size,
        "weight": np.log(size) + rng.normal(0.0, 0.7, n),
        "left": left,
        "right": right,
        "tied": left + rng.normal(size=n),
        "kind": kind,
        "grade": rng.integers(1, 4, n),
    }


def line(rows: Columns) -> Floats:
    kind = np.select([rows["kind"] == "k2", rows["kind"] == "k3"], [1.2, -1.2], 0.0)
    size = np.log(rows["size"].astype(float)) - 3.0
    numbers = 0.9 * rows["left"].astype(float) - 0.9 * rows["right"].astype(float)
    found: Floats = 1.2 * size + numbers + kind + 0.8 * (rows["grade"].astype(float) - 2.0)
    return found


def scored(task: str, rows: Columns, labels: Floats) -> Columns:
    said = line(rows)
    return {**rows, "score": said if task == "regression" else expit(said), "label": labels}


def expit(odds: Floats) -> Floats:
    found: Floats = 1.0 / (1.0 + np.exp(-odds))
    return found


def world(
    task: str, seed: int, broken: Broken | None = None, share: float = 1.0, n: int = N
) -> Columns:
    rng = np.random.default_rng(seed)
    rows = inputs(n, rng)
    truth = line(rows)
    labels = truth + rng.normal(size=n)
    if task == "binary":
        labels = (rng.random(n) < expit(truth)).astype(float)
    if broken is not None:
        rows = broken(rows, rng.random(n) < share)
    return scored(task, rows, labels)


def why(task: str, now: Columns, seed: int = 1) -> Explanation:
    return hs.diagnose(world(task, seed), now, SPECS[task])


def unlabelled(rows: Columns) -> Columns:
    return {**rows, "label": np.full(rows["label"].size, np.nan)}


def unit(factor: float, offset: float = 0.0) -> Broken:
    def apply(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
        size = rows["size"].astype(float)
        return {**rows, "size": np.where(hit, factor * size + offset, size)}

    return apply


def turned(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
    left = rows["left"].astype(float)
    return {**rows, "left": np.where(hit, -left, left)}


def exchanged(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
    left, right = rows["left"], rows["right"]
    return {**rows, "left": np.where(hit, right, left), "right": np.where(hit, left, right)}


def renamed(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
    after = {"k1": "k2", "k2": "k3", "k3": "k1"}
    return {**rows, "kind": np.array([after[str(word)] for word in rows["kind"]], dtype=object)}


def reversed_grades(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
    return {**rows, "grade": 4 - rows["grade"].astype(int)}


@pytest.mark.parametrize("labelled", [True, False], ids=["labels", "no labels"])
@pytest.mark.parametrize("share", [0.3, 0.6])
@pytest.mark.parametrize("change", [(1 / 2.54, 0.0), (1.8, 32.0)], ids=["inch", "fahrenheit"])
def test_some_rows_in_a_near_unit_are_a_fault(
    change: tuple[float, float], share: float, labelled: bool
) -> None:
    now = world("binary", 11, unit(*change), share)
    found = why("binary", now if labelled else unlabelled(now))
    assert found.causes == (Cause.DATA_FAULT,)
    assert [fault.kind for fault in found.faults] == [FaultKind.UNIT]
    assert found.columns == ("size",)
    assert found.action is Action.MEND_UPSTREAM


@pytest.mark.parametrize("task", list(SPECS))
def test_a_column_that_moved_with_all_that_goes_with_it_is_no_fault(task: str) -> None:
    rng = np.random.default_rng(12)
    pool = world(task, 12, n=8 * N)
    odds = 0.5 * np.log(pool["size"].astype(float))
    at = rng.choice(odds.size, N, replace=False, p=np.exp(odds) / np.exp(odds).sum())
    found = why(task, {name: values[at] for name, values in pool.items()})
    assert found.causes == (Cause.COVARIATE_SHIFT,)
    assert not found.faults


@pytest.mark.parametrize("task", list(SPECS))
@pytest.mark.parametrize(
    ("broken", "kind", "columns"),
    [
        (turned, FaultKind.SIGN_FLIP, ("left",)),
        (exchanged, FaultKind.SWAPPED, ("left", "right")),
        (renamed, FaultKind.RECODED, ("kind",)),
        (reversed_grades, FaultKind.RECODED, ("grade",)),
    ],
    ids=["signs", "columns", "words", "codes"],
)
def test_what_moves_no_distribution_is_a_fault(
    task: str, broken: Broken, kind: FaultKind, columns: tuple[str, ...]
) -> None:
    found = why(task, world(task, 13, broken))
    assert found.causes == (Cause.DATA_FAULT,), found
    assert [(fault.kind, fault.columns) for fault in found.faults] == [(kind, columns)]
    assert not found.retrain


def test_renamed_words_are_put_right_by_what_goes_with_them() -> None:
    (fault,) = why("binary", world("binary", 14, renamed)).faults
    assert fault.mapping == (("k1", "k2"), ("k2", "k3"), ("k3", "k1"))


@pytest.mark.parametrize("share", [0.3, 0.6])
def test_signs_of_some_rows_are_told_by_other_columns(share: float) -> None:
    found = why("binary", world("binary", 15, turned, share))
    assert found.causes == (Cause.DATA_FAULT,)
    assert found.faults[0].kind is FaultKind.SIGN_FLIP
    assert found.faults[0].share == pytest.approx(share, abs=0.1)


def test_a_meaning_that_fades_is_no_fault() -> None:
    rng = np.random.default_rng(16)
    rows = inputs(N, rng)
    truth = line(rows) - 1.2 * rows["left"].astype(float)
    found = why("regression", scored("regression", rows, truth + rng.normal(size=N)))
    assert found.causes == (Cause.CONCEPT_DRIFT,)
    assert found.retrain


def alone(
    seed: int, factor: float = 1.0, share: float = 0.0, matters: float = 0.0, n: int = N
) -> Columns:
    """Return rows of a column on its own, which may matter."""
    rng = np.random.default_rng(seed)
    size, other = rng.lognormal(3.0, 0.7, n), rng.normal(size=n)
    truth = expit(other + matters * (np.log(size) - 3.0))
    labels = (rng.random(n) < truth).astype(float)
    broken = np.where(rng.random(n) < share, factor * size, size)
    score = expit(other + matters * (np.log(broken) - 3.0))
    return {"size": broken, "other": other, "score": score, "label": labels}


def test_what_nobody_can_tell_is_said() -> None:
    spec = SPECS["binary"]
    for labelled in (True, False):
        now = alone(18, 2.54, 0.4)
        found = hs.diagnose(alone(17), now if labelled else unlabelled(now), spec)
        assert not found.retrain
        assert not found.faults
        (said,) = [caveat for caveat in found.caveats if "or a real change" in caveat]
        assert said.startswith("size: values are ")


def drawn(rows: Columns, odds: Floats, seed: int) -> Columns:
    weights = np.exp(odds - odds.max())
    rng = np.random.default_rng(seed)
    at = rng.choice(odds.size, N, replace=False, p=weights / weights.sum())
    return {name: values[at] for name, values in rows.items()}


@pytest.mark.parametrize("share", [0.15, 0.3])
def test_a_plain_fault_is_told_beside_a_shift(share: float) -> None:
    pool = world("binary", 19, unit(1 / 2.54), share, n=8 * N)
    found = why("binary", drawn(pool, 0.3 * pool["right"].astype(float), 20))
    assert set(found.causes) == {Cause.DATA_FAULT, Cause.COVARIATE_SHIFT}
    assert found.columns == ("size",)


def test_a_doubtful_fault_beside_a_shift_is_left_open() -> None:
    pool = alone(30, 2.54, 0.4, 0.5, 8 * N)
    now = drawn(pool, 0.5 * pool["other"].astype(float), 20)
    found = hs.diagnose(alone(17, matters=0.5), now, SPECS["binary"])
    assert found.causes == (Cause.COVARIATE_SHIFT,)
    assert any("or a real change" in caveat for caveat in found.caveats)


def test_turned_signs_do_not_hide_another_meaning() -> None:
    now = world("regression", 21, turned)
    now["label"] = now["label"].astype(float) + 3.0 * (now["grade"] == 2)
    found = why("regression", now)
    assert Cause.CONCEPT_DRIFT in found.causes


@pytest.mark.parametrize("rows", [1, 20], ids=["one is gone", "few rows"])
def test_rare_words_are_not_matched(rows: int) -> None:
    def with_rare(seed: int, count: int, broken: Broken | None = None) -> Columns:
        now = world("binary", seed, broken)
        return {**now, "kind": np.where(np.arange(N) < count, "rare", now["kind"])}

    now = with_rare(23, 0 if rows == 1 else rows, renamed)
    found = hs.diagnose(with_rare(22, rows), now, SPECS["binary"])
    assert not any(fault.kind is FaultKind.RECODED for fault in found.faults)


def test_columns_of_other_ranges_that_trade_their_meaning_are_not_swapped() -> None:
    def two(seed: int, weights: tuple[float, float]) -> Columns:
        rng = np.random.default_rng(seed)
        a, b = rng.normal(size=N), rng.uniform(0.0, 3.0, N)
        truth = weights[0] * a + weights[1] * b
        rows = {"a": a, "b": b, "score": 2.0 * a - b}
        return {**rows, "label": truth + rng.normal(size=N)}

    found = hs.diagnose(two(24, (2.0, -1.0)), two(25, (-0.9, 2.3)), SPECS["regression"])
    assert found.causes == (Cause.CONCEPT_DRIFT,)
    assert not found.faults


def test_labels_alone_tell_of_a_near_unit() -> None:
    spec = PredictionSpec("binary", prediction="said", score="")
    before, now = world("binary", 26), world("binary", 27, unit(1.8, 32.0), 0.5)
    for side in (before, now):
        side["said"] = (side.pop("score").astype(float) > 0.5).astype(float)
    found = hs.diagnose(before, now, spec)
    assert found.causes == (Cause.DATA_FAULT,)
    assert [fault.kind for fault in found.faults] == [FaultKind.UNIT]


def test_labels_tell_of_a_near_unit_where_scores_rest_on_another_fault() -> None:
    def shouted(rows: Columns, hit: NDArray[np.bool_]) -> Columns:
        kind = np.array([str(word).upper() for word in rows["kind"]], dtype=object)
        return {**unit(1 / 2.54)(rows, hit), "kind": kind}

    found = why("binary", world("binary", 28, shouted, 0.6))
    assert found.causes == (Cause.DATA_FAULT,)
    assert {fault.kind for fault in found.faults} == {FaultKind.RECODED, FaultKind.UNIT}


def test_frequencies_in_another_order_alone_are_no_fault() -> None:
    words = np.array(["a", "b", "c"], dtype=object)
    before, now = world("binary", 1), world("binary", 51, n=800)
    before["word"] = np.random.default_rng(1).permutation(np.repeat(words, [1800, 840, 360]))
    now["word"] = np.random.default_rng(2).permutation(np.repeat(words, [112, 460, 228]))
    found = hs.diagnose(before, now, SPECS["binary"])
    assert not found.faults
    assert found.causes == (Cause.COVARIATE_SHIFT,)
