from __future__ import annotations

from dataclasses import replace

import pytest

from homeostat.domain.errors import DataError
from homeostat.domain.model import Task
from homeostat.entrypoints.imports.naming import Rows, name_columns
from homeostat.entrypoints.settings.model import History
from homeostat.simulation.conformance.log import SPEC, THREE

WORTH = replace(SPEC, outcomes=("lost",))
PRICE = replace(SPEC, task=Task.REGRESSION, classes=())


def test_what_is_told_comes_first_then_own_names_then_history_then_guesses() -> None:
    names = ["prediction_id", "id", "ts", "when", "proba", "Amount", "country", "model version"]
    naming = name_columns(
        SPEC, Rows.PREDICTIONS, names, {"id": "prediction_id"}, History(timestamp="when")
    )
    assert naming.columns == {
        "prediction_id": "id",
        "timestamp": "when",
        "score": "proba",
        "version": "model version",
        "amount": "Amount",
        "country": "country",
    }
    assert naming.guessed == {"timestamp", "score", "version", "amount"}
    assert naming.unused == ("prediction_id", "ts")
    assert naming.absent == ()


def test_features_that_are_not_there_are_told() -> None:
    naming = name_columns(SPEC, Rows.PREDICTIONS, ["id", "time", "score"])
    assert naming.absent == ("amount", "country")


def test_a_feature_may_be_the_entity_too() -> None:
    spec = replace(SPEC, entity="country")
    naming = name_columns(spec, Rows.PREDICTIONS, ["time", "score", "country"])
    assert naming.columns["entity"] == naming.columns["country"] == "country"


def test_a_time_in_a_file_of_labels_is_not_taken_for_their_arrival() -> None:
    naming = name_columns(SPEC, Rows.LABELS, ["id", "target", "timestamp"])
    assert naming.columns == {"prediction_id": "id", "label": "target"}
    told = name_columns(SPEC, Rows.LABELS, ["id", "target", "t"], {"t": "arrival"})
    assert told.columns["arrival"] == "t"


def test_outcomes_stand_in_rows_or_in_columns() -> None:
    long = name_columns(WORTH, Rows.OUTCOMES, ["id", "outcome", "value"])
    assert long.columns.keys() == {"prediction_id", "outcome", "value"}
    wide = name_columns(WORTH, Rows.OUTCOMES, ["id", "Lost", "more"])
    assert wide.columns == {"prediction_id": "id", "lost": "Lost"}


@pytest.mark.parametrize(
    ("spec", "rows", "names", "told", "message"),
    [
        (SPEC, Rows.PREDICTIONS, ["score"], {}, "no column says timestamp"),
        (SPEC, Rows.PREDICTIONS, ["time", "prediction"], {}, "no column says score;"),
        (THREE, Rows.PREDICTIONS, ["time"], {}, "score or prediction or probabilities"),
        (SPEC, Rows.LABELS, ["label"], {}, "no column says prediction_id"),
        (SPEC, Rows.LABELS, [], {}, "there are none"),
        (SPEC, Rows.OUTCOMES, ["id", "value"], {}, "has no outcomes"),
        (WORTH, Rows.OUTCOMES, ["id", "value"], {}, "no column says outcome;"),
        (WORTH, Rows.OUTCOMES, ["id"], {}, "value or lost"),
        (SPEC, Rows.LABELS, ["id", "lable"], {"label": "label"}, "did you mean 'lable'"),
        (SPEC, Rows.LABELS, ["id", "y"], {"y": "score"}, "labels have no 'score'"),
    ],
)
def test_what_is_missing_is_told(
    spec: object, rows: Rows, names: list[str], told: dict[str, str], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        name_columns(spec, rows, names, told)  # type: ignore[arg-type]


def test_a_message_does_not_name_a_million_columns() -> None:
    names = [f"column {n}" for n in range(1_000_000)]
    for told in ({}, {"colum 7": "label"}):
        with pytest.raises(DataError) as caught:
            name_columns(SPEC, Rows.LABELS, names, told)
        assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("spec", [PRICE, THREE], ids=["regression", "multiclass"])
def test_a_prediction_may_stand_for_the_score(spec: object) -> None:
    naming = name_columns(spec, Rows.PREDICTIONS, ["time", "y_pred"])  # type: ignore[arg-type]
    assert naming.columns == {"timestamp": "time", "prediction": "y_pred"}
