"""Records what the real Evidently and NannyML answer on `peer_cases`.

Run in the peers' environment (`make peers`); writes the answers that the unit tests of
`homeostat.detectors.drift.presets` hold the presets to.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TypeAlias

os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}  # read on import
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import nannyml
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset
from peer_cases import Case, cases

Answer: TypeAlias = tuple[bool, float | None, float | None]
"""Whether it drifted, the statistic and its threshold; None where the tool has none."""

STORED = Path(__file__).parents[2] / "tests/unit/detectors/drift/peers_answers.json"
DIGITS = 12


def answers() -> dict[str, dict[str, Answer]]:
    """Ask both tools about every case; a case that a tool refuses is left out."""
    found: dict[str, dict[str, Answer]] = {"evidently": {}, "nannyml": {}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _, group in groupby(cases(), key=lambda case: case.sizes):
            some = list(group)
            found["evidently"] |= _evidently(some)
            found["nannyml"] |= dict(_nannyml(some))
    return found


def dataset_answers() -> dict[str, bool]:
    """Ask Evidently whether tables drifted in which so many of four columns did."""
    found = {}
    some = {case.name: case for case in cases() if case.sizes == (1000, 1000)}
    for drifted in range(5):
        names = ["constant moved"] * drifted + ["constant"] * (4 - drifted)
        columns = {f"c{i}": some[name] for i, name in enumerate(names)}
        tests = _report(columns)["tests"]
        found[str(drifted)] = tests[0]["status"] == "FAIL"
    return found


def _evidently(some: Sequence[Case]) -> dict[str, Answer]:
    report = _report({case.key: case for case in some})
    scores = {m["config"]["column"]: m for m in report["metrics"] if "column" in m["config"]}
    found: dict[str, Answer] = {}
    for test in report["tests"]:
        column = test["metric_config"]["params"].get("column")
        if column is not None:
            metric = scores[column]
            threshold = metric["config"]["threshold"]
            found[column] = (test["status"] == "FAIL", _short(metric["value"]), threshold)
    return found


def _report(columns: dict[str, Case]) -> dict[str, list[dict]]:
    schema = DataDefinition(
        numerical_columns=[name for name, case in columns.items() if case.numeric],
        categorical_columns=[name for name, case in columns.items() if not case.numeric],
    )
    reference = pd.DataFrame({name: case.reference for name, case in columns.items()})
    current = pd.DataFrame({name: case.current for name, case in columns.items()})
    report = Report([DataDriftPreset()], include_tests=True)
    return report.run(
        Dataset.from_pandas(current, schema), Dataset.from_pandas(reference, schema)
    ).dict()


def _nannyml(some: Sequence[Case]) -> Iterator[tuple[str, Answer]]:
    for case in some:
        reference = pd.DataFrame({case.key: case.reference})
        names = [] if case.numeric else [case.key]
        calculator = nannyml.UnivariateDriftCalculator([case.key], treat_as_categorical=names)
        try:
            calculator.fit(reference)
        except nannyml.exceptions.CalculatorException:
            continue  # infinite values in the reference
        # The calculator would cut the current sample into ten, too; its method takes it whole.
        (method,) = calculator._column_to_models_mapping[case.key]
        distance = method.calculate(pd.Series(case.current))
        threshold = _short(method.upper_threshold_value)
        yield case.key, (bool(method.alert(distance)), _short(distance), threshold)


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if value == value else None  # noqa: PLR0124


def main() -> None:
    """Write the answers, one a line."""
    parts = []
    for tool, found in answers().items():
        lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in found.items()]
        parts.append(f" {json.dumps(tool)}: {{\n" + ",\n".join(lines) + "\n }")
    parts.append(f' "evidently dataset": {json.dumps(dataset_answers())}')
    STORED.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
