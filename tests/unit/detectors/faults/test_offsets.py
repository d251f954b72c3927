"""A source that adds a constant to a column while the others stand still."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

import homeostat as hs
from homeostat.detectors.faults.columns import read_pair
from homeostat.detectors.faults.config import FaultConfig
from homeostat.detectors.faults.find import find_faults
from homeostat.diagnosis.explain import DiagnoseConfig
from homeostat.domain.decision import Cause
from homeostat.domain.explanation import Action, Explanation, FaultKind

Columns = dict[str, NDArray[np.generic]]
Floats = NDArray[np.float64]
STEPS = np.array([0.0, 0.5, 1.0])


def trips(
    n: int,
    seed: int,
    *,
    added: float = 0.0,
    meant: float = 0.0,
    steps: bool = True,
    partly: float = 1.0,
) -> Columns:
    """Return rows of three vendors, of which v1 adds a constant, or truly has more."""
    rng = np.random.default_rng(seed)
    vendor = rng.choice(np.array(["v1", "v2", "v3"], dtype=object), n, p=[0.4, 0.35, 0.25])
    extra = rng.choice(STEPS, n, p=[0.53, 0.3, 0.17]) if steps else rng.normal(size=n)
    first = vendor == "v1"
    extra = extra + meant * first
    x, near = rng.normal(size=n), extra + rng.normal(size=n)
    chance = 1 / (1 + np.exp(1 - x - extra))
    label = (rng.random(n) < chance).astype(int)
    shown = extra + added * (first & (rng.random(n) < partly))
    score = 1 / (1 + np.exp(1 - x - shown))
    return {"x": x, "near": near, "extra": shown, "vendor": vendor, "score": score, "label": label}


def why(now: Columns, *, steps: bool = True, segments: bool = False) -> Explanation:
    spec = hs.PredictionSpec("binary", classes=("0", "1"), segments=("vendor",) if segments else ())
    return hs.diagnose(trips(8000, 1, steps=steps), now, spec)


@pytest.mark.parametrize("segments", [False, True], ids=["feature", "segment"])
@pytest.mark.parametrize("labels", [True, False], ids=["labels", "none"])
@pytest.mark.parametrize("added", [1.0, 2.5, -0.5])
def test_a_source_that_adds_a_step_is_named(added: float, labels: bool, segments: bool) -> None:
    now = trips(3000, 100, added=added)
    if not labels:
        now.pop("label")
    found = why(now, segments=segments)
    (fault,) = found.faults
    assert (fault.kind, fault.columns, fault.source) == (FaultKind.UNIT, ("extra",), "vendor=v1")
    assert fault.offset == pytest.approx(added)
    assert found.causes == (Cause.DATA_FAULT,)
    assert found.action is Action.MEND_UPSTREAM


def test_some_rows_of_the_source_are_told_as_such() -> None:
    (fault,) = why(trips(6000, 100, added=2.5, partly=0.9)).faults
    assert fault.source == "vendor=v1"
    assert "2.5 more than they were in 9" in fault.text


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "none"])
def test_a_constant_that_brings_no_new_values_is_told_by_what_goes_with_it(labels: bool) -> None:
    now = trips(3000, 100, added=1.0, steps=False)
    if not labels:
        now.pop("label")
    found = why(now, steps=False)
    assert [(f.columns, f.source) for f in found.faults] == [(("extra",), "vendor=v1")]
    assert found.faults[0].offset == pytest.approx(1.0, abs=0.15)
    assert not found.retrain


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "none"])
def test_customers_of_one_source_may_have_changed(labels: bool) -> None:
    now = trips(3000, 100, meant=1.0, steps=False)
    if not labels:
        now.pop("label")
    found = why(now, steps=False)
    assert not found.faults
    assert found.causes == (Cause.COVARIATE_SHIFT,)


def names(before: Columns, now: Columns) -> list[tuple[tuple[str, ...], str]]:
    pair = read_pair(pa.table(before), pa.table(now))
    return [(i.fault.columns, i.fault.source) for i in find_faults(*pair, FaultConfig())]


def columns(n: int, seed: int) -> Columns:
    rows = trips(n, seed)
    return {name: rows[name] for name in ("extra", "vendor")}


def test_where_all_sources_move_none_is_blamed() -> None:
    now = columns(3000, 100)
    now["extra"] = now["extra"].astype(float) + 0.5
    assert not [c for c, source in names(columns(8000, 1), now) if source]


def test_a_source_of_few_rows_is_not_judged() -> None:
    before, now = columns(8000, 1), columns(3000, 100)
    rare = np.arange(3000) < 40
    now["vendor"] = np.where(rare, "v4", now["vendor"])
    now["extra"] = now["extra"].astype(float) + 2.5 * rare
    assert names(before, now) == []


@pytest.mark.parametrize("moved", [False, True], ids=["still", "moved"])
def test_a_word_stuck_in_one_source_stands_out_only_if_the_others_stand_still(moved: bool) -> None:
    before, now = columns(8000, 1), columns(3000, 100)
    shares = [[0.5, 0.3, 0.2], [0.2, 0.3, 0.5] if moved else [0.5, 0.3, 0.2]]
    cities = np.array(["Bonn", "Köln", "Trier"], dtype=object)
    for seed, side in enumerate((before, now)):
        side["city"] = np.random.default_rng(seed).choice(
            cities, side["vendor"].size, p=shares[seed]
        )
    now["city"] = np.where(now["vendor"] == "v1", "Köln", now["city"])
    blamed = [(("city",), "vendor=v1")]
    assert [each for each in names(before, now) if each[1]] == ([] if moved else blamed)


def counted(n: int, seed: int, added: int = 0) -> Columns:
    rows = trips(n, seed)
    visits = np.random.default_rng(seed).binomial(9, 0.5, n) + 1
    return {**rows, "visits": visits + added * (rows["vendor"] == "v1")}


def test_a_count_that_nobody_can_tell_of_is_a_caveat() -> None:
    spec = hs.PredictionSpec("binary", classes=("0", "1"))
    found = hs.diagnose(counted(8000, 1), counted(3000, 100, added=1), spec)
    assert not found.faults
    assert any("visits: values are 1 more" in caveat for caveat in found.caveats)


def test_a_source_of_too_few_rows_to_weigh_is_a_caveat() -> None:
    spec = hs.PredictionSpec("binary", classes=("0", "1"))
    config = DiagnoseConfig(min_rows=2000)
    now = trips(3000, 100, added=1.0, steps=False)
    found = hs.diagnose(trips(8000, 1, steps=False), now, spec, config=config)
    assert not found.faults
    assert any("only where vendor=v1" in caveat for caveat in found.caveats)
