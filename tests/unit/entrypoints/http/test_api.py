from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from asgi import Caller
from homeostat.adapters.predlog.log import FilePredictionLog
from homeostat.adapters.records.database import DatabaseRecords
from homeostat.alerting.episode import IncidentState, Stage
from homeostat.domain.decision import Cause, Decision, Diagnosis, Severity
from homeostat.domain.errors import StorageError
from homeostat.domain.explanation import Action, Explanation
from homeostat.domain.explanation import Test as Evidence
from homeostat.domain.model import Column, ColumnKind, LabelSpec, ModelSpec, Schema, Task
from homeostat.domain.verdict import MetricPoint, Monitor, Status, Verdict
from homeostat.domain.window import Window
from homeostat.engine.commands import Inbox, Request, inbox_key
from homeostat.engine.explanations import ExplanationMemory, explanation_key
from homeostat.engine.late import LateMemory, late_key
from homeostat.engine.watch import fresh, incident_key, watch_key
from homeostat.entrypoints.http.api import api
from homeostat.entrypoints.http.auth import Scope, Tokens

NOW = datetime(2024, 3, 1, 12, tzinfo=UTC)
NAN = float("nan")
COLUMNS = Schema(
    (
        Column("amount", ColumnKind.NUMERIC),
        Column("country", ColumnKind.CATEGORICAL),
        Column("night", ColumnKind.BOOLEAN),
    )
)
SPEC = ModelSpec(
    "fraud", Task.BINARY, COLUMNS, LabelSpec(timedelta(days=30)), classes=("no", "yes")
)
PRICE = ModelSpec("price", Task.REGRESSION, COLUMNS, LabelSpec(timedelta(days=1)))
TONE = ModelSpec(
    "tone", Task.MULTICLASS, COLUMNS, LabelSpec(timedelta(days=1)), classes=("bad", "so", "good")
)
BASE = "/api/v1/models/fraud"
WINDOW = Window(NOW - timedelta(days=1), NOW)


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return 0.0


@dataclass
class World:
    records: DatabaseRecords
    log: FilePredictionLog
    tokens: Tokens
    client: Caller

    def post(self, path: str, body: Any, **headers: str) -> Any:
        return self.client.post(f"{BASE}/{path}", json=body, headers=headers)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    clock = FixedClock()
    records = DatabaseRecords(f"sqlite:///{tmp_path}/records.db", clock)
    log = FilePredictionLog(tmp_path / "log", records, fsync=False)
    tokens = Tokens(records)
    routes = api(records, log, [SPEC, PRICE, TONE], clock, tokens, max_bytes=20_000)
    app = Starlette(routes=routes)
    yield World(records, log, tokens, Caller(app, "http://127.0.0.1:8420"))
    log.close()
    records.close()


def record(key: str, **more: Any) -> dict[str, Any]:
    made = {"prediction_id": key, "timestamp": NOW.isoformat(), "version": "v1"}
    return made | {"score": 0.7, "amount": 3} | more


def test_predictions_and_labels_go_in_once(world: World) -> None:
    body = {"predictions": [record("a"), record("b", score=0.2, night=True, country="PT")]}
    answer = world.post("predictions", body)
    assert (answer.status_code, answer.json()) == (
        200,
        {"accepted": 2, "duplicates": 0, "rejected": []},
    )
    assert world.post("predictions", body).json()["duplicates"] == 2
    labels = {"labels": [{"prediction_id": "a", "label": 1}, {"prediction_id": "b", "label": "no"}]}
    assert world.post("labels", labels).json()["accepted"] == 2
    rows = world.log.labelled(SPEC, Window(NOW, NOW + timedelta(hours=1)), NOW).to_pylist()
    assert [(r["prediction"], r["label"], r["arrival"]) for r in rows] == [
        (1.0, 1.0, NOW),
        (0.0, 0.0, NOW),
    ]
    assert (rows[0]["role"], rows[0]["tier"], rows[1]["country"]) == ("champion", "model", "PT")


