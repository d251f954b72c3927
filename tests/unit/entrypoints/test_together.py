"""How numbers go together on two sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import homeostat as hs
from homeostat.entrypoints.cli import homeostat

N = 2000


def sides(rho: float, seed: int = 0) -> tuple[dict[str, object], dict[str, object]]:
    """Return rows with two lognormal columns, correlated on the second side only."""
    rng = np.random.default_rng(seed)
    x, y, other = rng.normal(size=(3, N))
    before = {"a": np.exp(x), "b": np.exp(y), "c": other, "d": ["u", "v"] * (N // 2)}
    x, y, other = rng.normal(size=(3, N))
    y = rho * x + np.sqrt(1.0 - rho**2) * y
    return before, {"a": np.exp(x), "b": np.exp(y), "c": other, "d": ["u", "v"] * (N // 2)}


def test_a_changed_correlation_is_told_though_no_column_drifted() -> None:
    report = hs.compare(*sides(0.5))
    assert report.drifted == []
    assert [(pair.first, pair.second) for pair in report.pairs] == [("a", "b")]
    assert report.pairs[0].now == pytest.approx(0.5, abs=0.1)
    assert report.pairs[0].reason in report.to_html()
    assert "1 pair of numbers goes together otherwise" in report.to_html()
    assert report.to_dict()["correlations"]


def test_small_changes_and_small_samples_say_nothing() -> None:
    assert hs.compare(*sides(0.05)).pairs == ()
    few = tuple({name: values[:40] for name, values in side.items()} for side in sides(0.9))  # type: ignore[index]
    assert hs.compare(*few).pairs == ()
    assert "correlations" not in hs.compare(*few).to_dict()


def test_text_and_single_numbers_have_no_pairs() -> None:
    before, after = sides(0.9)
    alone = [{name: side[name] for name in ("a", "d")} for side in (before, after)]
    assert hs.compare(*alone).pairs == ()
    assert hs.compare(before, {"a": after["a"], "z": after["b"]}).pairs == ()


@pytest.mark.statistical
def test_unchanged_correlations_are_quiet() -> None:
    wrong = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        rows = rng.multivariate_normal(np.zeros(8), 0.6 + 0.4 * np.eye(8), size=600)
        halves = [{f"x{i}": half[:, i] for i in range(8)} for half in (rows[:300], rows[300:])]
        wrong += bool(hs.compare(*halves).pairs)
    assert wrong <= 2


def test_it_counts_as_drift_on_the_command_line(tmp_path: Path) -> None:
    import pandas as pd

    paths = [tmp_path / "before.csv", tmp_path / "after.csv"]
    for path, side in zip(paths, sides(0.5), strict=True):
        pd.DataFrame(side).to_csv(path, index=False)
    done = CliRunner().invoke(
        homeostat, ["compare", *map(str, paths), "--fail-on", "drift"], standalone_mode=False
    )
    assert "a and b: correlation" in done.output
    assert done.return_value == 1
