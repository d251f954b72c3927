import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter

from homeostat.adapters.digest import sha256
from homeostat.adapters.trainers.child import main
from homeostat.domain.model import ModelSpec
from homeostat.simulation.conformance.log import SPEC, predictions

Train = Callable[[str], dict[str, object]]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Return a function that runs a trainer of the given source and returns its result."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    rows = predictions(["a", "b"]).append_column("label", pa.array(np.zeros(2)))
    pq.write_table(rows, tmp_path / "rows.parquet")
    (tmp_path / "beside.py").write_text("ANSWER = 42.0")

    def result(source: str, function: str = "trainer_under_test.py:train") -> dict[str, object]:
        (tmp_path / "trainer_under_test.py").write_text(source)
        spec = TypeAdapter(ModelSpec).dump_python(SPEC, mode="json")
        asked = {"function": str(tmp_path / function), "spec": spec}
        (tmp_path / "request.json").write_text(json.dumps(asked))
        assert main(tmp_path) == 0
        found: dict[str, object] = json.loads((tmp_path / "result.json").read_text())
        if "metrics" in found:
            assert found.pop("sha256") == sha256(tmp_path / "artifact")
        return found

    return result


def test_the_function_gets_rows_and_spec_and_may_import_what_lies_beside_it(train: Train) -> None:
    found = train(
        "from beside import ANSWER\n"
        "def train(rows, spec, out):\n"
        "    (out / 'model.json').write_text(spec.name)\n"
        "    return {'rows': len(rows), 'answer': ANSWER, 'auc': float('nan')}"
    )
    assert found == {"metrics": {"rows": 2.0, "answer": 42.0}}


HEAD = "def train(rows, spec, out):\n    (out / 'model.json').write_text('')\n    "


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (HEAD + "raise ValueError('too few ' * 9999)", "ValueError: too few too few"),
        ("def train(rows, spec, out): pass", "TrainingError: the training function wrote no"),
        (HEAD + "return 7", "TrainingError: the training function returned int, not metrics"),
        (HEAD + "return {'auc': 'high'}", "ValueError: could not convert"),
        ("def train(", "SyntaxError"),
        ("train = 3", "ConfigError: trainer file"),
    ],
)
def test_what_goes_wrong_is_the_result(train: Train, source: str, said: str) -> None:
    problem = str(train(source)["problem"])
    assert problem.startswith(said)
    assert len(problem) <= 2000


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("absent.py:train", "does not exist"),
        ("trainer_under_test.py", "is not of the form file.py:function"),
        ("request.json:train", "cannot be imported; it must end in .py"),
        ("trainer_under_test.py:tarin", "has no function 'tarin'"),
    ],
)
def test_what_cannot_be_found_is_named(
    train: Callable[[str, str], dict[str, object]], function: str, said: str
) -> None:
    assert said in str(train(HEAD + "return None", function)["problem"])


def test_no_metrics_are_fine(train: Train) -> None:
    assert train(HEAD + "return None") == {"metrics": {}}