def test_of_several_classes_the_class_follows_from_the_probabilities(world: World) -> None:
    def sent(key: str, **more: Any) -> dict[str, Any]:
        row = record(key, **more)
        return row if "score" in more else {k: v for k, v in row.items() if k != "score"}

    rows = [
        sent("a", probabilities=[0.1, 0.2, 0.7]),
        sent("b", probabilities={"so": 0.5, "good": 0.1, "bad": 0.4}),
        sent("c", probabilities=[0.1, 0.2, 0.7], prediction="so"),
        sent("d", score="good"),
        sent("e", score=1, prediction=2),
    ]
    answer = world.client.post("/api/v1/models/tone/predictions", json={"predictions": rows})
    assert answer.json() == {"accepted": 5, "duplicates": 0, "rejected": []}
    stored = world.log.rows(TONE, Window(NOW, NOW + timedelta(hours=1))).to_pylist()
    assert [(r["score"], r["prediction"], r["probabilities"]) for r in stored] == [
        (2.0, 2.0, [0.1, 0.2, 0.7]),
        (1.0, 1.0, [0.4, 0.5, 0.1]),
        (1.0, 1.0, [0.1, 0.2, 0.7]),
        (2.0, 2.0, None),
        (1.0, 2.0, None),
    ]


BAD_CHANCES = [
    ({"score": None}, "score", "is missing; send the class, or probabilities"),
    ({"score": 3}, "score", "must be a class index from 0 to 2"),
    ({"score": "fair"}, "score", "unknown class 'fair'; there are bad, so, good"),
    ({"prediction": 0.5}, "prediction", "must be a class index"),
    ({"probabilities": 0.5}, "probabilities", "must be a list of numbers, one a class, not 0.5"),
    ({"probabilities": []}, "probabilities", "must be a list of numbers"),
    ({"probabilities": [0.5, "0.5"]}, "probabilities", "must be a number"),
    ({"probabilities": {"bad": 1}}, "probabilities", "must name each class once: bad, so, good"),
    ({"probabilities": [0.5, 0.5]}, "probabilities", "must be 3, one a class"),
    ({"probabilities": [2, 0, -1]}, "probabilities", "must be numbers from 0 to 1"),
    ({"probabilities": [0.2, 0.2, 0.2]}, "probabilities", "must add up to 1"),
]


@pytest.mark.parametrize(("fields", "column", "reason"), BAD_CHANCES)
def test_bad_probabilities_are_quarantined(
    world: World, fields: dict[str, Any], column: str, reason: str
) -> None:
    rows = [record("x", score=1), record("a", score=0) | fields]
    answer = world.client.post("/api/v1/models/tone/predictions", json={"predictions": rows})
    assert answer.json()["accepted"] == 1
    (rejected,) = answer.json()["rejected"]
    assert (rejected["row"], rejected["column"]) == (1, column)
    assert reason in rejected["reason"]
    (kept,) = world.log.quarantined("tone")
    assert (kept.column, kept.reason) == (column, rejected["reason"])


def test_a_prediction_without_timestamp_is_refused_with_a_remedy(world: World) -> None:
    row = record("a")
    del row["timestamp"]
    answer = world.post("predictions", {"predictions": [row]})
    assert answer.status_code == 422
    assert answer.json()["field"] == "predictions.0.timestamp"
    assert "the same one when you send it again" in answer.json()["error"]


def test_a_label_for_an_unknown_id_is_kept(world: World) -> None:
    answer = world.post("labels", {"labels": [{"prediction_id": "never", "label": True}]})
    assert answer.json()["accepted"] == 1
    assert world.log.orphans(SPEC, NOW + timedelta(seconds=1)) == 1


BAD_ROWS = [
    (3, "", "must be a JSON object"),
    (record(""), "prediction_id", "must be text"),
    (record("a", score="0.5"), "score", "must be a number, not '0.5'"),
    (record("a", score=True), "score", "must be a number, not True"),
    (record("a", score=None), "score", "missing"),
    (record("a", role="king"), "role", "one of champion, challenger, shadow"),
    (record("a", amount="x" * 99), "amount", "must be a number"),
    (record("a", country=7), "country", "must be text, not 7"),
    (record("a", night=0), "night", "must be true or false"),
    (record("a", amuont=7), "amuont", "unknown column; known: prediction_id"),
    (record("a", timestamp=None), "timestamp", "is missing; send the time of the prediction"),
    (record("a", timestamp=5), "timestamp", "must be a time"),
    (record("a", timestamp="noon"), "timestamp", "must be a time, not 'noon'"),
    (record("a", timestamp="2024-03-01T12:00:00"), "timestamp", "has no time zone"),
    (record("a", timestamp="0001-01-01T00:00:00+14:00"), "timestamp", "must be a time"),
    (record("a", timestamp="2024-03-01T13:00:00Z"), "timestamp", "future"),
]


