"""Labels that come early are a biased selection: nothing may be told from them alone."""

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest

import homeostat as hs
from homeostat.domain.decision import Cause
from homeostat.domain.errors import DataError

DAY = pd.Timedelta(days=1)


def month(seed: int, start: str) -> pd.DataFrame:
    """Fraud is known after about 4 days, what is none after about 20."""
    rng = np.random.default_rng(seed)
    n = 4000
    x = rng.normal(size=n)
    chance = 1.0 / (1.0 + np.exp(2.0 - x))
    fraud = rng.random(n) < chance
    at = pd.Timestamp(start) + np.sort(rng.random(n)) * 30 * DAY
    known = at + np.where(fraud, rng.gamma(4.0, 1.0, n), rng.uniform(15.0, 24.0, n)) * DAY
    return pd.DataFrame({"at": at, "known": known, "x": x, "p": chance, "fraud": fraud})


def as_of(rows: pd.DataFrame, moment: str) -> pd.DataFrame:
    seen = rows[rows["at"] <= moment].copy()
    late = seen["known"] > moment
    seen["fraud"] = seen["fraud"].astype(object).where(~late)
    seen["known"] = seen["known"].where(~late)
    return seen


SPEC = hs.PredictionSpec(
    label="fraud", score="p", timestamp="at", arrival="known", features=("x",),
    maturity=timedelta(days=25),
)  # fmt: skip


def test_diagnose_waits_for_labels() -> None:
    current = as_of(month(2, "2026-02-15"), "2026-03-15")
    found = hs.diagnose(month(1, "2026-01-01"), current, SPEC)
    assert not {Cause.LABEL_SHIFT, Cause.CONCEPT_DRIFT} & set(found.causes)
    assert not found.retrain


def test_estimates_rest_on_complete_labels() -> None:
    reference = as_of(month(3, "2026-01-15"), "2026-02-20")
    found = hs.estimate(reference, month(4, "2026-02-21"), SPEC, windows=1)
    full = hs.estimate(month(3, "2026-01-15"), month(4, "2026-02-21"), SPEC, windows=1)
    assert abs(found.reference["accuracy"] - full.reference["accuracy"]) < 0.03
    assert any("too young" in text for text in found.problems)


def test_a_maturity_that_is_too_short_is_said_and_gives_no_figures() -> None:
    rows = as_of(month(5, "2026-01-01"), "2026-01-31")
    short = replace(SPEC, maturity=timedelta(days=8))
    found = hs.evaluate(rows, short, window=timedelta(days=5), metrics=["positive_rate"])
    assert any("later than the maturity of 8 days" in text for text in found.problems)
    assert "raise it" in found["positive_rate"].problem
    full = month(5, "2026-01-01")
    for figure in found.select(by="window"):
        assert figure.window is not None
        inside = (full["at"] >= figure.window.start.replace(tzinfo=None)) & (
            full["at"] < figure.window.end.replace(tzinfo=None)
        )
        truth = full["fraud"][inside].mean()
        assert figure.value is None or abs(figure.value - truth) < 0.03
    assert sum(figure.value is not None for figure in found.select(by="window")) >= 1


def test_a_rare_class_that_comes_late_is_said() -> None:
    rows = month(6, "2026-01-01")
    rows["known"] = rows["at"] + np.where(rows["fraud"] & (rows.index % 10 == 0), 20, 1) * DAY
    rows["fraud"] &= rows.index % 10 == 0
    known = as_of(rows, "2026-02-15")
    found = hs.evaluate(known, replace(SPEC, maturity=timedelta(days=8)))
    assert any("later than the maturity of 8 days" in text for text in found.problems)
    found = hs.evaluate(known, SPEC)
    assert not any("later than the maturity" in text for text in found.problems)
    assert found["accuracy"].value is not None


def test_a_number_that_comes_late_is_said() -> None:
    rows = month(7, "2026-01-01").assign(fraud=1.5)
    spec = replace(SPEC, task="regression", maturity=timedelta(days=8))
    found = hs.evaluate(as_of(rows, "2026-01-31"), spec)
    assert "raise it" in found["mae"].problem


WRONG = pd.Timestamp("2099-01-01")


@pytest.mark.parametrize("column", ["at", "known"])
@pytest.mark.parametrize("wrong", [1, 3])
def test_single_times_in_the_future_do_not_make_all_rows_old(column: str, wrong: int) -> None:
    rows = as_of(month(1, "2026-01-01"), "2026-01-30")
    odd = rows.copy()
    at = odd.index[odd["known"].notna()][-wrong:]
    odd.loc[at, column] = [WRONG + k * 300 * DAY for k in range(wrong)]
    found, plain = hs.evaluate(odd, SPEC), hs.evaluate(rows, SPEC)
    assert abs(found["accuracy"].n - plain["accuracy"].n) <= 10
    assert found["accuracy"].n < 0.3 * len(rows)
    (told,) = (text for text in found.problems if "far from the rest" in text)
    assert told.startswith(f"{wrong} of ")
    assert "give as_of" in told
    believed = hs.evaluate(odd, SPEC, as_of=datetime(2102, 1, 1))
    assert believed["accuracy"].n > found["accuracy"].n + 400
    weighted = hs.evaluate(odd, SPEC, cohort="weighted")
    assert any("far from the rest" in text for text in weighted.problems)
    with pytest.raises(DataError, match="they would count as now; give as_of"):
        hs.early_rates(odd, SPEC)
    assert hs.early_rates(odd, SPEC, as_of=datetime(2026, 1, 30))
    estimated = hs.estimate(odd, month(4, "2026-01-20"), SPEC, windows=1)
    assert any("far from the rest" in text for text in estimated.problems)


def test_times_in_batches_and_few_times_are_believed() -> None:
    rows = month(1, "2026-01-01")
    weekly = rows.assign(at=rows["at"].dt.floor("7D"), known=rows["known"].dt.floor("7D"))
    few = rows.iloc[[0, 1, 2, 3, 4, -1]]
    for data in (rows, weekly, few):
        assert not any("far from" in text for text in hs.evaluate(data, SPEC).problems)
