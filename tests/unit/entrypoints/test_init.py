from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from homeostat.domain.errors import ConflictError, DataError, NotFoundError
from homeostat.domain.model import ColumnKind, Task
from homeostat.entrypoints.init import write_config
from homeostat.entrypoints.settings import Settings, load

START = datetime(2024, 1, 1)
ROWS = 400


def table(**more: object) -> pa.Table:
    rng = np.random.default_rng(7)
    label = rng.integers(0, 2, ROWS)
    columns: dict[str, object] = {
        "prediction_id": [f"p{i}" for i in range(ROWS)],
        "timestamp": [START + i * timedelta(minutes=10) for i in range(ROWS)],
        "customer_id": [f"c{i % 50}" for i in range(ROWS)],
        "amount": rng.gamma(2, 50, ROWS),
        "balance": rng.normal(0, 5, ROWS),
        "rate": rng.random(ROWS),
        "country": [("PT", "ES", "no")[i % 3] for i in range(ROWS)],
        "shop": [f"s{i % 40}" for i in range(ROWS)],
        "night": [i % 2 == 0 for i in range(ROWS)],
        "email": [f"m{i % 30}@x" for i in range(ROWS)],
        "note": [f"text {i}" for i in range(ROWS)],
        "nothing": pa.nulls(ROWS),
        "birthday": [START] * ROWS,
        "status": [("kept", "gone")[v] for v in label],
        "label": label,
        "label_timestamp": [START + timedelta(minutes=10 * i, days=9.5) for i in range(ROWS)],
    }
    return pa.table(columns | more)


def drafted(folder: Path, data: pa.Table, name: str = "my data.parquet") -> tuple[Settings, str]:
    path, output = folder / name, folder / "homeostat.yaml"
    if name.endswith(".csv"):
        pyarrow.csv.write_csv(data, path)
    else:
        pq.write_table(data, path)
    write_config(path, output)
    return load(output), output.read_text()


@pytest.mark.parametrize("name", ["my data.parquet", "my data.csv"])
def test_the_draft_loads_and_says_what_it_assumed(tmp_path: Path, name: str) -> None:
    settings, text = drafted(tmp_path, table(), name)
    model = settings.model("my-data")
    spec = model.spec()
    assert spec.task is Task.BINARY
    assert spec.entity == "customer_id"
    assert spec.labels.maturity == timedelta(days=10)
    assert model.history.id == "prediction_id"
    assert spec.schema.names == ("amount", "balance", "rate", "country", "shop", "night", "email")
    assert spec.schema["amount"].minimum == 0
    assert spec.schema["balance"].minimum is None
    assert (spec.schema["rate"].minimum, spec.schema["rate"].maximum) == (0, 1)
    assert spec.schema["country"].categories == ("ES", "PT", "no")
    assert spec.schema["shop"].categories is None
    assert spec.schema["night"].kind is ColumnKind.BOOLEAN
    assert spec.schema["email"].personal
    assert "m1@x" not in text
    assert "status is left out: it tells label by itself" in text
    assert "note is left out: nearly every value is another" in text
    assert "99 in 100 labels are known after 10 days" in text


def test_windows_fit_the_traffic(tmp_path: Path) -> None:
    monitors = drafted(tmp_path, table())[0].model().monitors
    # 144 rows a day.
    assert monitors.quality.window == timedelta(days=1)
    assert monitors.drift.window == timedelta(days=7)


def test_what_cannot_be_seen_is_said(tmp_path: Path) -> None:
    bare = pa.table({"x": [1.0, 2.0, None], "y z": ["a", "a", "b"]})
    settings, text = drafted(tmp_path, bare, "7.parquet")
    assert settings.specs[0].schema.names == ("x", "y z")
    assert "no column looks like the timestamp; name it" in text
    assert "the task is a guess: binary" in text
    assert "33.33% missing" in text


LABELS = [
    (["a", "b", "c"], Task.MULTICLASS, ("a", "b", "c")),
    (["bad", "good"], Task.BINARY, ("bad", "good")),
    ([0, 1, 2, 3], Task.MULTICLASS, ("0", "1", "2", "3")),
    ([True, False], Task.BINARY, ()),
    ([0.0, 1.0], Task.BINARY, ()),
    ([1.5, 700.0, 3.0], Task.REGRESSION, ()),
    ([5, 700, 3], Task.REGRESSION, ()),
    (["same"], Task.BINARY, ()),
]