@pytest.mark.parametrize(("row", "column", "reason"), BAD_ROWS)
def test_a_bad_row_is_quarantined_and_its_neighbours_go_on(
    world: World, row: object, column: str, reason: str
) -> None:
    answer = world.post("predictions", {"predictions": [record("x"), row, record("y")]})
    assert answer.status_code == 200
    body = answer.json()
    (rejected,) = body["rejected"]
    assert body["accepted"] == 2
    assert (rejected["row"], rejected["column"]) == (1, column)
    assert reason in rejected["reason"]
    (kept,) = world.client.get(f"{BASE}/quarantine").json()["quarantine"]
    assert kept["column"] == column
    assert reason in kept["reason"]


BAD_LABELS = [(2, "index from 0 to 1"), ("maybe", "unknown class"), (0.5, "index"), ([], "number")]


@pytest.mark.parametrize(("label", "reason"), BAD_LABELS)
def test_a_request_of_which_nothing_is_taken_is_an_error(
    world: World, label: object, reason: str
) -> None:
    answer = world.post("labels", {"labels": [{"prediction_id": "a", "label": label}]})
    assert answer.status_code == 422
    body = answer.json()
    assert reason in body["error"]
    assert body["field"] == "labels.0.label"
    assert body["remedy"]


def test_a_number_label_of_a_regression(world: World) -> None:
    send = world.client.post
    body = {"labels": [{"prediction_id": "a", "label": 7.5}, {"prediction_id": "b", "label": "7"}]}
    answer = send("/api/v1/models/price/labels", json=body).json()
    assert (answer["accepted"], answer["rejected"][0]["row"]) == (1, 1)


