"""The gateway's HTTP interface as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from homeostat.entrypoints.gateway.desk import MOST_ROWS
from homeostat.entrypoints.gateway.inference import server_version
from homeostat.entrypoints.gateway.tensors import DATATYPES
from homeostat.entrypoints.openapi import (
    JSON,
    NUMBER,
    PATH,
    TEXT,
    Json,
    a_list,
    a_ref,
    an_enum,
    an_object,
    answers,
    in_path,
)
from homeostat.entrypoints.openapi import document as whole

__all__ = ["PATH", "document"]

ABOUT = (
    "Predictions in three protocols, and what is known of the models. "
    "From other machines than its own it takes calls with a bearer token only."
)
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
    model, version = in_path("model", models), in_path("version")
    paths: Json = {
        **_own(model),
        **_oip(model, []),
        **_oip({**model}, [version]),
        **_oip_server(),
        **_repository(model),
        **_mlflow(model),
    }
    return whole("Homeostat gateway", server_version(), ABOUT, paths, _schemas())


def _own(model: Json) -> Json:
    predictions = an_object({"predictions": a_list(a_ref("Prediction"))}, "predictions")
    ready = an_object({"ready": {"type": "boolean"}, "models": {"type": "object"}}, "ready")
    return {
        "/v1/models/{model}/predict": {
            "parameters": [model],
            "post": _operation("Predict", predictions, OWN, REFUSALS, a_ref("Rows")),
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
    ready = a_ref("ModelReady")
    return {
        path: {
            "parameters": [model, *more],
            "get": _operation("Describe a model", a_ref("ModelMetadata"), OIP, (404,)),
        },
        f"{path}/ready": {
            "parameters": [model, *more],
            "get": _operation("Whether it can answer", ready, OIP, (404,), also={503: ready}),
        },
        f"{path}/infer": {
            "parameters": [model, *more],
            "post": _operation(
                "Infer", a_ref("InferResponse"), OIP, (*REFUSALS, 409), a_ref("InferRequest")
            ),
        },
    }


def _oip_server() -> Json:
    ready = an_object({"ready": {"type": "boolean"}}, "ready")
    names = {"name": TEXT, "version": TEXT, "extensions": a_list(TEXT)}
    return {
        "/v2": {"get": _operation("Describe the server", an_object(names, *names))},
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
                "List versions", a_list(an_object(item, *item)), OIP, (400, 413, 415), asked
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
    answered = {"predictions": a_list(NUMBER), "answers": a_list(a_ref("Prediction"))}
    invoke = _operation(
        "Score rows", an_object(answered, *answered), MLFLOW, REFUSALS, a_ref("Invocation")
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
    meant = {status: STATUSES[status] for status in refusals}
    operation = answers(summary, answer, a_ref(error), meant, kind=kind)
    responses = operation["responses"]
    assert isinstance(responses, dict)
    for status, schema in (also or {}).items():
        content = {kind: {"schema": schema}}
        responses[str(status)] = {"description": STATUSES[status], "content": content}
    if body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": body}}}
    return operation


def _schemas() -> Json:
    declared = {"name": TEXT, "datatype": an_enum(DATATYPES), "shape": a_list({"type": "integer"})}
    output = {**declared, "data": {"type": "array"}, "parameters": {"type": "object"}}
    sizes = {"type": "array", "items": {"type": "integer", "minimum": 0}, "minItems": 1}
    tensor = {**declared, "shape": {**sizes, "maxItems": 2}, "data": {"type": "array"}}
    tensor["parameters"] = {"type": ["object", "null"]}
    response = {"model_name": TEXT, "model_version": TEXT, "id": TEXT}
    wanted = an_object({"name": TEXT, "parameters": {"type": ["object", "null"]}}, "name")
    described = {"name": TEXT, "versions": a_list(TEXT), "platform": TEXT}
    tensors = a_list(an_object(declared, *declared))
    located: Json = {"message": TEXT, "row": {"type": ["integer", "null"]}, "column": TEXT}
    rows = {"type": "array", "items": {"type": "object"}, "minItems": 1, "maxItems": MOST_ROWS}
    return {
        "Rows": an_object({"rows": rows}, "rows"),
        "Prediction": an_object(
            {
                **dict.fromkeys(("prediction_id", "version", "tier", "reason"), TEXT),
                "score": NUMBER,
                "prediction": NUMBER,
                "probabilities": {"type": ["array", "null"], "items": NUMBER},
            },
            *("prediction_id", "score", "prediction", "version", "tier", "reason"),
        ),
        "ModelReady": an_object({"name": TEXT, "ready": {"type": "boolean"}}, "name", "ready"),
        "ModelMetadata": an_object(
            {**described, "inputs": tensors, "outputs": tensors}, *described, "inputs", "outputs"
        ),
        "InferRequest": an_object(
            {
                "id": TEXT,
                "parameters": {"type": ["object", "null"]},
                "inputs": {**a_list(an_object(tensor, *declared)), "minItems": 1},
                "outputs": a_list(wanted),
            },
            "inputs",
        ),
        "InferResponse": an_object(
            {**response, "outputs": a_list(an_object(output, *declared))}, "model_name", "outputs"
        ),
        "Invocation": {"oneOf": _forms()},
        OWN: an_object({"error": an_object(located, *located)}, "error"),
        OIP: an_object({"error": TEXT}, "error"),
        MLFLOW: an_object({"error_code": TEXT, "message": TEXT}, "error_code", "message"),
    }


def _forms() -> list[Json]:
    split = an_object({"columns": a_list(TEXT), "data": {"type": "array"}}, "data")
    forms: dict[str, Json] = {
        "dataframe_split": split,
        "dataframe_records": {"type": "array"},
        "instances": {"type": "array"},
        "inputs": {"type": ["array", "object"]},
    }
    params: Json = {"type": ["object", "null"]}
    return [an_object({name: form, "params": params}, name) for name, form in forms.items()]
