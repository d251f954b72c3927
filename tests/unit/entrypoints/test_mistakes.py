"""What a user gives by mistake has an answer in words, in every function on predictions."""

import warnings
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

import homeostat as hs
from homeostat.domain.errors import ConfigError

RNG = np.random.default_rng(0)
SCORES = RNG.random(300)
ROWS = {"x": SCORES, "score": SCORES, "label": (RNG.random(300) < SCORES).astype(int)}
OPEN = ROWS | {"label": [None] * 300}

Call = Callable[[hs.PredictionSpec, int], object]
CALLS: dict[str, Call] = {
    "estimate": lambda spec, seed: hs.estimate(ROWS, ROWS, spec, seed=seed),
    "diagnose": lambda spec, seed: hs.diagnose(ROWS, ROWS, spec, seed=seed),
    "importance": lambda spec, seed: hs.importance(ROWS, spec, lambda _: SCORES, seed=seed),
    "review_queue": lambda spec, seed: hs.review_queue(OPEN, spec, 5, seed=seed),
}
MORE: dict[str, Call] = {
    "evaluate": lambda spec, _: hs.evaluate(ROWS, spec),
    "value": lambda spec, _: hs.diagnose(ROWS, ROWS, spec, value="x"),
    "early_rates": lambda spec, _: hs.early_rates(ROWS, spec),
    "proxy": lambda spec, _: hs.proxy(ROWS, spec, "x"),
    "counterfactual": lambda spec, _: hs.counterfactual(ROWS, spec, lambda _: SCORES),
}


@pytest.mark.parametrize("call", (CALLS | MORE).values(), ids=CALLS | MORE)
@pytest.mark.parametrize("spec", [None, {"label": "label"}, "binary"], ids=["none", "dict", "text"])
def test_what_is_no_spec_is_refused(call: Call, spec: object) -> None:
    with pytest.raises(ConfigError, match=r"give a homeostat\.PredictionSpec"):
        call(spec, 0)  # type: ignore[arg-type]


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("seed", [-1, "a", 1.5, None, True], ids=str)
def test_what_is_no_seed_is_refused(call: Call, seed: object) -> None:
    with pytest.raises(ConfigError, match=r"seed is .*whole number of 0 or more"):
        call(hs.PredictionSpec(), seed)  # type: ignore[arg-type]


def test_a_window_of_more_rows_than_there_are_holds_them_all() -> None:
    found = hs.evaluate(ROWS, hs.PredictionSpec(), window=10**24)
    (figure,) = found.select("accuracy", "window")
    assert (figure.n, figure.part) == (300, "rows 1 to 300")


@pytest.mark.parametrize("side", ["reference", "current"])
def test_numbers_beyond_reckoning_are_left_out(side: str) -> None:
    spec = hs.PredictionSpec("regression")
    rng = np.random.default_rng(1)

    def rows(wild: bool) -> dict[str, np.ndarray]:
        x = rng.normal(size=500)
        label = x + rng.normal(size=500)
        return {"x": x, "score": np.where(np.arange(500) < 5 * wild, 1e200, x), "label": label}

    before, now = rows(side == "reference"), rows(side == "current")
    said = f"{side}: 5 of 500 rows have numbers beyond 1e+100: left out"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimated = hs.estimate(before, now, spec, windows=1)
        why = hs.diagnose(before, now, spec)
    assert said in estimated.problems
    assert said in why.caveats
    assert estimated.windows[0]["mae"].value < 2.0
    assert why.loss is not None
    assert abs(why.loss.total.upper) < 1.0


def test_a_window_of_time_is_a_length() -> None:
    with pytest.raises(ConfigError, match="window"):
        hs.evaluate(ROWS, hs.PredictionSpec(), window=timedelta(days=1))
