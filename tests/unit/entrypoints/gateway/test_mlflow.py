"""MLflow's scoring protocol, without a socket."""

from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from asgi import Caller
from homeostat.adapters.clock import SystemClock
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway import Gateway, LogWriter, RouteTable, ServedModel, app
from unit.entrypoints.gateway.gateway_world import World

INVOKE = "/models/fraud/invocations"
CSV = {"content-type": "text/csv; charset=utf-8"}
COLUMNS = ["amount", "land", "prediction_id"]


@pytest.fixture
def gateway(world: World) -> Gateway:
    made = world.gateway()
    made.routes.publish(Route("fraud", "v1"))
    return made


def caller(gateway: Gateway) -> Caller:
    return Caller(app(gateway), "http://gateway")


FORMS: dict[str, dict[str, object]] = {
    "split": {
        "dataframe_split": {
            "index": [0, 1],
            "columns": COLUMNS,
            "data": [[0, "de", "a"], [10.0, None, "b"]],
        }
    },
    "records": {
        "dataframe_records": [
            {"amount": 0, "land": "de", "prediction_id": "a"},
            {"amount": 10.0, "prediction_id": "b"},
        ]
    },
    "instances": {
        "instances": [
            {"amount": 0, "land": "de", "prediction_id": "a"},
            {"amount": 10.0, "land": None, "prediction_id": "b"},
        ]
    },
    "columns": {
        "inputs": {"amount": [[0], [10.0]], "land": ["de", None], "prediction_id": ["a", "b"]}
    },
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [INVOKE, "/invocations"])
def test_forms(world: World, gateway: Gateway, path: str, form: str) -> None:
    response = caller(gateway).post(path, json=FORMS[form])
    assert response.status_code == 200, response.text
    content = response.json()
    assert content["predictions"] == pytest.approx([0.5, 0.7310585786])
    assert [answer["prediction_id"] for answer in content["answers"]] == ["a", "b"]
    assert [answer["tier"] for answer in content["answers"]] == ["model", "model"]
    assert gateway.flush()
    assert sorted(world.logged()["land"].to_pylist(), key=str) == [None, "de"]


def test_rows_without_names_are_in_the_order_of_the_schema(gateway: Gateway) -> None:
    for form in (
        {"instances": [[10.0, 30, "de"]]},
        {"inputs": [[10.0, 30, "de"]]},
        {"dataframe_split": {"data": [[10.0, 30, "de"]]}},
    ):
        response = caller(gateway).post(INVOKE, json=form)
        assert response.json()["predictions"] == pytest.approx([0.7310585786])


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv(world: World, gateway: Gateway, newline: str) -> None:
    lines = [
        "amount,land,prediction_id,timestamp",
        '0,"de",a,2024-05-01T11:00:00Z',
        "10,,b,",
    ]
    response = caller(gateway).post(INVOKE, content=newline.join(lines), headers=CSV)
    assert response.status_code == 200, response.text
    assert response.json()["predictions"] == pytest.approx([0.5, 0.7310585786])
    assert gateway.flush()
    logged = world.logged().sort_by("prediction_id")
    assert logged["land"].to_pylist() == ["de", None]
    assert logged["timestamp"][0].as_py().hour == 11


def test_params_name_the_rows(world: World, gateway: Gateway) -> None:
    params = {"entity": "anna", "prediction_id": "p1"}
    asked = {"instances": [{"amount": 0}], "params": params}
    assert caller(gateway).post(INVOKE, json=asked).status_code == 200
    assert gateway.flush()
    assert world.logged()["entity"].to_pylist() == ["anna"]