@pytest.mark.parametrize(("values", "task", "classes"), LABELS)
def test_the_task_follows_from_the_label(
    tmp_path: Path, values: list[object], task: Task, classes: tuple[str, ...]
) -> None:
    labels = [values[i * 7 % len(values)] for i in range(ROWS)]
    (spec,) = drafted(tmp_path, table(label=labels))[0].specs
    assert (spec.task, spec.classes) == (task, classes)


def test_hostile_names_and_values_stay_data(tmp_path: Path) -> None:
    name = "a: {b}\n# c\u2028'\"[red]"
    strange = pa.table({name: ["}, x: {", "no", "\n"] * 10, "v": [1, 2, 3] * 10})
    (spec,) = drafted(tmp_path, strange)[0].specs
    assert spec.schema.names == (name, "v")
    assert set(spec.schema[name].categories or ()) == {"}, x: {", "no", "\n"}


def test_unusual_types_are_read(tmp_path: Path) -> None:
    data = pa.table(
        {
            "kind": pa.array(["a", "b"] * 20).dictionary_encode(),
            "price": pa.array([Decimal("1.25"), Decimal(2)] * 20),
            "day": pa.array([START.date()] * 40),
            "list": pa.array([[1]] * 40),
            " ": pa.array([1] * 40),
            "score": pa.array([0.5] * 40),
        }
    )
    settings, text = drafted(tmp_path, data)
    assert settings.specs[0].schema.names == ("kind", "price")
    assert "list is left out" in text
    assert "score is left out: a field of Homeostat's own" in text
    assert "day is the timestamp" in text


def test_bad_data_is_refused_in_words(tmp_path: Path) -> None:
    output = tmp_path / "homeostat.yaml"

    def refused(name: str, content: bytes, said: str) -> None:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(DataError, match=said):
            write_config(path, output)

    refused("a.csv", b"", "is empty")
    refused("b.csv", b"x,y\n", "has no rows")
    refused("c.parquet", b"not parquet at all", "cannot be read")
    refused("d.xlsx", b"x", "unknown kind; use a file that ends in .parquet")
    refused("e.csv", b"t\n2024-01-01T00:00:00\n", "no column that can be a feature")
    refused("f.csv", b"x,x\n1,2\n", "names column 'x' more than once")
    refused("g.csv", b"x,y\n1,2\n3\n", "cannot be read")
    times = pa.table({"label": [START], "x": [1]})
    pq.write_table(times, tmp_path / "h.parquet")
    with pytest.raises(DataError, match="neither number nor class"):
        write_config(tmp_path / "h.parquet", output)
    many = pa.table({"label": [f"c{i}" for i in range(60)], "x": list(range(60))})
    pq.write_table(many, tmp_path / "i.parquet")
    with pytest.raises(DataError, match="over 50 classes"):
        write_config(tmp_path / "i.parquet", output)
    with pytest.raises(NotFoundError, match="no file"):
        write_config(tmp_path / "none.csv", output)
    with pytest.raises(DataError, match="is not a file"):
        write_config(tmp_path, output)
    assert not output.exists()


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    data, output = tmp_path / "d.csv", tmp_path / "homeostat.yaml"
    pyarrow.csv.write_csv(pa.table({"x": [1, 2]}), data)
    output.write_text("mine")
    with pytest.raises(ConflictError, match="--force"):
        write_config(data, output)
    assert output.read_text() == "mine"
    write_config(data, output, force=True)
    assert load(output).specs[0].schema.names == ("x",)
    with pytest.raises(DataError, match="cannot write"):
        write_config(data, tmp_path / "no" / "h.yaml")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("fraud", [0, 1]),
        ("is_default", [False, True]),
        ("Churned", ["no", "yes"]),
        ("click", [0.0, 1.0]),
    ],
    ids=["integers", "booleans", "texts", "floats"],
)
def test_a_column_that_says_how_things_turned_out_is_the_label(
    tmp_path: Path, name: str, values: list[object]
) -> None:
    data = table(**{name: [values[i % 3 == 0] for i in range(ROWS)]})
    settings, text = drafted(tmp_path, data.drop_columns(["label", "status"]))
    model = settings.model("my-data")
    assert model.history.label == name
    assert name not in {column.name for column in model.spec().schema.columns}
    assert f"{name} is the label" in text


