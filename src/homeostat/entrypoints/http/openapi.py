"""The control plane's HTTP API as an OpenAPI document."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version as installed

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from homeostat.adapters.predlog.catalogue import Quarantined
from homeostat.adapters.predlog.quarantine import Refused
from homeostat.adapters.predlog.status import LogStatus
from homeostat.alerting.episode import IncidentState
from homeostat.alerting.silences import Silence
from homeostat.domain.decision import Decision, Diagnosis
from homeostat.domain.verdict import MetricPoint, Verdict
from homeostat.engine import commands
from homeostat.engine.orders import BY_HAND, BreakerOrder
from homeostat.engine.ports import Rejected
from homeostat.entrypoints.experiments import Standing
from homeostat.entrypoints.http.api import BASE
from homeostat.entrypoints.http.auth import Gate, Scope, Tokens
from homeostat.entrypoints.http.data import ACTIONS, MOST_ROWS
from homeostat.entrypoints.http.experiments import MOST_DAYS, MOST_RUNS
from homeostat.entrypoints.http.experiments import PATH as EXPERIMENTS
from homeostat.entrypoints.http.formats import ARROW, JSON, LINES
from homeostat.entrypoints.http.paging import PATH as BACK
from homeostat.entrypoints.http.problem import endpoint, reply
from homeostat.entrypoints.http.query import MOST
from homeostat.entrypoints.http.reports import MEDIA
from homeostat.entrypoints.http.reports import PATH as REPORTS
from homeostat.entrypoints.http.silencing import PATH as SILENCES
from homeostat.entrypoints.openapi import (
    ANY_OBJECT,
    PATH,
    TEXT,
    Json,
    a_list,
    a_ref,
    an_enum,
    an_object,
    answers,
    document,
    in_path,
    in_query,
    of_type,
)
from homeostat.entrypoints.reports import KINDS
from homeostat.entrypoints.silencing import FIELDS
from homeostat.entrypoints.steering import RolledBack

ABOUT = (
    "Predictions, labels and outcomes in; verdicts, metrics, decisions and incidents out; orders. "
    "From other machines than its own it takes calls with a bearer token only."
)
MEANT = {
    400: "The body cannot be read.",
    401: "There is no token, or it is not known.",
    403: "The token does not allow this.",
    404: "There is no such model.",
    408: "The body did not come in time.",
    413: "The body is too large.",
    415: "Bodies of this kind are not read.",
    422: "Something in the request is wrong; the error says what, where and what to do.",
    429: "Too much at once; Retry-After says when to come back.",
    503: "The records or the log do not answer; Retry-After says when to come back.",
}
LOOKING = (401, 403, 404, 422, 503)
SENDING = (400, *LOOKING, 408, 413, 415, 429)
TIME: Json = {"type": "string", "format": "date-time"}
SINCE = in_query("since", TIME, "From this time on.")
UNTIL = in_query("until", TIME, "Before this time.")


def described(models: Sequence[str], tokens: Tokens) -> list[BaseRoute]:
    """Return the route that gives the document to who may read."""
    gate = Gate(tokens)

    async def give(request: Request) -> Response:
        await gate.admit(request, Scope.READ)
        return reply(of(models))

    return [Route(PATH, endpoint(give), methods=["GET"])]


def of(models: Sequence[str]) -> Json:
    """Return the document.

    Parameters
    ----------
    models : sequence of str
        Names of the models there are.
    """
    model = f"{BASE}/models/{{model}}"
    parts = {**_looks(), **_log(), **_sent(), **_orders(), **_bandits()}
    paths = {
        f"{model}{path}": {"parameters": [in_path("model", models)], **item}
        for path, item in _together(parts).items()
    }
    whole: Json = {
        PATH: {"get": _ask("This document", ANY_OBJECT)},
        "/health/live": {"get": _ask("Whether the server answers", ANY_OBJECT, ())},
        "/health/ready": {"get": _ask("Whether its records do", ANY_OBJECT, (503,))},
        f"{BASE}/status": {"get": _ask("The log", an_object({"log": of_type(LogStatus)}, "log"))},
        f"{BASE}/models": {
            "get": _ask("All models", an_object({"models": a_list(a_ref("Model"))}, "models"))
        },
        **_silences(),
        REPORTS: _reports(models),
        **_experiments(),
        BACK: {"parameters": [in_path("receiver")], "post": _back()},
        **paths,
    }
    return document("Homeostat", installed("homeostat"), ABOUT, whole, _schemas())


def _together(parts: dict[tuple[str, str], Json]) -> dict[str, Json]:
    found: dict[str, Json] = {}
    for (path, method), operation in parts.items():
        found.setdefault(path, {})[method] = operation
    return found


def _looks() -> dict[tuple[str, str], Json]:
    limit = _limit(MOST)
    name = in_query("name", TEXT, "Only this metric.")
    segment = in_query("segment", TEXT, "Of these rows only; *: of each segment and of all.")
    queries: dict[str, tuple[Json, list[Json]]] = {
        "verdicts": (a_ref("Verdict"), [SINCE, UNTIL, limit]),
        "metrics": (a_ref("MetricPoint"), [SINCE, UNTIL, name, segment, limit]),
        "decisions": (a_ref("Decision"), [SINCE, UNTIL, limit]),
        "incidents": (a_ref("Incident"), [limit]),
        "quarantine": (a_ref("Quarantined"), [limit]),
        "breakers": (a_ref("BreakerOrder"), []),
    }
    why = an_object({"diagnosis": of_type(Diagnosis | None), "problem": TEXT}, "diagnosis")
    return {
        ("", "get"): _ask("One model", a_ref("Model")),
        ("/incidents/{key}", "get"): {
            **_ask("What happened in an incident", an_object({"incident": ANY_OBJECT}, "incident")),
            "parameters": [in_path("key")],
        },
        ("/diagnosis", "get"): _ask("What changed, and why", why),
        **{
            (f"/{field}", "get"): {
                **_ask(f"The newest {field}", an_object({field: a_list(item)}, field)),
                "parameters": parameters,
            }
            for field, (item, parameters) in queries.items()
        },
    }


def _silences() -> Json:
    shown = an_object({"silence": a_ref("Silence")}, "silence")
    listed = an_object({"silences": a_list(a_ref("Silence"))}, "silences")
    body = an_object(dict.fromkeys(FIELDS, TEXT), "owner", "reason")
    return {
        SILENCES: {
            "get": _ask("All silences, the newest first", listed),
            "post": _told("Tell nobody of some incidents for a while", shown, body, 201),
        },
        f"{SILENCES}/{{number}}/end": {
            "parameters": [in_path("number")],
            "post": _ask("End a silence now", shown),
        },
    }


def _kind(media: str) -> str:
    return media.partition(";")[0]


def _reports(models: Sequence[str]) -> Json:
    found = answers("A report", ANY_OBJECT, a_ref("Problem"), _meant(LOOKING))
    texts = {kind: {"schema": TEXT} for media in MEDIA.values() if (kind := _kind(media)) != JSON}
    responses = found["responses"]
    assert isinstance(responses, dict)
    responses["200"]["content"] |= texts
    form = in_query("format", an_enum(list(MEDIA)), "By default html.")
    as_of = in_query("as_of", TIME, "When it ends; by default now.")
    return {
        "parameters": [in_path("kind", KINDS), in_path("model", models)],
        "get": {**found, "parameters": [form, as_of]},
    }


def _experiments() -> Json:
    listed = an_object({"experiments": a_list(of_type(Standing))}, "experiments")
    one = an_object({"experiment": ANY_OBJECT}, "experiment")
    reason = an_object({"reason": TEXT})
    stop = an_object({"reason": TEXT, "promote": {"type": "boolean"}})
    days = in_query("days", _upto(MOST_DAYS), "How much of the past to look at.")
    runs = in_query("runs", _upto(MOST_RUNS), "Random splits of the past.")
    page = answers("A page", TEXT, a_ref("Problem"), _meant(LOOKING), kind="text/html")
    power = {**_ask("How large it has to be", ANY_OBJECT), "parameters": [days]}
    aa = {**_ask("How often it would ship by chance", ANY_OBJECT), "parameters": [days, runs]}
    operations: dict[str, Json] = {
        "": {"get": _ask("An experiment, and what came of it so far", one)},
        "/report": {"get": page},
        "/power": {"get": power},
        "/aa": {"get": aa},
        "/start": {"post": _told("Start it", one, reason, 201)},
        "/stop": {"post": _told("End it; with promote, roll its winner out", one, stop)},
    }
    return {EXPERIMENTS: {"get": _ask("All experiments", listed)}} | {
        f"{EXPERIMENTS}/{{name}}{path}": {"parameters": [in_path("name")], **operation}
        for path, operation in operations.items()
    }


def _upto(most: int) -> Json:
    return {"type": "integer", "minimum": 1, "maximum": most}


def _log() -> dict[tuple[str, str], Json]:
    rows = answers(
        "A page of rows; the header Homeostat-Next says where to go on",
        {"type": "string", "format": "binary"},
        a_ref("Problem"),
        _meant(LOOKING),
        kind=ARROW,
    )
    counts = an_object({"counts": a_list(of_type(Refused))}, "counts")
    return {
        ("/rows", "get"): {
            **rows,
            "parameters": [
                SINCE,
                UNTIL,
                in_query("as_of", TIME, "With the labels known at this time."),
                in_query("labels", an_enum(["true", "false"]), "With the labels known now."),
                _limit(MOST_ROWS),
            ],
        },
        ("/quarantine/counts", "get"): _ask("Refused rows by reason", counts),
    }


def _bandits() -> dict[tuple[str, str], Json]:
    listed = an_object({"bandits": a_list(ANY_OBJECT)}, "bandits")
    judged = an_object({"evaluation": ANY_OBJECT}, "evaluation")
    share = in_query("share", a_list(TEXT), "VERSION=SHARE, once for each arm.")
    rule = in_query("rule", a_list(TEXT), "CONDITION -> VERSION; the first that holds counts.")
    return {
        ("/bandits", "get"): _ask("The model's bandits and where they stand", listed),
        ("/bandits/{bandit}/evaluation", "get"): {
            **_ask("What other shares would have earned", judged),
            "parameters": [in_path("bandit"), share, rule],
        },
    }


def _sent() -> dict[tuple[str, str], Json]:
    found: dict[tuple[str, str], Json] = {}
    for field in ("predictions", "labels", "outcomes"):
        operation = _ask(f"Store {field}", a_ref("Receipt"), SENDING)
        rows = an_object({field: a_list(ANY_OBJECT)}, field)
        binary: Json = {"type": "string", "format": "binary"}
        kinds = {JSON: rows, **dict.fromkeys(sorted(LINES), TEXT), ARROW: binary}
        content = {kind: {"schema": schema} for kind, schema in kinds.items()}
        operation["requestBody"] = {"required": True, "content": content}
        key = "A repetition of a call with the same key is answered, and not stored again."
        operation["parameters"] = [
            {"name": "Idempotency-Key", "in": "header", "schema": TEXT, "description": key}
        ]
        found[f"/{field}", "post"] = operation
    event = _ask("Store one half of a call, a CloudEvent", a_ref("Receipt"), SENDING)
    waits = an_object({"waiting": {"type": "boolean"}}, "waiting")
    responses = event["responses"]
    assert isinstance(responses, dict)
    waiting = {"description": "It waits for the other half.", "content": {JSON: {"schema": waits}}}
    event["responses"] = {**responses, "202": waiting}
    event["requestBody"] = {"required": True, "content": {JSON: {"schema": ANY_OBJECT}}}
    event["parameters"] = [
        {"name": name, "in": "header", "schema": TEXT}
        for name in ("ce-id", "ce-type", "ce-time", "ce-endpoint")
    ]
    found["/payloads", "post"] = event
    return found


def _orders() -> dict[tuple[str, str], Json]:
    command = an_object(
        {"request": an_enum(list(commands.Request)), "subject": TEXT, "reason": TEXT}, "request"
    )
    order = an_object(
        {"version": TEXT, "order": an_enum(list(BY_HAND)), "reason": TEXT}, "version", "order"
    )
    numbers = a_list({"type": "integer"})
    change = an_object({"action": an_enum(ACTIONS), "numbers": numbers, "row": {}}, "action")
    submitted = an_object({"submitted": TEXT, "actor": TEXT}, "submitted", "actor")
    asked = an_object(
        {"submitted": TEXT, "actor": TEXT, "new": {"type": "boolean"}, "retraining": {}},
        "submitted", "actor", "new", "retraining",
    )  # fmt: skip
    retrain = _told("Ask for a retraining", asked, an_object({"reason": TEXT}, "reason"), 202)
    again = {"description": "It was asked for already.", "content": {JSON: {"schema": asked}}}
    responses = retrain["responses"]
    assert isinstance(responses, dict)
    retrain["responses"] = {**responses, "200": again}
    retrain["parameters"] = [{"name": "Idempotency-Key", "in": "header", "schema": TEXT}]
    ordered = an_object({"order": a_ref("BreakerOrder")}, "order")
    shares = {"type": "object", "additionalProperties": {"type": "number"}}
    arms = an_object({"shares": shares, "reason": TEXT, "deal": TEXT}, "shares")
    shadow = an_object({"version": TEXT, "on": {"type": "boolean"}, "reason": TEXT}, "version")
    beside = an_object({"arms": ANY_OBJECT, "shadows": a_list(TEXT)}, "arms", "shadows")
    return {
        ("/arms", "get"): _ask("Arms and shadows beside the rollout", beside),
        ("/arms", "post"): _told("Have versions answer fixed shares", beside, arms),
        ("/shadows", "post"): _told("Have a version score copies of requests", beside, shadow),
        ("/rollback", "post"): _rollback(),
        ("/rollout", "get"): _ask("The rollout, and challenger against champion", ANY_OBJECT),
        ("/commands", "post"): _told("Ask the engine for something", submitted, command, 202),
        ("/retrain", "post"): retrain,
        ("/breakers", "post"): _told("Order a version's breaker", ordered, order, 202),
        ("/quarantine", "post"): _told("Replay, drop or mend refused rows", ANY_OBJECT, change),
    }


def _back() -> Json:
    submitted = an_object({"submitted": {"type": ["string", "null"]}}, "submitted")
    meant = {status: MEANT[status] for status in (400, 408, 413, 422)}
    meant |= {401: "The secret is not this receiver's.", 404: "Nothing may come back from there."}
    found = answers("A receiver acknowledges or resolves", submitted, a_ref("Problem"), meant)
    found["requestBody"] = {"required": True, "content": {JSON: {"schema": ANY_OBJECT}}}
    return {**found, "security": []}


def _ask(summary: str, answer: Json, refusals: Sequence[int] = LOOKING) -> Json:
    return answers(summary, answer, a_ref("Problem"), _meant(refusals))


def _told(summary: str, answer: Json, body: Json, status: int = 200) -> Json:
    found = answers(summary, answer, a_ref("Problem"), _meant(SENDING), status=status)
    closed = {**body, "additionalProperties": False}
    found["requestBody"] = {"required": True, "content": {JSON: {"schema": closed}}}
    return found


def _rollback() -> Json:
    back = an_object({"rollback": of_type(RolledBack)}, "rollback")
    found = _told("Roll back at once", back, an_object({"reason": TEXT}))
    responses = found["responses"]
    assert isinstance(responses, dict)
    later = {"description": "The next tick does it.", "content": {JSON: {"schema": back}}}
    nothing = {"description": "Nothing came of it.", "content": responses["422"]["content"]}
    return {**found, "responses": {**responses, "202": later, "409": nothing}}


def _meant(statuses: Sequence[int]) -> dict[int, str]:
    return {status: MEANT[status] for status in statuses}


def _limit(most: int) -> Json:
    return in_query("limit", {"type": "integer", "minimum": 1, "maximum": most}, "At most so many.")


def _schemas() -> Json:
    count: Json = {"type": "integer"}
    receipt = {"accepted": count, "duplicates": count, "rejected": a_list(of_type(Rejected))}
    problem: Json = dict.fromkeys(("error", "field", "remedy"), TEXT)
    state = of_type(IncidentState)["properties"]
    assert isinstance(state, dict)
    own = {"key": TEXT, "open": {"type": "boolean"}}
    silence = of_type(Silence)["properties"]
    assert isinstance(silence, dict)
    orders = a_list(a_ref("BreakerOrder"))
    model = {"name": TEXT, "task": TEXT, "features": a_list(TEXT), "open_incidents": a_list(TEXT)}
    listed = {"rollout": ANY_OBJECT, "retraining": {}, "late": ANY_OBJECT, "breakers": orders}
    return {
        "Model": an_object({**model, **listed}, *model, *listed),
        "Verdict": of_type(Verdict),
        "MetricPoint": of_type(MetricPoint),
        "Decision": of_type(Decision),
        "Incident": an_object({**state, **own}, *own),
        "Silence": an_object({**silence, "standing": TEXT}, *silence, "standing"),
        "Quarantined": of_type(Quarantined),
        "BreakerOrder": of_type(BreakerOrder),
        "Receipt": an_object(receipt, *receipt),
        "Problem": an_object({**problem, **receipt}, *problem),
    }
