"""The presets and their recorded answers against the real packages (make peers)."""

import json
from typing import TYPE_CHECKING

import pytest
from peer_cases import Case, cases

from homeostat.detectors.drift.presets import PRESETS, Preset, dataset_drifted, decide
from homeostat.domain.model import ColumnKind

if TYPE_CHECKING:
    from peer_answers import Answer

pytestmark = [pytest.mark.peers, pytest.mark.filterwarnings("ignore")]

CASES = list(cases())


@pytest.fixture(scope="module")
def fresh() -> "dict[str, dict[str, Answer]]":
    from peer_answers import answers

    return answers()


@pytest.mark.parametrize("tool", ["evidently", "nannyml"])
def test_presets_decide_as_the_package_does(
    tool: Preset, fresh: "dict[str, dict[str, Answer]]"
) -> None:
    asked = [case for case in CASES if case.key in fresh[tool]]
    assert len(asked) >= len(CASES) - 10
    for case in asked:
        drifted, statistic, threshold = fresh[tool][case.key]
        kind = ColumnKind.NUMERIC if case.numeric else ColumnKind.CATEGORICAL
        found = decide(tool, case.reference, case.current, kind)
        assert found.drifted == drifted, case.key
        assert found.statistic == pytest.approx(statistic, abs=tolerance(case)), case.key
        assert found.threshold == pytest.approx(threshold, abs=1e-9), case.key


def tolerance(case: Case) -> float:
    """Beyond 10,000 rows SciPy approximates the p-value, and so do we, by another series."""
    return 2e-6 if max(case.sizes) > 10_000 else 1e-9


def test_the_stored_answers_are_those_of_the_package(
    fresh: "dict[str, dict[str, Answer]]",
) -> None:
    from peer_answers import STORED, dataset_answers

    stored = json.loads(STORED.read_text(encoding="utf-8"))
    assert stored.pop("evidently dataset") == dataset_answers()
    assert stored == {
        tool: {key: list(answer) for key, answer in found.items()} for tool, found in fresh.items()
    }


def test_a_dataset_drifts_when_half_of_its_columns_do() -> None:
    from peer_answers import dataset_answers

    assert "evidently" in PRESETS
    (case,) = (c for c in CASES if c.name == "constant moved" and c.sizes == (1000, 1000))
    loud = decide("evidently", case.reference, case.current, ColumnKind.NUMERIC)
    quiet = decide("evidently", case.reference, case.reference, ColumnKind.NUMERIC)
    for drifted, answer in dataset_answers().items():
        columns = [loud] * int(drifted) + [quiet] * (4 - int(drifted))
        assert dataset_drifted("evidently", columns) == answer
