"""``hs.evaluate`` on classes, times and texts that are not as they should be."""

from datetime import datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics as oracle

import homeostat as hs
from homeostat.domain.errors import ConfigError, DataError

START = datetime(2024, 1, 1)
DAY = timedelta(days=1)


def spec(**fields: object) -> hs.PredictionSpec:
    return hs.PredictionSpec("binary", **fields)  # type: ignore[arg-type]


def test_a_class_that_the_model_does_not_know_is_predicted_wrongly() -> None:
    rng = np.random.default_rng(0)
    chances = rng.dirichlet([1, 1], 2000)
    said = np.where(chances[:, 0] > 0.5, "a", "b")
    labels = np.where(rng.random(2000) < 0.3, "new", np.where(rng.random(2000) < 0.7, said, "a"))
    rows = {"p_a": chances[:, 0], "p_b": chances[:, 1], "said": said, "label": labels}
    by_score = hs.PredictionSpec("multiclass", score={"a": "p_a", "b": "p_b"})
    found = hs.evaluate(rows, by_score)
    assert found["accuracy"].value == pytest.approx(oracle.accuracy_score(labels, said))
    assert found["macro_f1"].value == pytest.approx(oracle.f1_score(labels, said, average="macro"))
    assert found.classes == ("a", "b", "new")
    assert any("'new'" in text and "predicted wrongly" in text for text in found.problems)
    named = hs.PredictionSpec("multiclass", score="", prediction="said", classes=("a", "b"))
    assert hs.evaluate(rows, named)["accuracy"].value == found["accuracy"].value
    with pytest.raises(DataError, match="column 'label' has more than 1000 classes"):
        hs.evaluate(rows | {"label": np.arange(2000)}, by_score)


def test_a_class_written_in_another_way_is_refused() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(200)
    rows = {"score": scores, "label": np.where(rng.random(200) < scores, "fraud", "honest")}
    with pytest.raises(DataError, match=r"holds 'fraud', which is none .* never 'Fraud'"):
        hs.evaluate(rows, spec(classes=("honest", "Fraud")))
    several = {"said": ["Red", "blue", "green"], "label": ["red", "blue", "blue"]}
    colours = hs.PredictionSpec(
        "multiclass", score="", prediction="said", classes=("Red", "blue", "green")
    )
    with pytest.raises(DataError, match=r"holds 'red', .* never 'Red'"):
        hs.evaluate(several, colours)
    odd = {"score": scores, "label": ["fraud", "honest", "?", "honest"] * 50}
    assert hs.evaluate(odd, spec(classes=("honest", "fraud"))).labelled == 150


def test_words_for_yes_and_no_may_differ_between_columns() -> None:
    rng = np.random.default_rng(0)
    said, true = rng.random((2, 100)) < 0.5
    rows = {"said": said, "label": np.where(true, "yes", "no")}
    found = hs.evaluate(rows, spec(score="", prediction="said"))
    assert found["accuracy"].value == pytest.approx(np.mean(said == true))
    assert found.classes == ("no", "yes")
    with pytest.raises(DataError, match=r"column 'said' holds 'a', 'b'"):
        hs.evaluate(rows | {"said": np.where(said, "a", "b")}, spec(score="", prediction="said"))


def test_rows_of_which_none_can_be_used_say_why() -> None:
    rows = {"score": [-1.0] * 50, "label": [0, 1] * 25}
    figure = hs.evaluate(rows, spec())["accuracy"]
    assert figure.problem == "no labelled rows have a score and a weight above 0"
    assert hs.evaluate({"score": [0.5], "label": [None]}, spec())["auc"].problem == (
        "no labelled rows"
    )


def test_without_any_time_there_is_no_now() -> None:
    rows = {"score": [0.5] * 50, "label": [0, 1] * 25, "at": pd.to_datetime([None] * 50)}
    found = hs.evaluate(rows, spec(timestamp="at", maturity=DAY))
    assert found.as_of is None
    assert "1970" not in str(found)
    assert "50 of 50 predictions have no time" in str(found)
    with pytest.raises(DataError, match="column 'at': no row has a time"):
        hs.proxy(rows | {"sign": [0, 1] * 25}, spec(timestamp="at", maturity=DAY), "sign")


def test_as_of_needs_times() -> None:
    rows = {"score": [0.5] * 50, "label": [0, 1] * 25}
    with pytest.raises(ConfigError, match="as_of needs to know when rows were made"):
        hs.evaluate(rows, spec(), as_of=START)
    with pytest.raises(ConfigError, match="as_of needs to know when rows were made"):
        hs.counterfactual(rows, spec(), lambda table: np.zeros(len(table)), as_of=START)


def test_what_is_printed_holds_no_escapes_of_the_data() -> None:
    rows = {"score": [0.5] * 50, "label": [0, 1] * 25, "shop": ["\x1b[31mred\n"] * 50}
    printed = str(hs.evaluate(rows, spec(segments=("shop",)), metrics=["accuracy"]))
    assert "\x1b" not in printed
    assert "(shop \\x1b[31mred\\n)" in printed
