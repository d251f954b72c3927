"""ONNX artifacts, from models made by hand whose answers NumPy knows too."""

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
from onnx import TensorProto, helper

from homeostat.adapters.models import Encoding, MatrixPredictor, load_predictor, save_onnx
from homeostat.adapters.models.loading import flavour_of
from homeostat.domain.errors import ArtifactError

ROWS = pa.table({"land": ["DE", "FR", None], "amount": [1.5, -2.0, 0.25]})
FEATURES, CATEGORIES = ("amount", "land"), {"land": ("DE", "FR")}
WEIGHTS = np.array([[0.5, -0.5, 1.0], [1.0, 0.25, -1.0]])


def tensor(name: str, kind: int, shape: Sequence[int | str | None]) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def write(
    file: Path,
    nodes: Sequence[onnx.NodeProto],
    outputs: Sequence[onnx.ValueInfoProto],
    *,
    columns: int = 3,
    kind: int = TensorProto.FLOAT,
    shape: Sequence[int | str | None] = (None, 2),
    inputs: int = 1,
) -> None:
    weights = WEIGHTS[:, :columns]
    initial = helper.make_tensor("w", kind, weights.shape, weights.ravel().tolist())
    given = [tensor(f"x{i}" if i else "x", kind, shape) for i in range(inputs)]
    total = helper.make_node("MatMul", ["x", "w"], ["sum"])
    graph = helper.make_graph([total, *nodes], "g", given, outputs, [initial])
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), file)


def regression(file: Path, **how: object) -> None:
    kind = how.get("kind", TensorProto.FLOAT)
    same = helper.make_node("Identity", ["sum"], ["y"])
    write(file, [same], [tensor("y", kind, [None, 1])], columns=1, **how)


def classifier(file: Path, *, zipped: bool) -> None:
    """What converters make of LightGBM and scikit-learn: the class, then the probabilities."""
    nodes = [
        helper.make_node("Softmax", ["sum"], ["chances"], axis=1),
        helper.make_node("ArgMax", ["chances"], ["label"], axis=1, keepdims=0),
    ]
    label = tensor("label", TensorProto.INT64, [None])
    if not zipped:
        chances = tensor("chances", TensorProto.FLOAT, [None, 3])
        write(file, nodes, [label, chances])
        return
    classes = {"classlabels_int64s": [0, 1, 2]}
    nodes.append(helper.make_node("ZipMap", ["chances"], ["m"], domain="ai.onnx.ml", **classes))
    one = helper.make_tensor_type_proto(TensorProto.FLOAT, None)
    kind = helper.make_sequence_type_proto(helper.make_map_type_proto(TensorProto.INT64, one))
    write(file, nodes, [label, helper.make_value_info("m", kind)])


def saved(tmp_path: Path) -> Path:
    save_onnx(tmp_path / "made.onnx", tmp_path / "a", FEATURES, CATEGORIES)
    return tmp_path / "a"


def sums() -> np.ndarray:
    matrix = Encoding(FEATURES, CATEGORIES).matrix(ROWS)
    return matrix @ WEIGHTS


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE], ids=["float", "double"])
def test_a_regression_gives_one_number_a_row(tmp_path: Path, kind: int) -> None:
    regression(tmp_path / "made.onnx", kind=kind)
    folder = saved(tmp_path)
    assert flavour_of(folder) == "onnx"
    predictor = load_predictor(folder, "onnx")
    assert isinstance(predictor, MatrixPredictor)
    assert predictor.features == FEATURES
    np.testing.assert_allclose(predictor.predict(ROWS), sums()[:, 0], rtol=1e-6)


@pytest.mark.parametrize("zipped", [False, True], ids=["tensor", "zipmap"])
def test_a_classifier_gives_probabilities_and_not_its_label(tmp_path: Path, zipped: bool) -> None:
    classifier(tmp_path / "made.onnx", zipped=zipped)
    got = load_predictor(saved(tmp_path), "onnx").predict(ROWS)
    powers = np.exp(sums() - sums().max(axis=1, keepdims=True))
    np.testing.assert_allclose(got, powers / powers.sum(axis=1, keepdims=True), rtol=1e-5)
    assert got.shape == (3, 3)


def test_a_model_that_gives_only_a_label_gives_that(tmp_path: Path) -> None:
    nodes = [helper.make_node("ArgMax", ["sum"], ["label"], axis=1, keepdims=0)]
    write(tmp_path / "made.onnx", nodes, [tensor("label", TensorProto.INT64, [None])])
    got = load_predictor(saved(tmp_path), "onnx").predict(ROWS.slice(0, 2))
    np.testing.assert_array_equal(got, sums()[:2].argmax(axis=1))


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ({"shape": (1, 2)}, "takes 1 rows only"),
        ({"inputs": 2}, "must take one tensor"),
        ({"shape": (None, None, 2)}, "must take one tensor"),
    ],
    ids=["one_row", "two_inputs", "three_dimensions"],
)
def test_other_inputs_are_refused(tmp_path: Path, how: dict[str, object], told: str) -> None:
    regression(tmp_path / "made.onnx", **how)
    with pytest.raises(ArtifactError, match=told):
        load_predictor(saved(tmp_path), "onnx")


def test_features_must_fit_the_model(tmp_path: Path) -> None:
    regression(tmp_path / "made.onnx")
    folder = saved(tmp_path)
    Encoding(("amount",)).save(folder / "meta.json")
    with pytest.raises(ArtifactError, match=r"takes 2 features, meta\.json names 1"):
        load_predictor(folder, "onnx")


@pytest.mark.parametrize("damage", ["absent", "empty", "cut", "garbage"])
def test_damaged_model_is_an_artifact_error(tmp_path: Path, damage: str) -> None:
    regression(tmp_path / "made.onnx")
    file = saved(tmp_path) / "model.onnx"
    content = file.read_bytes()
    match damage:
        case "absent":
            file.unlink()
        case "empty":
            file.write_bytes(b"")
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case _:
            file.write_bytes(b"\x80\x04\xff not a model")
    with pytest.raises(ArtifactError, match=r"model\.onnx"):
        load_predictor(file.parent, "onnx")


def test_without_onnxruntime_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ArtifactError, match=r"homeostat\[onnx\]"):
        load_predictor(tmp_path, "onnx")