BAD: list[tuple[str, object, str]] = [
    ("none", {"rows": []}, "exactly one of dataframe_split"),
    ("two", {"instances": [], "inputs": []}, "exactly one of dataframe_split"),
    ("messages", {"messages": []}, "exactly one of dataframe_split"),
    ("split no object", {"dataframe_split": []}, "must be an object with the lists"),
    ("split without data", {"dataframe_split": {"columns": ["amount"]}}, "with the lists"),
    ("numbers for names", {"dataframe_split": {"columns": [0], "data": [[1]]}}, "list of names"),
    (
        "a name twice",
        {"dataframe_split": {"columns": ["age", "age"], "data": [[1, 2]]}},
        "names one twice",
    ),
    (
        "too short",
        {"dataframe_split": {"columns": ["age", "amount"], "data": [[1, 2], [1]]}},
        "row 1: has 1 values; there are 2: age, amount",
    ),
    ("unknown", {"instances": [{"ort": 1}]}, "column 'ort': no such field"),
    ("no rows", {"instances": []}, "1 to 20000 rows, not 0"),
    ("no list", {"instances": 5}, "instances must be a list of rows"),
    ("object", {"instances": {"amount": [1]}}, "instances must be a list of rows"),
    ("text", {"instances": [{"amount": "x"}]}, "row 0, column 'amount': 'x' is not a number"),
    ("deep", {"instances": [{"amount": [[1]]}]}, "is not a number"),
    ("deep column", {"inputs": {"amount": [[[1]]]}}, "is not a number"),
    ("no columns", {"inputs": {}}, "names no column"),
    ("lengths", {"inputs": {"amount": [1, 2], "age": [1]}}, "differ in length"),
    ("unknown column", {"inputs": {"ort": [1]}}, "column 'ort': no such field"),
    ("params", {"instances": [{}], "params": []}, "params must be an object"),
    ("unknown param", {"instances": [{}], "params": {"top_k": 3}}, "no parameter 'top_k'"),
    ("one id", {"instances": [{}, {}], "params": {"prediction_id": "a"}}, "cannot name 2 rows"),
    ("columns", {"inputs": {"amount": [1]}, "params": {"entity": "a"}}, "each row its own"),
]


@pytest.mark.parametrize(("body", "message"), [case[1:] for case in BAD], ids=[c[0] for c in BAD])
def test_bad_requests_are_answered_precisely(gateway: Gateway, body: object, message: str) -> None:
    assert_refused(gateway, message, json=body)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "is not CSV of the model's columns"),
        (b"amount\nx\n", "invalid value 'x'"),
        (b"amount,age\n1\n", "is not CSV of the model's columns"),
        (b"amount\n1\nNaN\n", ""),
        (b"land\n\xff\n", "is not CSV of the model's columns"),
        (b"ort\n1\n", "column 'ort': no such field"),
        (b"amount,amount\n1,2\n", "twice"),
        (b"amount\n", "1 to 20000 rows, not 0"),
        (b"amount\ninf\n", "infinite"),
        (b"timestamp\nnow\n", "is not a time"),
    ],
    ids=["empty", "text", "ragged", "nan", "utf8", "unknown", "twice", "no-rows", "inf", "time"],
)
def test_bad_csv_is_answered_precisely(gateway: Gateway, body: bytes, message: str) -> None:
    if message:
        assert_refused(gateway, message, content=body, headers=CSV)
        return
    assert caller(gateway).post(INVOKE, content=body, headers=CSV).status_code == 200


def assert_refused(gateway: Gateway, message: str, **sent: Any) -> None:
    response = caller(gateway).post(INVOKE, **sent)
    assert response.status_code == 400, response.text
    assert response.json()["error_code"] == "INVALID_PARAMETER_VALUE"
    assert message in response.json()["message"]
    live = gateway.routes.live("fraud")
    assert live is not None
    assert not any(live.versions["v1"].breaker.counts.values()), "it is no fault of the model"


def test_what_is_asked_beside_it(world: World, gateway: Gateway) -> None:
    call = caller(gateway)
    assert [call.get(path).status_code for path in ("/ping", "/health")] == [200, 200]
    assert caller(world.gateway()).get("/ping").status_code == 404
    assert call.get("/version").text == "0.1.0"
    unknown = call.post("/models/spam/invocations", json={"instances": [[1]]})
    assert (unknown.status_code, unknown.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


def test_of_several_models_one_is_to_be_named(world: World) -> None:
    models = [ServedModel(replace(world.spec, name=name)) for name in ("fraud", "spam")]
    routes = RouteTable(world.registry, models, SystemClock(), world.backend.load)
    gateway = Gateway(routes, LogWriter(world.log), world.clock)
    call = Caller(Starlette(routes=[Mount("/plane", app(gateway))]), "http://gateway/plane")
    refused = call.post("/invocations", json={"instances": [[1, 2, "de"]]})
    assert refused.status_code == 404
    assert "/models/fraud/invocations, /models/spam/invocations" in refused.json()["message"]
    assert call.post("/models/spam/invocations", json={"instances": [[1, 2, "d"]]}).is_success
