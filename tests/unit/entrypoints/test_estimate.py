"""Estimates without labels, held to the labels that came later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError, DataError, NotFoundError
from homeostat.domain.estimation import Standing

BINARY = hs.PredictionSpec("binary", label="y", score="p")
CLASSES = ("a", "b", "c")
SEVERAL = hs.PredictionSpec("multiclass", label="y", score={name: f"p_{name}" for name in CLASSES})


def logistic(x: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


def binary(n: int, seed: int, shift: float = 0.0, blind: float = 0.0) -> dict[str, np.ndarray]:
    """A model that sees x but, if `blind` is above 0, not z, on which labels depend too."""
    rng = np.random.default_rng(seed)
    x, z = rng.normal(shift, 1.0, n), rng.normal(shift, 1.0, n)
    truth = logistic(1.5 * x + blind * z)
    return {"x": x, "z": z, "p": logistic(1.2 * x), "y": (rng.random(n) < truth).astype(int)}


def accuracy(rows: dict[str, np.ndarray]) -> float:
    return float(np.mean((rows["p"] >= 0.5) == (rows["y"] == 1)))


def blind(rows: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in rows.items() if name != "y"}


def beside(rows: Mapping[str, Any], **more: object) -> pa.Table:
    return pa.table({**rows, **more})


def test_intervals_hold_what_is_realized_where_nothing_changes() -> None:
    held = total = 0
    for seed in range(25):
        now = binary(1500, 100 + seed)
        found = hs.estimate(binary(4000, seed), blind(now), BINARY, windows=3)
        for window in found.windows:
            rows = {name: values[window.first : window.last] for name, values in now.items()}
            estimate = window["accuracy"]
            held += estimate.lower <= accuracy(rows) <= estimate.upper
            total += 1
    assert 0.9 <= held / total <= 1.0


@pytest.mark.parametrize("unseen", [0.0, 2.0], ids=["score is enough", "features say more"])
def test_covariate_shift_is_followed(unseen: float) -> None:
    now = binary(6000, 2, shift=0.8, blind=unseen)
    before = binary(12_000, 1, blind=unseen)
    found = hs.estimate(before, blind(now), BINARY, windows=1)
    estimate = found.windows[0]["accuracy"]
    assert ("features" in found.method) is (unseen > 0)
    assert estimate.lower < accuracy(now) < estimate.upper
    nothing_changed = abs(estimate.cross_checks["reference"] - accuracy(now))
    assert abs(estimate.value - accuracy(now)) < 0.6 * nothing_changed
    if unseen:
        by_score = abs(estimate.cross_checks["score_only"] - accuracy(now))
        assert abs(estimate.value - accuracy(now)) < by_score


def test_a_relation_that_changes_within_the_reference_is_not_relied_on() -> None:
    before = binary(6000, 1)
    stretch = np.arange(6000) // 600 % 2 == 1
    before["y"] = np.where(stretch, 1 - before["y"], before["y"])
    before["y"][stretch] |= np.random.default_rng(0).random(3000) < 0.5
    found = hs.estimate(before, blind(binary(1000, 2)), BINARY, windows=1)
    assert not found.identifiable
    assert {each.standing for each in found.windows[0].estimates} == {Standing.NOT_IDENTIFIABLE}
    assert "changes within the reference" in found.windows[0]["auc"].reason
    assert "withheld" in found.windows[0]["auc"].cross_checks


def test_what_the_reference_has_not_seen_is_not_identifiable() -> None:
    before, now = binary(3000, 1), blind(binary(1000, 2))
    shops = np.where(np.arange(3000) % 2, "a", "b").tolist()
    opened = {"shop": ["new"] * 500 + ["a"] * 500}
    found = hs.estimate(beside(before, shop=shops), beside(now, **opened), BINARY, windows=2)
    first, second = (window["accuracy"] for window in found.windows)
    assert "100% of the rows have a value or category" in first.reason
    assert np.isnan(first.value)
    assert second.standing is Standing.ESTIMATED


def test_where_the_reference_is_thin_is_not_identifiable() -> None:
    rng = np.random.default_rng(3)
    before, now = binary(4000, 1), blind(binary(1000, 2))
    corner = rng.random((2, 4000))
    far = 0.97 + 0.03 * rng.random((2, 1000))
    found = hs.estimate(
        before | {"u": corner[0], "v": corner[1]}, now | {"u": far[0], "v": far[1]}, BINARY
    )
    assert "less than a tenth as dense" in found.windows[0]["accuracy"].reason


def test_a_thin_place_is_told_if_the_reference_has_been_through_such() -> None:
    rng = np.random.default_rng(3)
    before, now = binary(5000, 1), blind(binary(1000, 2))
    corner, far = rng.random((2, 5000)), 0.97 + 0.03 * rng.random((2, 1000))
    corner[:, :1000] = 0.985 + 0.015 * rng.random((2, 1000))
    found = hs.estimate(
        before | {"u": corner[0], "v": corner[1]}, now | {"u": far[0], "v": far[1]}, BINARY
    )
    assert all("as dense" not in window["accuracy"].reason for window in found.windows)


@pytest.mark.parametrize("windows", [20, 400])
def test_thin_rows_here_and_there_withhold_no_window(windows: int) -> None:
    rng = np.random.default_rng(3)
    before, now = binary(4000, 1), blind(binary(16_000, 2))
    there, here = rng.random((2, 4000)), rng.random((2, 16_000))
    here[:, rng.random(16_000) < 0.2] = 0.99
    found = hs.estimate(
        before | {"u": there[0], "v": there[1]},
        now | {"u": here[0], "v": here[1]},
        BINARY,
        windows=windows,
        metrics="accuracy",
    )
    assert not [each for each in found.windows if "as dense" in each["accuracy"].reason]
    shares = [each.unsupported for each in found.windows]
    assert 0.15 < np.mean(shares) < 0.25
    assert np.std(shares) < 1.3 * (0.16 / min(400, 16_000 / windows)) ** 0.5 + 0.02


def test_constant_scores_say_so() -> None:
    before, now = binary(1000, 1), blind(binary(300, 2))
    before["p"][:], now["p"][:] = 0.3, 0.3
    found = hs.estimate(before, now, BINARY, windows=1).windows[0]
    assert "rows are predicted to be of a class" in found["precision"].reason
    assert found["auc"].value == pytest.approx(0.5, abs=0.01)
    assert found["auc"].lower <= 0.5 <= found["auc"].upper


def kept(rows: dict[str, np.ndarray], share: float, seed: int) -> dict[str, np.ndarray]:
    """Rows of which only some positives are kept: label shift."""
    stays = (rows["y"] == 0) | (np.random.default_rng(seed).random(rows["y"].size) < share)
    return {name: values[stays] for name, values in rows.items()}


def test_where_only_classes_may_have_shifted_the_interval_holds_both_stories() -> None:
    before, now = binary(8000, 1), kept(binary(6000, 2), 0.6, 3)
    found = hs.estimate(before, blind(now), BINARY, windows=1, metrics=["recall", "precision"])
    recall, precision = found.windows[0].estimates
    flagged = now["p"] >= 0.5
    realized = float(np.mean(flagged[now["y"] == 1]))
    assert recall.lower < realized < recall.upper
    assert recall.cross_checks["label_shift"] == pytest.approx(realized, abs=0.03)
    assert abs(recall.value - realized) > 0.03
    assert precision.cross_checks["label_shift"] == pytest.approx(
        float(np.mean(now["y"][flagged])), abs=0.03
    )
    rarer = kept(binary(12_000, 2), 0.25, 3)
    told = hs.estimate(before, blind(rarer), BINARY, windows=1).windows[0]["precision"]
    assert told.standing is Standing.NOT_IDENTIFIABLE
    assert told.reason.startswith("two stories fit the rows")
    assert told.cross_checks["label_shift"] < told.cross_checks["withheld"]


def test_label_shift_is_no_story_where_features_refute_it() -> None:
    """More positives would raise both features; one has fallen."""
    before, rng = binary(8000, 1, blind=1.0), np.random.default_rng(2)
    now = {"x": rng.normal(0.5, 1.0, 4000), "z": rng.normal(-0.5, 1.0, 4000)}
    now["p"] = logistic(1.2 * now["x"])
    found = hs.estimate(before, now, BINARY, windows=1).windows[0]
    assert all("label_shift" not in each.cross_checks for each in found.estimates)


def test_a_reference_whose_scores_have_moved_tells_which_story_holds() -> None:
    """Where scores rose and fell in the reference and labels with them, they still do."""
    rng = np.random.default_rng(5)
    level = np.repeat([-0.6, 0.6, 0.0, 0.6, -0.6, 0.0, 0.6, -0.6, 0.0, 0.3], 1000)
    x = rng.normal(level, 1.0)
    moved = {"x": x, "p": logistic(1.2 * x), "y": (rng.random(10_000) < logistic(1.5 * x)) * 1}
    still = {name: values for name, values in binary(10_000, 1).items() if name != "z"}
    now = {"x": rng.normal(0.4, 1.0, 2000)}
    now["p"] = logistic(1.2 * now["x"])
    told, untold = (
        hs.estimate(before, now, BINARY, windows=1, metrics="precision").windows[0]["precision"]
        for before in (moved, still)
    )
    assert told.cross_checks["label_shift"] > told.value + 0.1
    assert told.upper < told.value + 0.06
    assert "two stories" in untold.reason


def test_few_rows_and_no_rows() -> None:
    before = binary(1000, 1)
    one = hs.estimate(before, blind(binary(1, 2)), BINARY).windows
    assert len(one) == 1
    assert one[0]["accuracy"].reason == "1 rows are too few: 30 are needed"
    with pytest.raises(DataError, match="no rows"):
        hs.estimate(before, {name: np.empty(0) for name in ("x", "z", "p")}, BINARY)


def test_scores_missing_or_impossible_are_left_out() -> None:
    before, now = binary(2000, 1), blind(binary(1000, 2))
    now["p"][:100], now["p"][100:200] = np.nan, 7.0
    before["y"] = np.where(np.arange(2000) < 50, np.nan, before["y"])
    found = hs.estimate(before, now, BINARY, windows=1)
    assert found.windows[0].n == 800
    assert any("outside 0 to 1" in problem for problem in found.problems)
    assert any("50 of 2,000 reference rows have no label" in problem for problem in found.problems)
    now["p"][:] = np.nan
    nothing = hs.estimate(before, now, BINARY, windows=2).windows[1]
    assert (nothing.n, nothing.outside) == (0, 0.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"y": np.ones(1000)}, "all labels of the reference are '1'", id="one class"),
        pytest.param({"y": [None] * 1000}, "0 rows with a label", id="no labels"),
        pytest.param({"extra": np.ones(1000)}, "current has no column 'extra'", id="column"),
        pytest.param({"x": ["t"] * 1000}, None, id="other type"),
        pytest.param({"z": np.array(["t"] * 1000)}, None, id="other type too"),
    ],
)
def test_bad_references_are_told(change: dict[str, Any], message: str | None) -> None:
    now = blind(binary(100, 2))
    if message:
        with pytest.raises(DataError, match=message):
            hs.estimate(beside(binary(1000, 1) | change), now, BINARY)
        return
    texts = {name: ["1.5"] * 100 for name in change}
    with pytest.raises(DataError, match="give it one type"):
        hs.estimate(binary(1000, 1), beside(now | texts), BINARY)


def test_settings_are_checked() -> None:
    before, now = binary(500, 1), blind(binary(100, 2))
    for wrong in (0, "7d", 0.5, timedelta(hours=1)):
        with pytest.raises(ConfigError):
            hs.estimate(before, now, BINARY, window=wrong)
    with pytest.raises(DataError, match="no metric 'gini'"):
        hs.estimate(before, now, BINARY, metrics=["gini"])
    with pytest.raises(ConfigError, match="windows"):
        hs.estimate(before, blind(binary(10_001, 2)), BINARY, window=1)


def test_windows_of_time() -> None:
    spec = hs.PredictionSpec("binary", label="y", score="p", timestamp="at")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    before = beside(binary(1000, 1), at=[start + timedelta(hours=i) for i in range(1000)])
    hours = [start + timedelta(days=60, hours=i) for i in range(96)]
    now = beside(blind(binary(96, 2)), at=hours[::-1])
    found = hs.estimate(before, now, spec, window=timedelta(days=2), metrics="accuracy")
    # Days 19,783 to 19,786 since 1970: windows of two days begin at even ones.
    assert [(w.first, w.last, w.begin, w.end, w.partial) for w in found.windows] == [
        (0, 24, hours[0], hours[23], True),
        (24, 72, hours[24], hours[71], False),
        (72, 96, hours[72], hours[95], True),
    ]
    labelled = now.append_column("y", pa.array([0, 1] * 48))
    windows = {
        each.window for each in hs.evaluate(labelled, spec, window=timedelta(days=2)).figures
    }
    assert sum(window is not None for window in windows) == 3
    with pytest.raises(ConfigError, match="too short; give a second"):
        hs.estimate(before, now, spec, window=timedelta(0))
    untimed = beside(blind(binary(96, 2)), at=pa.array([None] * 96, pa.timestamp("us")))
    with pytest.raises(DataError, match="no row of current has a time"):
        hs.estimate(before, untimed, spec, window=timedelta(days=1))
    assert hs.estimate(before, untimed, spec).windows[0].begin is None


def test_windows_that_rows_do_not_fill_are_partial() -> None:
    spec = hs.PredictionSpec("binary", label="y", score="p", timestamp="at")
    start = datetime(2024, 1, 1, tzinfo=UTC)
    before = beside(binary(1000, 1), at=[start + timedelta(hours=i) for i in range(1000)])
    times = [start + timedelta(days=60, hours=i) for i in range(47)]
    now = beside(blind(binary(48, 2)), at=[*times, None])
    by_day = hs.estimate(before, now, spec, window=timedelta(days=1), metrics="accuracy")
    assert [(w.first, w.last, w.partial) for w in by_day.windows] == [
        (0, 24, False),
        (24, 47, False),
    ]
    short = hs.estimate(before, now.slice(0, 40), spec, window=timedelta(days=1))
    assert [w.partial for w in short.windows] == [False, True]
    by_rows = hs.estimate(before, now, spec, window=20, metrics="accuracy")
    assert [w.partial for w in by_rows.windows] == [False, False, True]
    assert by_rows.to_dict()["windows"][2]["partial"] is True  # type: ignore[index]
    assert not hs.estimate(before, now, spec, windows=5).windows[-1].partial


def several(n: int, seed: int, shift: float = 0.0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    x, z = rng.normal(shift, 1.0, n), rng.normal(shift, 1.0, n)
    seen = np.exp(np.column_stack((x, -x, np.zeros(n))))
    truth = np.exp(np.column_stack((x + z, -x, np.zeros(n))))
    truth /= truth.sum(axis=1, keepdims=True)
    labels = np.minimum((rng.random((n, 1)) > truth.cumsum(axis=1)).sum(axis=1), 2)
    scores = seen / seen.sum(axis=1, keepdims=True)
    columns = {f"p_{name}": scores[:, k] for k, name in enumerate(CLASSES)}
    return {"x": x, "z": z, "y": np.array(CLASSES)[labels], **columns}


def test_several_classes_with_and_without_scores() -> None:
    before, now = several(9000, 1), several(3000, 2, shift=0.6)
    likeliest = np.array(CLASSES)[np.argmax([now[f"p_{name}"] for name in CLASSES], axis=0)]
    realized = float(np.mean(likeliest == now.pop("y")))
    found = hs.estimate(before, now, SEVERAL, windows=1)
    assert "features" in found.method
    assert found.windows[0]["accuracy"].lower < realized < found.windows[0]["accuracy"].upper
    for rows in (before, now):
        scores = [rows.pop(f"p_{name}") for name in CLASSES]
        rows["q"] = np.array(CLASSES)[np.argmax(scores, axis=0)]
    spec = hs.PredictionSpec("multiclass", label="y", score="q")
    plain = hs.estimate(before, now, spec, windows=1).windows[0]
    assert plain["accuracy"].lower < realized < plain["accuracy"].upper
    assert plain["auc"].reason == "the model gives classes but no scores"


def test_a_metric_that_no_stretch_can_test_is_not_told() -> None:
    before, now = binary(200, 1), blind(binary(1000, 2))
    before["p"], now["p"] = before["p"] * 0.1, now["p"] * 0.1
    before["y"] = (np.arange(200) % 10 == 0).astype(int)
    found = hs.estimate(before, now, BINARY, windows=1).windows[0]
    assert "no stretch of the reference is large enough" in found["recall"].reason


def test_columns_that_say_nothing_are_named() -> None:
    n, rows = 500, binary(500, 1)
    more: dict[str, Any] = {
        "row": np.arange(n),
        "left": 7 * np.arange(n)[::-1],
        "income": np.random.default_rng(3).permutation(n),
        "age": np.arange(n) // 9,
        "empty": [None] * n,
        "note": [f"text {i}" for i in range(n)],
        "when": [datetime(2024, 1, 1, tzinfo=UTC)] * n,
        "flag": [True, False] * (n // 2),
        "rare": ["a", "b"] * 245 + ["c", None] * 5,
        "gap": np.where(np.arange(n) % 5, 1.0, np.nan),
    }
    now = beside(blind(binary(500, 2)) | more | {"rare": [None] * n, "gap": [None] * n})
    found = hs.estimate(beside(rows, **more), now, BINARY, windows=1)
    said = " ".join(found.problems)
    assert all(f"'{name}'" in said for name in ("row", "left", "empty", "note", "when"))
    assert not any(f"'{name}'" in said for name in ("income", "age", "flag", "rare", "gap"))


def test_results_are_plain_and_the_same_again() -> None:
    before, now = binary(1000, 1), blind(binary(200, 2))
    first, again = (hs.estimate(before, now, BINARY, windows=2) for _ in range(2))
    assert json.dumps(first.to_dict(), allow_nan=False) == json.dumps(again.to_dict())
    with pytest.raises(NotFoundError, match="there are accuracy"):
        first.windows[0]["gini"]
    assert isinstance(first.identifiable, bool)
