"""The results in the guide on scale are what its formulas make of its figures."""

import re
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "docs/guide/scale.md").read_text()
SIZES = (1e6, 1e8, 1e10)
ROW = re.compile(r"^\| (\w+) \| .*? \| ([\d.]+) \|", re.MULTILINE)
FIGURES = {sign: float(figure) for sign, figure in ROW.findall(TEXT)}


def results(name: str) -> list[float]:
    found = re.search(rf"^\| {re.escape(name)} \| (.*) \|$", TEXT, re.MULTILINE)
    assert found is not None, name
    return [float(cell.replace(",", "")) for cell in found[1].split(" | ")]


def as_printed(figure: float) -> float:
    """Whole numbers, or two figures of those below ten."""
    return round(figure) if figure >= 9.5 else float(f"{figure:.2g}")


def test_results_follow_from_figures() -> None:
    f = FIGURES
    take = [n / 1e6 * (f["a"] + f["r10"] + f["l"]) for n in SIZES]
    look = [n / 1e6 * f["j"] * 5 for n in SIZES]
    expected = {
        "rows a second at the peak": [5 * n / 86_400 for n in SIZES],
        "CPU seconds a day to take": take,
        "CPU seconds a day to measure": look,
        "cores at the peak": [5 * (t + k) / 86_400 for t, k in zip(take, look, strict=True)],
        "disk for 30 days of rows, GB": [30 * n * f["p"] / 1e9 for n in SIZES],
        "written a day, GB": [n * (f["b"] + 4 * f["p"]) / 1e9 for n in SIZES],
    }
    for name, figures in expected.items():
        assert results(name) == [as_printed(figure) for figure in figures], name
