"""The Open Inference Protocol over HTTP, without a socket."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from asgi import Caller
from homeostat.adapters.models import Term, save_softmax
from homeostat.domain.model import Task
from homeostat.domain.record import TIMESTAMP
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, app
from unit.entrypoints.gateway.gateway_world import World

MODEL = "/v2/models/fraud"
INFER = f"{MODEL}/infer"
AMOUNTS = {"name": "amount", "shape": [2], "datatype": "FP64", "data": [0, 10]}
LANDS = {"name": "land", "shape": [2, 1], "datatype": "BYTES", "data": ["de", "fr"]}
LENGTH = "inference-header-content-length"


@pytest.fixture
def gateway(world: World) -> Gateway:
    made = world.gateway()
    made.routes.publish(Route("fraud", "v1"))
    return made


def caller(gateway: Gateway) -> Caller:
    return Caller(app(gateway), "http://gateway")


def outputs(response: httpx.Response) -> dict[str, list[Any]]:
    assert response.status_code == 200, response.text
    return {output["name"]: output["data"] for output in response.json()["outputs"]}


def infer(gateway: Gateway, *inputs: object, **more: object) -> httpx.Response:
    return caller(gateway).post(INFER, json={"inputs": inputs, **more})


def test_what_a_server_says_of_itself(gateway: Gateway) -> None:
    call = caller(gateway)
    server = call.get("/v2").json()
    assert server["name"] == "homeostat"
    assert "binary_tensor_data" in server["extensions"]
    assert call.get("/v2/health/live").json() == {"live": True}
    assert call.get("/v2/health/ready").json() == {"ready": True}
    for path in (MODEL, f"{MODEL}/versions/v1"):
        assert call.get(f"{path}/ready").json() == {"name": "fraud", "ready": True}
        told = call.get(path).json()
        assert (told["name"], told["versions"]) == ("fraud", ["v1"])
        assert told["inputs"] == [
            {"name": "amount", "datatype": "FP64", "shape": [-1]},
            {"name": "age", "datatype": "FP64", "shape": [-1]},
            {"name": "land", "datatype": "BYTES", "shape": [-1]},
        ]
        assert [output["name"] for output in told["outputs"]] == [
            *("score", "prediction", "prediction_id", "version", "tier", "reason")
        ]


def test_unready_without_a_champion(world: World) -> None:
    call = caller(world.gateway())
    assert call.get("/v2/health/ready").status_code == 503
    assert call.get(f"{MODEL}/ready").json() == {"name": "fraud", "ready": False}
    assert call.get(MODEL).json()["versions"] == []
    assert infer(world.gateway(), AMOUNTS).status_code == 200, "the fallback answers"


def test_every_health_answer_says_that_it_is_about_to_stop(gateway: Gateway) -> None:
    call, paths = caller(gateway), ["/health/ready", "/v2/health/ready", "/ping", "/health"]
    paths += [f"{MODEL}/ready", f"{MODEL}/versions/v1/ready"]
    assert [call.get(path).status_code for path in paths] == [200] * 6
    gateway.draining = True
    assert [call.get(path).status_code for path in paths] == [503, 503, 404, 404, 503, 503]
    assert infer(gateway, AMOUNTS).status_code == 200, "it answers on"


def test_infer_of_a_tensor_a_feature(gateway: Gateway) -> None:
    response = infer(gateway, AMOUNTS, LANDS, id="r1")
    assert response.json()["id"] == "r1"
    assert (response.json()["model_name"], response.json()["model_version"]) == ("fraud", "v1")
    found = outputs(response)
    np.testing.assert_allclose(found["score"], [0.5, 1 / (1 + np.exp(-1))])
    assert found["prediction"] == [1.0, 1.0]
    assert found["tier"] == ["model", "model"]
    assert len(set(found["prediction_id"])) == 2


def test_what_is_inferred_ends_up_in_the_log(world: World, gateway: Gateway) -> None:
    given = {"entity": "anna", "timestamp": "2024-05-01T11:59:00Z"}
    names = {"name": "prediction_id", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    outputs(infer(gateway, AMOUNTS, LANDS, names, parameters=given))
    assert gateway.flush()
    logged = world.logged().sort_by("prediction_id")
    assert logged["prediction_id"].to_pylist() == ["a", "b"]
    assert logged["entity"].to_pylist() == ["anna", "anna"]
    assert logged["land"].to_pylist() == ["de", "fr"]
    minute = pa.scalar(datetime(2024, 5, 1, 11, 59, tzinfo=UTC), TIMESTAMP)
    assert logged["timestamp"].unique().to_pylist() == [minute.as_py()]


@pytest.mark.parametrize("rows", [1, 33, 2000])
def test_a_matrix_has_the_features_in_order(world: World, rows: int) -> None:
    numeric = replace(world.spec.schema, columns=world.spec.schema.columns[:2])
    world.spec = replace(world.spec, schema=numeric)
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "v1"))
    matrix = {"name": "input-0", "shape": [rows, 2], "datatype": "FP32", "data": [[1, 30]] * rows}
    assert outputs(infer(gateway, matrix))["score"] == [1 / (1 + np.exp(-0.1))] * rows
    matrix["data"] = [1, 30] * rows
    assert outputs(infer(gateway, matrix))["tier"] == ["model"] * rows
    matrix["shape"], matrix["data"] = [rows, 3], [1, 2, 3] * rows
    refused = infer(gateway, matrix)
    assert refused.status_code == 400
    assert "the model has 2: amount, age" in refused.json()["error"]


def test_outputs_are_chosen(gateway: Gateway) -> None:
    wanted = [{"name": "tier"}, {"name": "score"}]
    assert list(outputs(infer(gateway, AMOUNTS, outputs=wanted))) == ["tier", "score"]
    refused = infer(gateway, AMOUNTS, outputs=[{"name": "shap"}])
    assert (refused.status_code, "'shap'" in refused.json()["error"]) == (400, True)


def binary(head: dict[str, object], *tails: bytes) -> dict[str, Any]:
    start = json.dumps(head).encode()
    headers = {LENGTH: str(len(start)), "content-type": "application/octet-stream"}
    return {"content": start + b"".join(tails), "headers": headers}


def test_binary_tensors_in_and_out(gateway: Gateway) -> None:
    amounts = np.array([0.0, np.nan], "<f4").tobytes()
    lands = b"\x02\x00\x00\x00de\x00\x00\x00\x00"
    inputs = [
        {"name": "amount", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
        {"name": "land", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 10}},
    ]
    wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "tier"}]
    head: dict[str, object] = {"inputs": inputs, "outputs": wanted}
    response = caller(gateway).post(INFER, **binary(head, amounts, lands))
    assert response.status_code == 200, response.text
    cut = int(response.headers[LENGTH])
    told = json.loads(response.content[:cut])["outputs"]
    assert told[0]["parameters"] == {"binary_data_size": 16}
    assert told[1]["data"] == ["model", "model"]
    scores = np.frombuffer(response.content[cut:], "<f8")
    assert scores[0] == 0.5
    assert scores[1] == 0.5, "a missing amount adds nothing"


def test_all_outputs_binary_at_once(gateway: Gateway) -> None:
    asked = {"inputs": [AMOUNTS], "parameters": {"binary_data_output": True}}
    response = caller(gateway).post(INFER, json=asked)
    cut = int(response.headers[LENGTH])
    told = json.loads(response.content[:cut])["outputs"]
    sizes = [output["parameters"]["binary_data_size"] for output in told]
    assert sum(sizes) == len(response.content) - cut
    assert response.content[cut : cut + 8] == np.array([0.5], "<f8").tobytes()


def test_probabilities_of_several_classes(world: World) -> None:
    world.spec = replace(world.spec, task=Task.MULTICLASS, classes=("bad", "so", "good"))
    save_softmax(world.root / "soft", [(0.0, [Term("amount", 0.1 * k)]) for k in range(3)])
    world.register("soft")
    gateway = world.gateway()
    gateway.routes.publish(Route("fraud", "soft"))
    assert caller(gateway).get(MODEL).json()["outputs"][2] == {
        "name": "probabilities",
        "datatype": "FP64",
        "shape": [-1, 3],
    }
    wanted = [{"name": "probabilities"}, {"name": "score"}]
    response = infer(gateway, AMOUNTS, outputs=wanted)
    expected = np.exp(np.outer([0.0, 10.0], [0.0, 0.1, 0.2]))
    expected /= expected.sum(axis=1, keepdims=True)
    assert response.json()["outputs"][0]["shape"] == [2, 3]
    found = outputs(response)
    np.testing.assert_allclose(np.reshape(found["probabilities"], (2, 3)), expected)
    assert found["score"][1] == 2.0
    world.backend.errors["soft"] = ValueError("broken")
    assert outputs(infer(gateway, AMOUNTS, outputs=wanted))["probabilities"] == [None] * 6


BAD: list[tuple[str, object, str]] = [
    ("no inputs", {}, "at least one tensor"),
    ("inputs no list", {"inputs": {}}, "inputs must be a list of objects"),
    ("input no object", {"inputs": [1]}, "inputs must be a list of objects"),
    ("no name", {"inputs": [AMOUNTS | {"name": ""}]}, "needs a name"),
    ("datatype", {"inputs": [AMOUNTS | {"datatype": "FP128"}]}, "'FP128' is none of BOOL"),
    ("shape", {"inputs": [AMOUNTS | {"shape": "2"}]}, "shape must be a list"),
    ("negative shape", {"inputs": [AMOUNTS | {"shape": [-1]}]}, "shape must be a list"),
    ("true in a shape", {"inputs": [AMOUNTS | {"shape": [True]}]}, "shape must be a list"),
    ("three dimensions", {"inputs": [AMOUNTS | {"shape": [2, 1, 1]}]}, "has 3 dimensions"),
    ("too few values", {"inputs": [AMOUNTS | {"shape": [3]}]}, "has 2 values, shape [3] says 3"),
    ("huge shape", {"inputs": [AMOUNTS | {"shape": [10**18]}]}, "has 2 values"),
    ("no data", {"inputs": [AMOUNTS | {"data": None}]}, "data must be a list"),
    ("text", {"inputs": [AMOUNTS | {"data": [1, "x"]}]}, "row 1, column 'amount': 'x' is not a"),
    ("truth", {"inputs": [AMOUNTS | {"data": [1, True]}]}, "True is not a number"),
    (
        "ragged",
        {"inputs": [LANDS | {"data": [["de"], ["fr", "es"]]}]},
        "row 1, column 'land': is no list of 1 values",
    ),
    ("deep", {"inputs": [LANDS | {"data": [[["de"]], ["fr"]]}]}, "['de'] is not a text"),
    ("range", {"inputs": [AMOUNTS | {"datatype": "INT8", "data": [1, 300]}]}, "row 1, column"),
    ("fraction", {"inputs": [AMOUNTS | {"datatype": "INT8", "data": [1, 0.5]}]}, "0.5 is not a w"),
    ("large", {"inputs": [AMOUNTS | {"datatype": "INT64", "data": [1, 2**62 + 1]}]}, "row 1"),
    ("BYTES", {"inputs": [AMOUNTS | {"datatype": "BYTES", "data": ["1", "2"]}]}, "must be FP64"),
    ("numbers", {"inputs": [LANDS | {"datatype": "FP64", "data": [1, 2]}]}, "must be BYTES"),
    ("unknown", {"inputs": [AMOUNTS, LANDS | {"name": "ort"}]}, "column 'ort': no such field"),
    ("twice", {"inputs": [AMOUNTS, AMOUNTS]}, "is given twice"),
    ("other size", {"inputs": [AMOUNTS, LANDS | {"shape": [1], "data": ["de"]}]}, "[2] or [2, 1]"),
    ("no rows", {"inputs": [AMOUNTS | {"shape": [0], "data": []}]}, "1 to 20000 rows, not 0"),
    ("id", {"inputs": [AMOUNTS], "id": 5}, "id must be a text"),
    ("parameters", {"inputs": [AMOUNTS], "parameters": []}, "parameters of the request"),
    ("entity", {"inputs": [AMOUNTS], "parameters": {"entity": 5}}, "must be a text"),
    ("one id", {"inputs": [AMOUNTS], "parameters": {"prediction_id": "a"}}, "cannot name 2 rows"),
    ("timestamp", {"inputs": [AMOUNTS], "parameters": {"timestamp": "now"}}, "'now' is not a time"),
    ("outputs", {"inputs": [AMOUNTS], "outputs": [{}]}, "an output needs a name"),
    (
        "bytes missing",
        {"inputs": [AMOUNTS | {"parameters": {"binary_data_size": 8}}]},
        "binary_data_size 8 is more than the 0 bytes left",
    ),
]


@pytest.mark.parametrize(("body", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_bad_requests_are_answered_precisely(gateway: Gateway, body: object, message: str) -> None:
    response = caller(gateway).post(INFER, json=body)
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert_untouched(gateway)


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "message"),
    [
        ("FP64", [1], b"1234567", "7 bytes are not the 8 of shape [1]"),
        ("BOOL", [2], b"\x00\x02", "a BOOL is neither 0 nor 1"),
        ("FP64", [1], np.array([np.inf]).tobytes(), "row 0, column 'amount': is infinite"),
        ("BYTES", [1], b"\x01\x00\x00\x00\xff", "is not UTF-8"),
        ("BYTES", [1], b"\x05\x00\x00\x00de", "not 1 texts, each after its length"),
        ("BYTES", [2], b"\x01\x00\x00\x00d\x00", "not 2 texts, each after its length"),
        ("BYTES", [1], b"\x01\x00\x00\x00dx", "not 1 texts, each after its length"),
    ],
)
def test_bad_bytes_are_answered_precisely(
    gateway: Gateway, datatype: str, shape: list[int], raw: bytes, message: str
) -> None:
    size = {"binary_data_size": len(raw)}
    tensor = {"name": "amount", "shape": shape, "datatype": datatype, "parameters": size}
    response = caller(gateway).post(INFER, **binary({"inputs": [tensor]}, raw))
    assert response.status_code == 400
    assert message in response.json()["error"]
    assert_untouched(gateway)


def assert_untouched(gateway: Gateway) -> None:
    live = gateway.routes.live("fraud")
    assert live is not None
    breaker = live.versions["v1"].breaker
    assert not any(breaker.counts.values()), "it is no fault of the model"


@pytest.mark.parametrize(
    ("method", "path", "status", "message"),
    [
        ("POST", "/v2/models/spam/infer", 404, "no model named 'spam'"),
        ("POST", f"{MODEL}/versions/v9/infer", 404, "names a version 'v9'"),
        ("GET", f"{MODEL}/versions/v9", 404, "names a version 'v9'"),
        ("GET", f"{MODEL}/versions/v9/ready", 404, "names a version 'v9'"),
        ("GET", "/v2/models/spam/ready", 404, "no model named 'spam'"),
        ("POST", "/v2/repository/models/spam/load", 404, "no model named 'spam'"),
        ("POST", "/v2/repository/models/spam/unload", 404, "no model named 'spam'"),
        ("GET", "/v2/nothing", 404, "/v2/nothing"),
        ("GET", INFER, 405, "Method Not Allowed"),
    ],
)
def test_what_is_not_there(
    gateway: Gateway, method: str, path: str, status: int, message: str
) -> None:
    sent = {"json": {"inputs": [AMOUNTS]}} if method == "POST" else {}
    response = caller(gateway).request(method, path, **sent)
    assert response.status_code == status
    assert message in response.json()["error"]


def test_a_version_is_asked_for_only_where_it_answers(gateway: Gateway) -> None:
    call, asked = caller(gateway), {"inputs": [AMOUNTS]}
    assert call.post(f"{MODEL}/versions/v1/infer", json=asked).json()["model_version"] == "v1"
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
    refused = [call.post(f"{MODEL}/versions/{v}/infer", json=asked) for v in ("v1", "v2")]
    assert [response.status_code for response in refused] == [409, 409]
    assert call.get(f"{MODEL}/versions/v2/ready").status_code == 200
    arms = Route("fraud", "v1").with_arms({"v2": 0.3, "v3": 0.7}, "prices")
    for route, answering in ((arms, ""), (arms.with_arms({"v3": 1.0}, "prices"), "v3")):
        gateway.routes.publish(route)
        for version in route.versions:
            response = call.post(f"{MODEL}/versions/{version}/infer", json=asked)
            assert response.status_code == (200 if version == answering else 409)
            assert response.json().get("model_version", "") in {"", version}


def test_answers_of_several_versions_name_none(gateway: Gateway) -> None:
    gateway.routes.publish(Route("fraud", "v1", "v2", 0.5))
    many = {"name": "amount", "shape": [200], "datatype": "UINT8", "data": [1] * 200}
    response = infer(gateway, many)
    assert "model_version" not in response.json()
    assert set(outputs(response)["version"]) == {"v1", "v2"}


def test_repository(world: World, gateway: Gateway) -> None:
    call, load = caller(gateway), "/v2/repository/models/fraud"
    ready = {"name": "fraud", "version": "v1", "state": "READY", "reason": ""}
    assert call.post("/v2/repository/index").json() == [ready]
    assert call.post(f"{load}/load").status_code == 200
    model = world.root / "v2" / "model.json"
    whole = model.read_text()
    model.write_text("{}")
    gateway.routes.publish(Route("fraud", "v1", shadows=("v2",)))
    both = call.post("/v2/repository/index", json={}).json()
    assert [(item["version"], item["state"]) for item in both] == [
        ("v1", "READY"),
        ("v2", "UNAVAILABLE"),
    ]
    assert call.get(f"{MODEL}/versions/v2/ready").status_code == 503
    assert call.post("/v2/repository/index", json={"ready": True}).json() == [ready]
    assert call.post("/v2/repository/index", json={"ready": 1}).status_code == 400
    refused = call.post(f"{load}/load")
    assert (refused.status_code, "v2 cannot be loaded" in refused.text) == (409, True)
    model.write_text(whole)
    assert call.post(f"{load}/load").status_code == 200
    assert call.get(f"{MODEL}/versions/v2/ready").status_code == 200
    refused = call.post(f"{load}/unload")
    assert (refused.status_code, "needs v1, v2" in refused.text) == (409, True)


def test_a_repository_without_routes(world: World) -> None:
    call, load = caller(world.gateway()), "/v2/repository/models/fraud"
    assert call.post("/v2/repository/index").json()[0]["state"] == "UNAVAILABLE"
    assert call.post(f"{load}/load").status_code == 409
    assert call.post(f"{load}/unload").status_code == 200
