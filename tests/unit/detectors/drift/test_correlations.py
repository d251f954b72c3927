"""How numeric columns go together, followed pair by pair."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from homeostat.detectors.drift.aspects import Aspect
from homeostat.detectors.drift.correlations import SUBJECT, PairLens, fisher, watch_pairs
from homeostat.detectors.drift.detector import (
    DriftConfig,
    DriftReference,
    DriftState,
    evaluate,
    fit,
)
from homeostat.domain.model import ColumnKind
from homeostat.domain.verdict import Status, Verdict
from homeostat.domain.window import Window
from homeostat.profiles.build import profile_table
from homeostat.profiles.pairs import pairs_of
from homeostat.profiles.profile import Profile

START, DAY = datetime(2024, 1, 1, tzinfo=UTC), timedelta(days=1)
NAMES = [f"x{i}" for i in range(6)]
CONFIG = DriftConfig()


def day(index: int) -> Window:
    return Window(START + index * DAY, START + (index + 1) * DAY)


def traffic(
    rng: np.random.Generator, rho: float = 0.0, rows: int = 1000, *, pairs: bool = True
) -> Profile:
    """Six lognormal columns, of which the first two are correlated."""
    x = rng.normal(size=(rows, len(NAMES)))
    x[:, 1] = rho * x[:, 0] + np.sqrt(1.0 - rho**2) * x[:, 1]
    table = pa.table({name: np.exp(x[:, i]) for i, name in enumerate(NAMES)})
    return profile_table(table, dict.fromkeys(NAMES, ColumnKind.NUMERIC), pairs=pairs)


@pytest.fixture(scope="module")
def reference() -> DriftReference:
    rng = np.random.default_rng(0)
    return fit([(day(i), traffic(rng)) for i in range(28)], NAMES, CONFIG)


def judge(reference: DriftReference, profiles: list[Profile]) -> list[dict[str, Verdict]]:
    state, found = DriftState(), []
    for index, profile in enumerate(profiles):
        state, verdicts = evaluate(reference, state, "m", day(28 + index), profile, CONFIG)
        found.append({verdict.subject: verdict for verdict in verdicts})
    return found


def test_fisher_is_that_of_pearson_on_the_scores() -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=2000)
    y = 0.6 * x + 0.8 * rng.normal(size=2000)
    scores = [np.arcsinh(1024.0 * v) for v in (x, y)]
    expected = np.arctanh(stats.pearsonr(*scores).statistic)
    found = fisher(pairs_of(pa.table({"x": x, "y": y})), ["x", "y"])
    assert found == pytest.approx([expected], abs=0.01)


def test_columns_that_are_not_paired_are_undefined() -> None:
    pairs = pairs_of(pa.table({"x": np.arange(20.0), "y": np.arange(20.0) ** 2}))
    assert np.isnan(fisher(pairs, ["a", "b"])).all()
    found = fisher(pairs, ["x", "a", "y"])
    assert np.isnan(found).tolist() == [True, False, True]
    few = pairs_of(pa.table({"x": [1.0, 2.0, 3.0], "y": [2.0, 1.0, 3.0]}))
    assert np.isnan(fisher(few, ["x", "y"])).all()


def test_a_changed_correlation_is_found_though_each_column_is_as_usual(
    reference: DriftReference,
) -> None:
    rng = np.random.default_rng(2)
    found = judge(reference, [traffic(rng, 0.5) for _ in range(3)])
    verdict = found[-1][SUBJECT]
    assert verdict.status is Status.DRIFT
    assert "x0 ~ x1" in verdict.reason
    assert verdict.detail("x0 ~ x1") == pytest.approx(0.5, abs=0.15)
    assert {found[-1][name].status for name in NAMES} == {Status.OK}
    assert found[-1][""].status is Status.DRIFT
    assert found[-1][""].detail("columns") == len(NAMES)
    assert found[-1][""].detail("drifted") == 0.0


@pytest.mark.statistical
def test_unchanged_correlations_are_quiet() -> None:
    rng = np.random.default_rng(3)
    for _ in range(5):
        strong = [(day(i), traffic(rng, 0.9, 200)) for i in range(14)]
        fitted = fit(strong, NAMES, CONFIG)
        found = judge(fitted, [traffic(rng, 0.9, 200) for _ in range(30)])
        assert {verdicts[SUBJECT].status for verdicts in found} == {Status.OK}


def test_windows_without_pairs_cannot_be_judged(reference: DriftReference) -> None:
    rng = np.random.default_rng(4)
    (found,) = judge(reference, [traffic(rng, pairs=False)])
    assert found[SUBJECT].status is Status.INCONCLUSIVE
    assert "not summarised in pairs" in found[SUBJECT].reason


def test_without_pairs_in_the_reference_none_are_followed() -> None:
    rng = np.random.default_rng(5)
    assert watch_pairs([traffic(rng, pairs=False), None], NAMES) is None
    assert watch_pairs([traffic(rng)], ["x0"]) is None


def test_the_limit_is_what_the_pair_in_question_wanders() -> None:
    lens = PairLens(("a", "b", "c"), np.array([0.0, 0.5, 0.0]))
    slow = lens.slow(np.array([0.3, 0.0, 0.9]), 0)
    assert slow == {Aspect.CORRELATION: pytest.approx(np.tanh(0.3))}
    assert lens.names == ("a ~ b", "a ~ c", "b ~ c")
    moved = lens.effects(np.array([0.1, -0.4, 0.0]), np.full(3, 0.01))
    assert moved == {Aspect.CORRELATION: pytest.approx(np.tanh(0.1) - np.tanh(0.5))}


def test_a_profile_that_is_not_there_has_no_rows() -> None:
    lens = PairLens(("a", "b"), np.zeros(1))
    assert (lens.read(None, 50).rows, lens.read(None, 50).usable) == (0, False)
    assert lens.expects == "summarised in pairs"