def test_a_feature_that_is_named_like_an_outcome_is_remarked_upon(tmp_path: Path) -> None:
    data = table(
        default=[("no", "yes")[i % 2] for i in range(ROWS)], response=[i % 7 for i in range(ROWS)]
    )
    settings, text = drafted(tmp_path, data)
    model = settings.model("my-data")
    assert model.history.label == "label"
    assert {"default", "response"} <= {column.name for column in model.spec().schema.columns}
    assert "default is taken for a feature, though named as what turns out later" in text
    assert "response is taken" not in text


@pytest.mark.parametrize(
    ("more", "score"),
    [
        ({"p_label": [0.25] * ROWS}, "p_label"),
        ({"score": [0.25] * ROWS}, "score"),
        ({"score": [700.0] * ROWS}, ""),  # of a bank, not of a model
        ({"p_label": ["high"] * ROWS}, ""),
        ({"p_label": pa.nulls(ROWS, pa.float64())}, ""),
        ({"label": [f"{i % 3}x" for i in range(ROWS)], "prediction": ["0x"] * ROWS}, "prediction"),
        ({"label": [f"{i % 3}x" for i in range(ROWS)], "prediction": ["4x"] * ROWS}, ""),
        ({"label": [0.5 * i for i in range(ROWS)], "prediction": [7.0] * ROWS}, "prediction"),
    ],
)
def test_the_model_s_answers_are_told_from_features(
    tmp_path: Path, more: dict[str, object], score: str
) -> None:
    settings, _ = drafted(tmp_path, table(**more))
    model = settings.model("my-data")
    assert (model.history.score or "") == score
    assert score not in model.features


def test_columns_that_are_named_are_not_guessed(tmp_path: Path) -> None:
    pq.write_table(table(), tmp_path / "data.parquet")
    given = {"label": "night", "score": "rate", "id": "note", "timestamp": "label_timestamp"}
    found = write_config(tmp_path / "data.parquet", tmp_path / "homeostat.yaml", given)
    model = load(tmp_path / "homeostat.yaml").model("data")
    assert (model.history.label, model.history.score) == ("night", "rate")
    assert (model.history.id, model.history.timestamp) == ("note", "label_timestamp")
    assert not {"night", "rate", "note"} & set(model.features)
    assert "rate is the score" not in found.assumed
    with pytest.raises(DataError, match="has no column 'nights'; there are prediction_id"):
        write_config(tmp_path / "data.parquet", tmp_path / "x.yaml", {"label": "nights"})


@pytest.mark.parametrize(
    ("values", "name", "said"),
    [
        (["31.01.2026 10:00", "1.2.2026 9:30"], "seen", "seen is left out: times such as '31.01"),
        (["2026/01/31", "2026/02/01"], "seen", "write 2026-01-31T12:00:00Z"),
        (["1,234.50", "12.00", "€ 3"], "amount", "numbers such as '1,234.50'; write 1234.5"),
        (["1.234,5", "7"], "amount", "numbers such as '1.234,5'"),
        ([1767225600, 1767229200], "created_ts", "seconds since 1970, it seems"),
        ([1767225600000.0], "ts", "milliseconds since 1970, it seems"),
        (["1.2", "1.10"], "release", ""),
        (["12-34-56", "12-34-57"], "code", ""),
        ([1767225600], "phone", ""),
        ([5], "time", ""),
        ([True], "time", ""),
        ([1.0], "2026-01-01", "the first line looks like a row, not like names"),
    ],
    ids=str,
)
def test_times_and_numbers_in_another_form_are_told_of(
    tmp_path: Path, values: list[object], name: str, said: str
) -> None:
    # Each value comes 30 times, so that none is left out for being unique.
    data = pa.table({"other": [1.0, 2.0] * 15 * len(values), name: values * 30})
    pq.write_table(data, tmp_path / "odd.parquet")
    found = write_config(tmp_path / "odd.parquet", tmp_path / "homeostat.yaml")
    assert said in "\n".join(found.assumed)
    assert (name in found.features) is (not said or name == "2026-01-01")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("amount,straße\n1,a\n".encode("latin-1"), "save it as such"),
        ("amount\tshop\r\n1\ta\r\n".encode("utf-16"), "save it as such"),
        (b"sep=;\namount;shop;day\n1;a;2\n", "remove a line such as sep=;"),
    ],
    ids=["latin-1", "utf-16", "sep"],
)
def test_files_as_spreadsheets_write_them(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "rows.csv").write_bytes(content)
    with pytest.raises(DataError, match=said):
        write_config(tmp_path / "rows.csv", tmp_path / "homeostat.yaml")
