"""The gateway's HTTP interface as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from homeostat.entrypoints.gateway.desk import JSON, MOST_ROWS
from homeostat.entrypoints.gateway.inference import server_version
from homeostat.entrypoints.gateway.tensors import DATATYPES

Json: TypeAlias = dict[str, object]

PATH = "/openapi.json"
TEXT: Json = {"type": "string"}
NUMBER: Json = {"type": ["number", "null"]}
OWN, OIP, MLFLOW = "OwnError", "OipError", "MlflowError"
STATUSES = {
    400: "The request cannot be taken; the error says why.",
    404: "There is no such model or version.",
    409: "What the routes say does not allow it.",
    413: "The request is too large.",
    415: "Bodies of this kind are not read.",
    503: "Not ready, or more requests than can be answered in time.",
}
REFUSALS = (400, 404, 413, 415, 503)


def document(models: Sequence[str]) -> Json:
    """Return the document.

    Parameters
    ----------
    models : sequence of str
        Names of the models that are served.
    """
    model: Json = {
        "name": "model",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": list(models)},
    }
    version = {"name": "version", "in": "path", "required": True, "schema": TEXT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Homeostat gateway",
            "version": server_version(),
            "description": "Predictions in three protocols, and what is known of the models. "
            "From other machines than its own it takes calls with a bearer token only.",
        },
        "security": [{}, {"token": []}],
        "paths": {
            **_own(model),
            **_oip(model, []),
            **_oip({**model}, [version]),
            **_oip_server(),
            **_repository(model),
            **_mlflow(model),
        },
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(),
        },
    }


def _own(model: Json) -> Json:
    predictions = _object({"predictions": _list(_ref("Prediction"))}, "predictions")
    ready = _object({"ready": {"type": "boolean"}, "models": {"type": "object"}}, "ready")
    return {
        "/v1/models/{model}/predict": {
            "parameters": [model],
            "post": _operation("Predict", predictions, OWN, REFUSALS, _ref("Rows")),
        },
        "/health/live": {"get": _operation("Whether the process is alive", {"type": "object"})},
        "/health/ready": {
            "get": _operation("Whether every model has a champion", ready, also={503: ready})
        },
        "/metrics": {"get": _operation("Counters for Prometheus", TEXT, kind="text/plain")},
        PATH: {"get": _operation("This document", {"type": "object"})},
    }


def _oip(model: Json, more: list[Json]) -> Json:
    path = "/v2/models/{model}" + ("/versions/{version}" if more else "")
    ready = _ref("ModelReady")
    return {
        path: {
            "parameters": [model, *more],
            "get": _operation("Describe a model", _ref("ModelMetadata"), OIP, (404,)),
        },
        f"{path}/ready": {
            "parameters": [model, *more],
            "get": _operation("Whether it can answer", ready, OIP, (404,), also={503: ready}),
        },
        f"{path}/infer": {
            "parameters": [model, *more],
            "post": _operation(
                "Infer", _ref("InferResponse"), OIP, (*REFUSALS, 409), _ref("InferRequest")
            ),
        },
    }


def _oip_server() -> Json:
    ready = _object({"ready": {"type": "boolean"}}, "ready")
    names = {"name": TEXT, "version": TEXT, "extensions": _list(TEXT)}
    return {
        "/v2": {"get": _operation("Describe the server", _object(names, *names))},
        "/v2/health/live": {"get": _operation("Whether it is alive", {"type": "object"})},
        "/v2/health/ready": {
            "get": _operation("Whether every model can answer", ready, also={503: ready})
        },
    }


def _repository(model: Json) -> Json:
    item = {"name": TEXT, "version": TEXT, "state": TEXT, "reason": TEXT}
    asked: Json = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    base = "/v2/repository"
    done: Json = {"type": "object"}
    return {
        f"{base}/index": {
            "post": _operation(
                "List versions", _list(_object(item, *item)), OIP, (400, 413, 415), asked
            )
        },
        **{
            f"{base}/models/{{model}}/{verb}": {
                "parameters": [model],
                "post": _operation(f"{verb.capitalize()} a model", done, OIP, (404, 409)),
            }
            for verb in ("load", "unload")
        },
    }


def _mlflow(model: Json) -> Json:
    answered = {"predictions": _list(NUMBER), "answers": _list(_ref("Prediction"))}
    invoke = _operation(
        "Score rows", _object(answered, *answered), MLFLOW, REFUSALS, _ref("Invocation")
    )
    ping = _operation(
        "Whether every model can answer (404: not)", TEXT, also={404: TEXT}, kind="text/plain"
    )
    return {
        "/models/{model}/invocations": {"parameters": [model], "post": invoke},
        "/invocations": {"post": invoke},
        "/ping": {"get": ping},
        "/health": {"get": ping},
        "/version": {"get": _operation("The version of Homeostat", TEXT, kind="text/plain")},
    }


def _operation(
    summary: str,
    answer: Json,
    error: str = OWN,
    refusals: Sequence[int] = (),
    body: Json | None = None,
    *,
    also: Mapping[int, Json] | None = None,
    kind: str = JSON,
) -> Json:
    responses: dict[str, object] = {
        "200": {"description": summary, "content": {kind: {"schema": answer}}}
    }
    for status in refusals:
        content = {JSON: {"schema": _ref(error)}}
        responses[str(status)] = {"description": STATUSES[status], "content": content}
    for status, schema in (also or {}).items():
        content = {kind: {"schema": schema}}
        responses[str(status)] = {"description": STATUSES[status], "content": content}
    operation: Json = {"summary": summary, "responses": responses}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return operation


def _schemas() -> Json:
    declared = {"name": TEXT, "datatype": _enum(DATATYPES), "shape": _list({"type": "integer"})}
    output = {**declared, "data": {"type": "array"}, "parameters": {"type": "object"}}
    sizes = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    tensor = {**declared, "shape": {**sizes, "maxItems": 2}, "data": {"type": "array"}}
    tensor["parameters"] = {"type": ["object", "null"]}
    response = {"model_name": TEXT, "model_version": TEXT, "id": TEXT}
    wanted = _object({"name": TEXT, "parameters": {"type": ["object", "null"]}}, "name")
    described = {"name": TEXT, "versions": _list(TEXT), "platform": TEXT}
    tensors = _list(_object(declared, *declared))
    located: Json = {"message": TEXT, "row": {"type": ["integer", "null"]}, "column": TEXT}
    rows = {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_ROWS}
    return {
        "Rows": _object({"rows": rows}, "rows"),
        "Prediction": _object(
            {
                **dict.fromkeys(("prediction_id", "version", "tier", "reason"), TEXT),
                "score": NUMBER,
                "prediction": NUMBER,
                "probabilities": {"type": ["array", "null"], "items": NUMBER},
            },
            *("prediction_id", "score", "prediction", "version", "tier", "reason"),
        ),
        "ModelReady": _object({"name": TEXT, "ready": {"type": "boolean"}}, "name", "ready"),
        "ModelMetadata": _object(
            {**described, "inputs": tensors, "outputs": tensors}, *described, "inputs", "outputs"
        ),
        "InferRequest": _object(
            {
                "id": TEXT,
                "parameters": {"type": ["object", "null"]},
                "inputs": {**_list(_object(tensor, *declared)), "minItems": 1},
                "outputs": _list(wanted),
            },
            "inputs",
        ),
        "InferResponse": _object(
            {**response, "outputs": _list(_object(output, *declared))}, "model_name", "outputs"
        ),
        "Invocation": {"oneOf": _forms()},
        OWN: _object({"error": _object(located, *located)}, "error"),
        OIP: _object({"error": TEXT}, "error"),
        MLFLOW: _object({"error_code": TEXT, "message": TEXT}, "error_code", "message"),
    }


def _forms() -> list[Json]:
    split = _object({"columns": _list(TEXT), "data": {"type": "array"}}, "data")
    forms: dict[str, Json] = {
        "dataframe_split": split,
        "dataframe_records": {"type": "array"},
        "instances": {"type": "array"},
        "inputs": {"type": ["array", "object"]},
    }
    params: Json = {"type": ["object", "null"]}
    return [_object({name: form, "params": params}, name) for name, form in forms.items()]


def _object(properties: Mapping[str, object], *required: str) -> Json:
    return {"type": "object", "properties": dict(properties), "required": list(required)}


def _list(items: Mapping[str, object]) -> Json:
    return {"type": "array", "items": items}


def _enum(values: Sequence[str]) -> Json:
    return {"type": "string", "enum": list(values)}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
