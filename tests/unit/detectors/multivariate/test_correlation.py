import numpy as np
import pytest

from homeostat.detectors.multivariate.correlation import (
    CorrelationConfig,
    compare_correlation,
    fit_correlation,
)
from homeostat.stats.encoding import Table


def window(
    rng: np.random.Generator,
    rows: int = 1000,
    columns: int = 30,
    *,
    correlation: float = 0.0,
    batch: float = 0.0,
    moves: float = 0.0,
) -> Table:
    """`batch` varies the loadings on a factor between windows, `moves` all means together."""
    loadings = 0.5 + batch * rng.normal(size=(1, columns))
    factor = rng.normal(size=(rows, 1)) if batch else np.zeros((rows, 1))
    x = rng.normal(size=(rows, columns)) + factor * loadings + moves * rng.normal()
    x[:, 1] = correlation * x[:, 0] + np.sqrt(1.0 - correlation**2) * x[:, 1]
    return Table({f"x{index}": x[:, index] for index in range(columns)})


@pytest.mark.parametrize("rows", [200, 1000])
@pytest.mark.parametrize(
    ("world", "windows"),
    [("independent", 1), ("independent", 10), ("batch", 4), ("batch", 10), ("moves", 1)],
)
def test_windows_that_vary_as_usual_are_rarely_called_different(
    world: str, windows: int, rows: int
) -> None:
    rng = np.random.default_rng(1)
    how = {"independent": {}, "batch": {"batch": 0.15}, "moves": {"moves": 1.0}}[world]
    p_values = []
    for _ in range(8):
        reference = fit_correlation([window(rng, rows, 10, **how) for _ in range(windows)])
        now = [window(rng, rows, 10, **how) for _ in range(5)]
        p_values.extend(compare_correlation(reference, table).p_value for table in now)
    assert np.mean(np.array(p_values) < 0.1) <= 0.2


def test_a_correlation_with_unchanged_marginals_is_found_among_435_pairs() -> None:
    rng = np.random.default_rng(2)
    for windows in (1, 7):
        reference = fit_correlation([window(rng) for _ in range(windows)])
        for _ in range(5):
            found = compare_correlation(reference, window(rng, correlation=0.5))
            assert found.p_value < 1e-10
            assert found.effect == pytest.approx(0.5, abs=0.1)
            assert [(pair.first, pair.second) for pair in found.pairs] == [("x0", "x1")]
            assert found.pairs[0].now == pytest.approx(0.5, abs=0.1)
            assert found.tested == 435


def test_many_changes_are_named_briefly_and_hostile_names_are_quoted() -> None:
    rng = np.random.default_rng(3)
    reference = fit_correlation([window(rng, columns=5)])
    columns = rng.normal(size=(1000, 1)) + rng.normal(size=(1000, 5))
    found = compare_correlation(reference, Table({f"x{i}": columns[:, i] for i in range(5)}))
    assert len(found.pairs) == 10
    assert found.reason.endswith(", ...")
    assert [pair.p_value for pair in found.pairs] == sorted(pair.p_value for pair in found.pairs)
    hostile = Table({"a\n": columns[:, 0], "b": columns[:, 1]})
    apart = Table({"a\n": columns[:, 0], "b": rng.normal(size=1000)})
    assert "'a\\n' and 'b'" in compare_correlation(fit_correlation([hostile]), apart).reason


def test_a_correlation_that_reverses_is_found_however_sure() -> None:
    rng = np.random.default_rng(4)
    x = rng.normal(size=2000)
    before, now = (Table({"a": x, "b": sign * x + 0.001 * x**2}) for sign in (1.0, -1.0))
    found = compare_correlation(fit_correlation([before]), now)
    assert found.p_value == 0.0
    assert found.statistic > 40
    assert found.effect > 1.9


def test_nothing_to_compare_gives_no_verdict() -> None:
    rng = np.random.default_rng(5)
    with pytest.raises(ValueError, match="no reference window has 50 rows"):
        fit_correlation([window(rng, 49)])
    reference = fit_correlation([window(rng, columns=3), window(rng, 3, columns=3)])
    assert (reference.windows, reference.rows) == (1, 1000)
    few = compare_correlation(reference, window(rng, 1, columns=3))
    assert np.isnan(few.p_value)
    assert few.reason == "1 rows in the window, 50 are needed"
    with pytest.raises(ValueError, match="no column of numbers 'x2'"):
        compare_correlation(reference, window(rng, columns=2))
    flat = Table({"x0": np.ones(60), "x1": np.full(60, np.nan), "x2": rng.normal(size=60)})
    found = compare_correlation(reference, flat)
    assert np.isnan(found.p_value)
    assert found.reason == "no two columns vary enough to be compared"


def test_categories_are_left_to_others() -> None:
    rng = np.random.default_rng(6)
    codes = Table({}, {"c": rng.integers(0, 3, 60)})
    found = compare_correlation(fit_correlation([codes]), codes)
    assert (found.tested, found.pairs) == (0, ())


def test_constants_copies_gaps_and_infinities_leave_the_rest_compared() -> None:
    rng = np.random.default_rng(7)

    def draw(*, together: bool) -> Table:
        x, y = rng.standard_cauchy((2, 800))
        gaps = np.where(rng.random(800) < 0.3, np.nan, x + y)
        z = x + y if together else rng.standard_cauchy(800)
        infinite = np.where(rng.random(800) < 0.05, np.inf, rng.normal(size=800))
        return Table(
            {"x": x, "copy": x, "gaps": gaps, "z": z, "one": np.ones(800), "inf": infinite}
        )

    reference = fit_correlation([draw(together=False) for _ in range(3)])
    assert compare_correlation(reference, draw(together=False)).pairs == ()
    found = compare_correlation(reference, draw(together=True), CorrelationConfig(level=0.001))
    named = {(pair.first, pair.second) for pair in found.pairs}
    assert named == {("x", "z"), ("copy", "z"), ("gaps", "z")}
    assert found.tested == 10
