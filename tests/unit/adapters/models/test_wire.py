"""Bodies of requests and answers, without a server."""

from dataclasses import replace

import numpy as np
import orjson
import pytest

from homeostat.adapters.models.encoding import Encoding
from homeostat.adapters.models.upstream import UpstreamSpec
from homeostat.adapters.models.wire import decode, encode
from homeostat.serving.classify import Upstream, UpstreamError

OIP = UpstreamSpec(Upstream.KSERVE, ("http://models/x",), Encoding(("amount",)))
PLAIN = replace(OIP, server=Upstream.JSON)


def tensor(**changed: object) -> dict[str, object]:
    return {"name": "s", "shape": [2], "datatype": "FP32", "data": [0.25, 0.5]} | changed


def read(spec: UpstreamSpec, content: object) -> list[object]:
    return decode(spec, orjson.dumps(content), 2).tolist()


@pytest.mark.parametrize(
    ("outputs", "output", "expected"),
    [
        ([tensor()], "", [0.25, 0.5]),
        ([tensor(name="a", data=[1, 2]), tensor()], "a", [1.0, 2.0]),
        ([tensor(shape=[2, 2], data=[0.0, 1.0, 0.5, 0.5])], "", [[0.0, 1.0], [0.5, 0.5]]),
        ([tensor(shape=[2, 2], data=[[0.0, 1.0], [0.5, 0.5]])], "", [[0.0, 1.0], [0.5, 0.5]]),
        ([tensor(shape=[2, 1], data=[[0.25], [None]])], "", [0.25, np.nan]),
    ],
    ids=["flat", "named", "matrix", "nested", "null"],
)
def test_tensors_are_read(outputs: list[object], output: str, expected: list[object]) -> None:
    np.testing.assert_array_equal(read(replace(OIP, output=output), {"outputs": outputs}), expected)


@pytest.mark.parametrize(
    "outputs",
    [
        [],
        [tensor(datatype="BYTES", data=["1", "2"])],
        [tensor(shape=2)],
        [tensor(shape=[3])],
        [tensor(shape=[2, 1, 1])],
        [tensor(shape=[1], data=[0.5])],
        [tensor(name="other")],
        [5],
    ],
    ids=["none", "texts", "no_shape", "wrong_shape", "cube", "too_few", "not_there", "no_tensor"],
)
def test_other_tensors_are_refused(outputs: list[object]) -> None:
    with pytest.raises(UpstreamError):
        read(replace(OIP, output="s"), {"outputs": outputs})


@pytest.mark.parametrize(
    ("content", "output", "expected"),
    [
        ([0.25, 0.5], "", [0.25, 0.5]),
        ({"predictions": [[0.5, 0.5], [0.0, 1.0]]}, "", [[0.5, 0.5], [0.0, 1.0]]),
        ({"predictions": [{"0": 1}, {"0": None}]}, "", [1.0, np.nan]),
        ([{"score": 1, "tier": "x"}, {"score": 0, "tier": "y"}], "", [1.0, 0.0]),
        ([{"a": 1, "b": 2}, {"a": 3, "b": 4}], "b", [2.0, 4.0]),
    ],
    ids=["list", "classes", "frame", "score", "named"],
)
def test_lists_are_read(content: object, output: str, expected: list[object]) -> None:
    np.testing.assert_array_equal(read(replace(PLAIN, output=output), content), expected)


@pytest.mark.parametrize(
    "content",
    [
        {},
        5,
        {"predictions": "no"},
        ["0.5", "1"],
        [{"a": 1, "b": 2}] * 2,
        [[1], [1, 2]],
        [[[1]]] * 2,
        [True, False],
        [{"score": 0.5}, {"score": True}],
        [{"score": 0.5}, {"score": "0.5"}],
        [[0.5, 0.5], [True, False]],
    ],
    ids=[
        *("empty", "number", "text", "texts", "two_fields", "ragged", "cube"),
        *("truths", "truth_named", "text_named", "truths_of_classes"),
    ],
)
def test_other_answers_are_refused(content: object) -> None:
    with pytest.raises(UpstreamError):
        read(PLAIN, content)


def test_what_a_server_says_is_shown_short_and_harmless() -> None:
    with pytest.raises(UpstreamError) as caught:
        decode(PLAIN, b"\x1b[31m\r\n" + b"x" * 5000, 2)
    assert len(str(caught.value)) < 300
    assert str(caught.value).isprintable()


def test_a_matrix_is_sent_as_it_is() -> None:
    body = orjson.loads(encode(replace(PLAIN, missing=-1.0), np.array([[np.nan], [2.0]])))
    assert body == {"instances": [[-1.0], [2.0]]}
