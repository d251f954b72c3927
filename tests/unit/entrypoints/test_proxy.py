"""Early signals: their tie to the label, what they foretell, and when they stop doing so."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from scipy import stats as oracle
from sklearn import metrics

import homeostat as hs
from homeostat.detectors.proxy.tie import correlation, fit_tie, foretell
from homeostat.domain.errors import ConfigError, DataError

SPEC = hs.PredictionSpec(timestamp="at", maturity=timedelta(days=30))


def world(
    seed: int, n: int = 6000, recall: float = 0.7, later: float = 0.7, rate: float = 0.2
) -> dict[str, np.ndarray]:
    """Return 100 days of rows; labels of the last 30 are missing, signals are not."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(n) * (100 * 86_400 // n)
    at = np.datetime64("2024-01-01T00:00:00") + seconds.astype("timedelta64[s]")
    truth = rng.random(n) < rate
    caught = np.where(seconds < 35 * 86_400, recall, later)
    signal = np.where(truth, rng.random(n) < caught, rng.random(n) < 0.05)
    label = np.where(seconds < 70 * 86_400, truth * 1.0, np.nan)
    return {"at": at, "score": np.full(n, rate), "label": label, "sign": signal, "truth": truth}


def given(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in rows.items() if name != "truth"}


def test_the_tie_agrees_with_other_libraries() -> None:
    rows = world(1)
    tie = hs.proxy(given(rows), SPEC, "sign").tie
    old = rows["at"] <= rows["at"].max() - np.timedelta64(30, "D")
    label, sign = rows["truth"][old].astype(float), rows["sign"][old].astype(float)
    assert tie.correlation.value == pytest.approx(metrics.matthews_corrcoef(label, sign))
    assert tie.auc.value == pytest.approx(metrics.roc_auc_score(label, sign))
    assert tie.precision.value == pytest.approx(metrics.precision_score(label, sign))
    assert tie.recall.value == pytest.approx(metrics.recall_score(label, sign))
    assert tie.lift.value == pytest.approx(tie.precision.value / label.mean())
    assert tie.lift.lower < tie.lift.value < tie.lift.upper
    number = np.random.default_rng(0).normal(label)
    found = fit_tie(number, label)
    assert found.correlation.value == pytest.approx(oracle.pointbiserialr(label, number).statistic)
    assert found.lift.problem == "the signal is a number, not yes or no"
    assert found.rates.size == 10
    assert (np.diff(found.rates) > -0.05).all()
    assert foretell(found, number).value == pytest.approx(label.mean(), abs=0.01)


@pytest.mark.statistical
def test_intervals_hold_the_rates_to_come() -> None:
    hits, ties = [], []
    for seed in range(40):
        rows = world(seed, 3000, rate=0.2)
        found = hs.proxy(given(rows), SPEC, "sign", every=timedelta(days=7))
        for one in found.windows:
            ends = (one.window.start, one.window.end)
            start, end = (np.datetime64(t.replace(tzinfo=None)) for t in ends)
            here = (rows["at"] >= start) & (rows["at"] < end)
            hits.append(one.rate.lower <= rows["truth"][here].mean() <= one.rate.upper)
        expected = (0.14 - 0.2 * 0.18) / np.sqrt(0.16 * 0.18 * 0.82)
        ties.append(found.tie.correlation.lower <= expected <= found.tie.correlation.upper)
    assert 0.92 <= np.mean(hits) <= 0.99
    assert np.mean(ties) >= 0.87


@pytest.mark.statistical
def test_a_tie_that_weakens_is_named_and_one_that_stays_is_not() -> None:
    quiet = [hs.proxy(given(world(s, 3000)), SPEC, "sign") for s in range(60)]
    false = [one.tie.halves.weakened for one in quiet if one.tie.halves is not None]
    assert len(false) == 60
    assert np.mean(false) <= 0.12
    weak = hs.proxy(given(world(5, later=0.4)), SPEC, "sign")
    assert weak.tie.halves is not None
    assert weak.tie.halves.p_value < 1e-4
    assert weak.problems[0].startswith("the tie has weakened: correlation 0.6")
    turned = {**given(world(6, later=0.4))}
    turned["sign"] = ~turned["sign"]
    assert hs.proxy(turned, SPEC, "sign").problems


def test_signals_that_are_not_there_yet_are_counted() -> None:
    rows = given(world(7))
    sign = rows["sign"].astype(float)
    sign[-200:] = np.nan
    found = hs.proxy(rows | {"sign": sign}, SPEC, "sign", every=timedelta(days=5))
    assert found.windows[-1].coverage < 1.0
    assert found.windows[0].coverage == 1.0
    assert "correlation: 0." in str(found)
    none = hs.proxy(rows | {"sign": sign}, SPEC, "sign", every=timedelta(hours=12))
    assert none.windows[-1].rate.problem == "no row has the signal yet"
    assert "rate not available, no row" in str(none)
    before = hs.proxy(rows, SPEC, "sign", as_of=datetime(2024, 3, 1))
    assert before.windows[-1].window.start < datetime(2024, 3, 1, tzinfo=found.windows[0].window.start.tzinfo)  # noqa: E501 # fmt: skip