@pytest.mark.parametrize(
    ("content", "kind", "status", "said"),
    [
        (b"{}", "text/plain", 415, "content type is 'text/plain'"),
        (b"{}", "", 415, "no content type"),
        (b'{"labels": [', "application/json", 400, "not JSON"),
        (b'{"labels": [NaN}', "application/json", 400, "not JSON"),
        (b"[]", "application/json", 422, "must be a JSON object"),
        (b"{}", "application/json; charset=utf-8", 422, "labels is missing"),
        (b'{"labels": {}}', "application/json", 422, "labels must be a list"),
        (b'{"label": []}', "application/json", 422, "unknown field"),
        (b'{"labels": [' + b" " * 30_000 + b"]}", "application/json", 413, "larger than 20000"),
    ],
)
def test_bad_requests(world: World, content: bytes, kind: str, status: int, said: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = world.client.post(f"{BASE}/labels", content=content, headers=headers)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert set(answer.json()) == {"error", "field", "remedy"}


def test_a_large_body_of_unknown_length_is_cut_off(world: World) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 1000

    headers = {"Content-Type": "application/json"}
    answer = world.client.post(f"{BASE}/labels", content=chunks(), headers=headers)
    assert answer.status_code == 413


def test_unknown_models_and_paths(world: World) -> None:
    answer = world.client.get("/api/v1/models/fruad/verdicts")
    assert answer.status_code == 404
    assert answer.json()["remedy"] == "known models: fraud, price, tone"
    assert world.client.get("/api/v1/nothing").status_code == 404
    assert world.client.get(f"{BASE}/labels").status_code in {404, 405}


def fill(world: World) -> None:
    verdict = Verdict(
        Monitor.DATA_DRIFT, "fraud", "amount", WINDOW, Status.DRIFT, NAN, 0.1, 9.0, 8.0, NAN, 5, 5,
        "r",
    )  # fmt: skip
    incident = IncidentState(
        "fraud", "data_fault", Stage.FIRING, 1, Severity.CRITICAL, fired_at=NOW
    )
    with world.records.begin() as uow:
        uow.judge(verdict)
        whole = MetricPoint("fraud", "v1", "auc", WINDOW, 0.8, 0.7, 0.9, 100)
        uow.measure(whole, replace(whole, value=0.6, segment="land=FR"))
        uow.decide(Decision("fraud", NOW, "homeostat", "promote", "v2", "better"))
        uow.save(incident_key("fraud", "data_fault"), incident)
        uow.save(late_key("fraud"), LateMemory(rows=12, labels=3, corrected=1, told=NOW))


def test_what_is_known_can_be_read(world: World) -> None:
    fill(world)
    get = world.client.get
    (verdict,) = get(f"{BASE}/verdicts").json()["verdicts"]
    assert (verdict["status"], verdict["score"]) == ("drift", None)
    assert get(f"{BASE}/metrics?name=auc").json()["metrics"][0]["value"] == 0.8
    assert get(f"{BASE}/metrics?name=f1").json()["metrics"] == []
    for query, values in (("", [0.8]), ("?segment=land%3DFR", [0.6]), ("?segment=*", [0.8, 0.6])):
        found = get(f"{BASE}/metrics{query}").json()["metrics"]
        assert [point["value"] for point in found] == values
    assert get(f"{BASE}/decisions").json()["decisions"][0]["action"] == "promote"
    (incident,) = get(f"{BASE}/incidents").json()["incidents"]
    assert (incident["key"], incident["open"]) == ("fraud:data_fault:1", True)
    models = get("/api/v1/models").json()["models"]
    assert [m["name"] for m in models] == ["fraud", "price", "tone"]
    assert models[0]["open_incidents"] == ["fraud:data_fault:1"]
    late = {name: models[0]["late"][name] for name in ("rows", "labels", "corrected")}
    assert late == {"rows": 12, "labels": 3, "corrected": 1}
    assert models[1]["late"] == {"rows": 0, "labels": 0, "corrected": 0, "told": None}
    assert get(BASE).json()["rollout"]["stage"] == "empty"


def test_why_something_changed_can_be_read(world: World) -> None:
    get = world.client.get
    nothing = get(f"{BASE}/diagnosis").json()
    assert (nothing["diagnosis"], nothing["explanation"], nothing["broken"]) == (None, None, [])
    found = Diagnosis(Cause.LABEL_SHIFT, (), "Recalibrate.", "Scores moved.", retrain=False)
    test = Evidence("inputs", NAN, 0.1)
    told = Explanation(
        Cause.LABEL_SHIFT, (Cause.LABEL_SHIFT,), False, Action.RECALIBRATE, "a", "t", tests=(test,)
    )
    with world.records.begin() as uow:
        uow.save(
            watch_key("fraud"), replace(fresh("fraud", "1", NOW, ("matured",)), diagnosis=found)
        )
        uow.save(
            explanation_key("fraud"),
            ExplanationMemory("1", NOW, NOW, looked=NOW, explanation=told),
        )
    said = get(f"{BASE}/diagnosis").json()
    assert said["diagnosis"]["cause"] == "label_shift"
    assert said["explanation"]["action"] == "recalibrate"
    assert said["explanation"]["tests"][0]["p_value"] is None
    assert datetime.fromisoformat(said["since"]) == NOW


def test_periods_and_limits(world: World) -> None:
    fill(world)
    get = world.client.get
    later = "2024-03-01T13:00:00+00:00"
    assert get(f"{BASE}/verdicts?since={later}").json()["verdicts"] == []
    assert len(get(f"{BASE}/verdicts?until=2024-03-01T13:00:00Z").json()["verdicts"]) == 1
    for query in ("since=noon", "since=2024-03-01", "limit=0", "limit=x", "limit=99999"):
        answer = get(f"{BASE}/verdicts?{query}")
        assert answer.status_code == 422
        assert answer.json()["field"] == query.partition("=")[0]


def test_commands_land_in_the_inbox_with_their_actor(world: World) -> None:
    body = {"request": "push", "subject": "v7", "reason": "hot fix"}
    answer = world.post("commands", body)
    assert (answer.status_code, answer.json()) == (202, {"submitted": "push", "actor": "local"})
    inbox = world.records.read(inbox_key("fraud"), Inbox)
    assert inbox is not None
    (command,) = inbox.commands
    assert (command.request, command.subject, command.at) == (Request.PUSH, "v7", NOW)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "request"),
        ({"request": "explode"}, "request"),
        ({"request": "push"}, "subject"),
        ({"request": "abort", "why": "x"}, "why"),
        ({"request": "abort", "reason": 3}, "reason"),
    ],
)
def test_wrong_commands(world: World, body: dict[str, object], field: str) -> None:
    answer = world.post("commands", body)
    assert (answer.status_code, answer.json()["field"]) == (422, field)


def test_each_scope_opens_its_own_doors(world: World) -> None:
    doors = {
        Scope.READ: lambda h: world.client.get(f"{BASE}/verdicts", headers=h),
        Scope.INGEST: lambda h: world.post("labels", {"labels": []}, **h),
        Scope.OPERATE: lambda h: world.post("commands", {"request": "abort"}, **h),
    }
    secrets = {scope: world.tokens.create(scope.value, [scope], NOW) for scope in Scope}
    for held, secret in secrets.items():
        for needed, door in doors.items():
            answer = door({"Authorization": f"Bearer {secret}"})
            assert (answer.status_code < 400) == (held is needed)
            assert held is needed or answer.status_code == 403
    for door in doors.values():
        for headers in ({}, {"Authorization": "Bearer guess"}, {"Authorization": "Digest x"}):
            answer = door(headers)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_a_failing_store_is_503_and_says_to_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(world.records, "verdicts", broken)
    answer = world.client.get(f"{BASE}/verdicts")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert answer.json()["error"] == "the disk is full"
