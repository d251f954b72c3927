import numpy as np
import pytest
from sklearn.decomposition import PCA

from homeostat.detectors.multivariate.reconstruction import (
    ReconstructionConfig,
    compare_reconstruction,
    fit_reconstruction,
)
from homeostat.stats.encoding import Table
from homeostat.stats.encoding import stack as stack_tables

LOADINGS = np.random.default_rng(0).normal(size=(3, 10))


def window(
    rng: np.random.Generator,
    rows: int = 500,
    *,
    batch: float = 0.0,
    broken: bool = False,
    missing: float = 0.0,
) -> Table:
    """Three factors in ten numbers, two categories; `batch` varies the noise between windows."""
    noise = rng.normal(size=(rows, 10)) * 0.5 * np.exp(batch * rng.normal())
    x = rng.normal(size=(rows, 3)) @ LOADINGS + noise
    if broken:
        x[:, 4] = x[rng.permutation(rows), 4]
    x[rng.random(x.shape) < missing] = np.nan
    return Table(
        {f"x{index}": x[:, index] for index in range(10)},
        {f"c{index}": rng.integers(-1, 4, rows) for index in range(2)},
    )


@pytest.mark.parametrize(
    ("windows", "sizes", "batch"),
    [
        (10, (150, 150), 0.0),
        (10, (150, 150), 0.2),
        (5, (60, 60), 0.0),
        (10, (60, 400), 0.0),
        (10, (60, 400), 0.1),
    ],
)
def test_windows_that_vary_as_usual_are_rarely_called_different(
    windows: int, sizes: tuple[int, int], batch: float
) -> None:
    rng = np.random.default_rng(1)

    def draw() -> Table:
        return window(rng, int(np.exp(rng.uniform(*np.log(sizes)))), batch=batch)

    p_values, named = [], 0
    for _ in range(8):
        reference = fit_reconstruction([draw() for _ in range(windows)])
        found = [compare_reconstruction(reference, draw()) for _ in range(10)]
        p_values.extend(result.p_value for result in found)
        named += sum(bool(result.columns) for result in found)
    assert np.mean(np.array(p_values) < 0.1) <= 0.2
    assert named <= 4  # of 80 at a level of 0.01


def test_ordinary_variation_is_not_taken_for_drift_in_wide_tables_of_few_rows() -> None:
    """Errors of the rows that the components were fitted to would be too small."""
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(6):
        tables = [
            Table({f"x{i}": column for i, column in enumerate(rng.normal(size=(25, 60)))})
            for _ in range(12)
        ]
        reference = fit_reconstruction(tables[:5])
        p_values.extend(compare_reconstruction(reference, table).p_value for table in tables[5:])
    assert np.mean(np.array(p_values) < 0.1) <= 0.25
    assert np.median(p_values) > 0.3


def test_a_column_that_leaves_its_factors_is_found_and_named() -> None:
    rng = np.random.default_rng(3)
    reference = fit_reconstruction([window(rng) for _ in range(14)])
    for _ in range(5):
        found = compare_reconstruction(reference, window(rng, broken=True))
        assert found.p_value < 1e-4
        assert found.effect > 0.3
        assert found.columns[0].column == "x4"
        assert found.columns[0].change > 0.0
        assert "'x4'" in found.reason


def test_missing_and_new_values_are_errors_too() -> None:
    rng = np.random.default_rng(4)
    reference = fit_reconstruction([window(rng) for _ in range(14)])
    assert compare_reconstruction(reference, window(rng, missing=0.05)).p_value < 1e-4
    now = window(rng)
    infinite = dict(now.numbers) | {"x0": np.full(500, np.inf)}
    found = compare_reconstruction(reference, Table(infinite, now.categories))
    assert found.p_value < 1e-4
    assert "x0" in {column.column for column in found.columns}
    new = dict(now.categories) | {"c0": np.full(500, 77)}
    found = compare_reconstruction(reference, Table(now.numbers, new))
    assert found.columns[0].column == "c0"


def test_rows_that_fit_suspiciously_well_have_changed() -> None:
    rng = np.random.default_rng(5)
    reference = fit_reconstruction([window(rng) for _ in range(14)])
    found = compare_reconstruction(reference, window(rng, batch=0.0).take([7] * 500))
    assert found.mean != pytest.approx(found.expected)
    calm = rng.normal(size=(500, 3)) @ LOADINGS
    table = Table(
        {f"x{index}": calm[:, index] for index in range(10)}, dict(window(rng).categories)
    )
    found = compare_reconstruction(reference, table)
    assert found.statistic < -5
    assert found.effect < 0.0


def test_the_error_is_the_distance_from_scikit_learns_reconstruction() -> None:
    rng = np.random.default_rng(6)
    windows = [window(rng) for _ in range(4)]
    reference = fit_reconstruction(windows)
    features = reference.encoder.transform(stack_tables(windows))
    oracle = PCA(n_components=0.65, svd_solver="full").fit(features)
    now = window(rng, broken=True)
    rows = reference.encoder.transform(now)
    back = oracle.inverse_transform(oracle.transform(rows))
    expected = np.linalg.norm(rows - back, axis=1).mean()
    assert compare_reconstruction(reference, now).mean == pytest.approx(expected)


def test_without_windows_or_rows_there_is_no_verdict() -> None:
    rng = np.random.default_rng(7)
    with pytest.raises(ValueError, match="no reference window has 50 rows"):
        fit_reconstruction([window(rng, 10)])
    one = fit_reconstruction([window(rng), window(rng, 10)])
    found = compare_reconstruction(one, window(rng))
    assert np.isnan(found.p_value)
    assert found.reason.startswith("one reference window does not show")
    few = compare_reconstruction(fit_reconstruction([window(rng)] * 3), window(rng, 1))
    assert np.isnan(few.p_value)
    assert few.reason == "1 rows in the window, 50 are needed"


def test_a_reference_that_does_not_vary_has_nothing_to_compare_with() -> None:
    constant = Table({"x": np.ones(60)})
    found = compare_reconstruction(fit_reconstruction([constant] * 3), constant)
    assert np.isnan(found.p_value)
    assert np.isnan(found.effect)
    assert "does not vary" in found.reason


def test_long_windows_are_thinned() -> None:
    rng = np.random.default_rng(8)
    config = ReconstructionConfig(max_rows=100)
    reference = fit_reconstruction([window(rng, 400) for _ in range(3)], config)
    assert reference.sizes.tolist() == [100.0] * 3
    assert compare_reconstruction(reference, window(rng, 101), config).n_current == 100


def test_odd_columns_are_no_obstacle() -> None:
    rng = np.random.default_rng(9)

    def draw() -> Table:
        x = rng.standard_cauchy(80)
        empty, constant = np.full(80, np.nan), np.ones(80)
        return Table({"x": x, "copy": x, "empty": empty, "constant": constant})

    found = compare_reconstruction(fit_reconstruction([draw() for _ in range(6)]), draw())
    assert 0.0 <= found.p_value <= 1.0