def test_rates_that_wander_widen_the_interval() -> None:
    rng = np.random.default_rng(8)
    weeks = np.repeat(np.arange(20), 500)
    sign = (rng.random(10_000) < 0.3) * 1.0
    chance = np.where(sign == 1.0, 0.6, 0.1) + rng.normal(0.0, 0.05, 20)[weeks]
    labels = (rng.random(10_000) < chance) * 1.0
    wild, calm = (fit_tie(sign, labels, weeks, length) for length in (1, 0))
    assert 0.02 < wild.wander < 0.1
    assert calm.wander == 0.0
    assert fit_tie(sign, labels, weeks, 10).wander == 0.0
    both = [foretell(tie, sign[:500]) for tie in (wild, calm)]
    assert both[0].upper - both[0].lower > 1.5 * (both[1].upper - both[1].lower)


def test_too_little_is_told_so() -> None:
    rows = given(world(9, 100))
    found = hs.proxy(rows, SPEC, "sign")
    assert "100 and 20 are needed" in found.problems[-1]
    assert found.windows[0].rate.problem == found.tie.reason
    plain = given(world(9))
    flat = hs.proxy(plain | {"sign": np.zeros(6000)}, SPEC, "sign")
    assert flat.tie.reason == "the signal has one value only"
    label = np.tile([0.0, 1.0], 100)
    apart = fit_tie(1.0 - label, label)
    assert apart.lift.problem == "no row has both the signal and the label"
    assert apart.correlation.value == -1.0
    assert correlation(np.empty(0), np.empty(0)).problem == "one value only"
    once = np.where(np.arange(200) < 100, label, 0.0)
    stopped = fit_tie(once, label, np.arange(200))
    assert stopped.halves is not None
    assert stopped.halves.p_value == 1.0
    assert stopped.halves.later.problem == "one value only"


@pytest.mark.parametrize(
    ("spec", "column", "every", "error", "message"),
    [
        (hs.PredictionSpec("regression"), "sign", 7, ConfigError, "proxy of a regression"),
        (replace(SPEC, maturity=None), "sign", 7, ConfigError, "complete labels"),
        (SPEC, "sign", 0, ConfigError, "too short"),
        (SPEC, "gone", 7, DataError, "no column 'gone'"),
        (SPEC, "word", 7, DataError, "neither yes/no nor a number"),
        (SPEC, "label", 7, ConfigError, "column 'label' is the label, score or another"),
        (SPEC, "at", 7, ConfigError, "column 'at' is the label, score or another"),
    ],
    ids=["task", "maturity", "window", "absent", "text", "label", "time"],
)
def test_what_cannot_be_tied_is_named(
    spec: hs.PredictionSpec, column: str, every: int, error: type[Exception], message: str
) -> None:
    rows = given(world(10, 60)) | {"word": np.full(60, "north")}
    with pytest.raises(error, match=message):
        hs.proxy(rows, spec, column, every=timedelta(days=every))


def test_words_for_yes_and_no_are_a_signal() -> None:
    rows = given(world(11))
    signs = rows["sign"]
    words = [None if np.isnan(sign) else "Yes" if sign else "no" for sign in signs]
    found = hs.proxy(rows | {"sign": words}, SPEC, "sign")
    expected = hs.proxy(rows, SPEC, "sign")
    assert found.tie.correlation == expected.tie.correlation
    assert found.windows == expected.windows
    numbers = hs.proxy(rows | {"sign": signs.astype(str)}, SPEC, "sign")
    assert numbers.tie.correlation == expected.tie.correlation


def test_infinite_signals_are_left_out_and_counted() -> None:
    rows = given(world(12))
    some = np.arange(6000) % 10 == 0
    found = hs.proxy(rows | {"sign": np.where(some, np.inf, rows["sign"])}, SPEC, "sign")
    expected = hs.proxy(rows | {"sign": np.where(some, np.nan, rows["sign"])}, SPEC, "sign")
    assert found.problems == ("600 of 6,000 signals are infinite: left out",)
    assert found.tie.correlation == expected.tie.correlation


def test_a_window_is_a_length_of_time() -> None:
    with pytest.raises(ConfigError, match="every is 7"):
        hs.proxy(given(world(10, 60)), SPEC, "sign", every=7)  # type: ignore[arg-type]


def test_times_that_are_none_are_named() -> None:
    rows = given(world(10, 60))
    with pytest.raises(ConfigError, match="every is '7d'; give a timedelta"):
        hs.proxy(rows, SPEC, "sign", every="7d")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="as_of is '2024'; give a datetime"):
        hs.proxy(rows, SPEC, "sign", as_of="2024")  # type: ignore[arg-type]
