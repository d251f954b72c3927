import numpy as np
import pytest
from sklearn.decomposition import PCA

from homeostat.stats.pca import fit_components


@pytest.mark.parametrize(("rows", "features"), [(200, 12), (20, 50), (30, 30)])
@pytest.mark.parametrize("share", [0.3, 0.65, 0.95])
def test_components_agree_with_scikit_learn(rows: int, features: int, share: float) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(size=(rows, features)) @ rng.normal(size=(features, features)) + 3.0
    oracle = PCA(n_components=share, svd_solver="full").fit(x)
    found = fit_components(x, share)
    assert found.shares == pytest.approx(oracle.explained_variance_ratio_)
    overlap = np.abs(np.sum(found.directions * oracle.components_, axis=1))
    assert overlap == pytest.approx(np.ones(overlap.size))
    new = rng.normal(size=(7, features))
    expected = new - oracle.inverse_transform(oracle.transform(new))
    assert found.residuals(new) == pytest.approx(expected, abs=1e-7)


def test_directions_have_one_sign() -> None:
    rng = np.random.default_rng(2)
    x = rng.normal(size=(50, 4)) * [4.0, 3.0, 2.0, 1.0]
    found, mirrored = fit_components(x, 0.9), fit_components(-x, 0.9)
    assert found.directions == pytest.approx(mirrored.directions)
    assert (found.directions.max(axis=1) >= -found.directions.min(axis=1)).all()


@pytest.mark.parametrize("rows", [1, 5])
def test_what_does_not_vary_has_no_components(rows: int) -> None:
    found = fit_components(np.full((rows, 3), 2.0))
    assert found.directions.shape == (0, 3)
    assert found.residuals(np.array([[2.0, 3.0, 2.0]])).tolist() == [[0.0, 1.0, 0.0]]


def test_copies_of_a_column_are_one_component() -> None:
    x = np.random.default_rng(3).normal(size=(40, 1))
    found = fit_components(np.hstack((x, x, x)), 0.99)
    assert found.shares == pytest.approx([1.0])
    assert np.abs(found.residuals(np.hstack((x, x, x)))).max() < 1e-12


def test_no_rows_or_an_impossible_share_are_refused() -> None:
    with pytest.raises(ValueError, match="need rows"):
        fit_components(np.empty((0, 2)))
    for share in (0.0, 1.0):
        with pytest.raises(ValueError, match="lies in"):
            fit_components(np.eye(2), share)
