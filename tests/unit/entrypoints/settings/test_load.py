from datetime import timedelta
from pathlib import Path

import pytest

from homeostat.domain.errors import ConfigError
from homeostat.domain.model import ColumnKind, Task
from homeostat.entrypoints.settings import load, problems

MINIMAL = """\
models:
  - name: fraud
    task: binary
    features:
      amount: {kind: numeric, min: 0}
      country: categorical
    labels: {maturity: 60d}
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "homeostat.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_minimal_file_loads_with_defaults(tmp_path: Path) -> None:
    settings = load(write(tmp_path, MINIMAL))
    (spec,) = settings.specs
    assert spec.task is Task.BINARY
    assert spec.schema["amount"].minimum == 0
    assert spec.schema["country"].kind is ColumnKind.CATEGORICAL
    assert spec.labels.maturity == timedelta(days=60)
    assert settings.server.host == "127.0.0.1"
    assert list(settings.receivers) == ["console"]
    assert settings.file == tmp_path / "homeostat.yaml"


def test_features_keep_their_order(tmp_path: Path) -> None:
    text = MINIMAL.replace("country: categorical", "zip: numeric\n      age: numeric")
    assert load(write(tmp_path, text)).specs[0].schema.names == ("amount", "zip", "age")


# (a replacement in MINIMAL, line, field, part of the problem, part of the remedy)
MISTAKES = [
    ("task: binary", "task: binry", 3, "models.0.task", "'binry' is not known", "'binary'"),
    ("name: fraud", "nme: fraud", 2, "models.0.nme", "no setting", "did you mean 'name'?"),
    ("name: fraud", "name: a/b", 2, "models.0.name", "not a usable name", "letters"),
    ("name: fraud", "name: 7", 2, "models.0.name", "must be text, not 7", "quotes"),
    ("60d", "60", 7, "models.0.labels.maturity", "not a duration: 60", "10d"),
    ("60d", "0d", 7, "models.0.labels.maturity", "longer than zero", "10d"),
    ("60d", "99999999999999w", 7, "models.0.labels.maturity", "too long", "10d"),
    ("maturity: 60d", "", 7, "models.0.labels.maturity", "is missing", "add it"),
    ("{maturity: 60d}", "", 7, "models.0.labels", "has no value", "remove the line"),
    ("min: 0", "min: zero", 5, "models.0.features.amount.min", "a number, not 'zero'", "quotes"),
    ("min: 0", "min: .inf", 5, "models.0.features.amount.min", "finite", "number"),
    ("min: 0", "min: 3, max: 2", 5, "models.0.features.amount.min", "above max (2)", "swap"),
    ("min: 0", "nullable: 1", 5, "models.0.features.amount.nullable", "true or false", "true"),
    ("min: 0", "categories: [a]", 5, "models.0.features.amount.categories", "categorical", "rem"),
    ("country: categorical", "country: categoric", 6, "models.0.features.country", "not kn", ""),
    (
        "country: categorical",
        "country: {kind: categorical, min: 0}",
        6,
        "models.0.features.country.min",
        "numeric features",
        "remove",
    ),
    (
        "country: categorical",
        "country: {kind: categorical, categories: [a, a]}",
        6,
        "models.0.features.country.categories",
        "twice",
        "once",
    ),
    ("country: categorical", "score: numeric", 6, "models.0.features.score", "own", "rename"),
    ("country: categorical", "' ': numeric", 4, "models.0.features", "needs a name", "column"),
    (
        "country: categorical",
        "7: numeric",
        6,
        "models.0.features.7",
        "must be text, not 7",
        "quotes",
    ),
]

AT_MODEL = [
    ("classes: [a]", "models.0.classes", "two classes, not 1", "[negative, positive]"),
    ("classes: [a, a]", "models.0.classes", "twice", "once"),
    ("classes: 3", "models.0.classes", "must be a list", "[a, b]"),
    ("threshold: 1.0", "models.0.threshold", "less than 1", "correct"),
    ("threshold: '0.5'", "models.0.threshold", "must be a number", "without quotes"),
    ("budget: {alarms: 0}", "models.0.budget.alarms", "greater than 0", ""),
    ("monitors: {drift: {windw: 1d}}", "models.0.monitors.drift.windw", "no setting", "'window'"),
    ("monitors: {drift: {match: day}}", "models.0.monitors.drift.match", "'day'", "'hour'"),
    ("monitors: 3", "models.0.monitors", "must be a mapping", "key: value"),
    ("rollout: {ramp: [0.5, 0.1]}", "models.0.rollout.ramp", "must rise", "[0.1, 0.5]"),
    ("rollout: {shadow_min_rows: 1.5}", "models.0.rollout.shadow_min_rows", "whole", "decimals"),
    ("fallback: [{}]", "models.0.fallback.0", "exactly one", "keep one"),
    ("fallback: [{rules: []}]", "models.0.fallback.0.rules", "must not be empty", "add"),
    (
        "fallback: [{default: {score: 0}}, {cached: {}}]",
        "models.0.fallback.0",
        "answers always",
        "last",
    ),
    (
        "fallback: [{rules: [{when: amont > 5, score: 1}]}]",
        "models.0.fallback.0.rules.0.when",
        "amont",
        "",
    ),
    ("retraining: {trainer: train}", "models.0.retraining.trainer", "form", "train.py:train"),
    (
        "retraining: {trainer: 'a.py:b', hybrid: true}",
        "models.0.retraining.hybrid",
        "needs a schedule",
        "schedule: 30d",
    ),
    (
        "retraining: {trainer: 'a.py:b', data: {early: true}}",
        "models.0.retraining.data.early",
        "needs a refit",
        "refit: true",
    ),
    (
        "retraining: {trainer: 'a.py:b', data: {kinds: [lead]}}",
        "models.0.retraining.data.kinds.0",
        "'lead' is no feature",
        "name one",
    ),
    (
        "retraining: {trainer: 'a.py:b', data: {propensity: chance}}",
        "models.0.retraining.data.propensity",
        "neither a feature nor an outcome",
        "name one",
    ),
    (
        "retraining: {trainer: 'a.py:b', data: {negatives: 0}}",
        "models.0.retraining.data.negatives",
        "greater than 0",
        "",
    ),
    ("alerts: {receivers: [consle]}", "models.0.alerts.receivers.0", "no receiver", "'console'"),
    (
        "alerts: {escalation: [{after: 1h, receivers: [consle]}]}",
        "models.0.alerts.escalation.0.receivers.0",
        "no receiver is named 'consle'",
        "'console'",
    ),
    (
        "alerts: {escalation: [{after: 1h, receivers: []}]}",
        "models.0.alerts.escalation.0.receivers",
        "must not be empty",
        "at least one entry",
    ),
    (
        "alerts: {overrides: {data_falt: {}}}",
        "models.0.alerts.overrides.data_falt",
        "no alert rule",
        "'data_fault'",
    ),
    (
        "alerts: {overrides: {data_fault: {receivers: [x]}}}",
        "models.0.alerts.overrides.data_fault.receivers.0",
        "no receiver is named 'x'",
        "known: console",
    ),
]

AT_TOP = [
    ("server: {port: 99999}", "server.port", "less than or equal to 65535", ""),
    ("server: {prt: 1}", "server.prt", "no setting", "did you mean 'port'?"),
    (
        "gateway: {breaker: {last: 4, minimum: 5}}",
        "gateway.breaker.last",
        "(4) never hold",
        "raise last",
    ),
    ("gateway: {redis_env: 'redis://h'}", "gateway.redis_env", "not the name of an env", "put"),
    (
        "alerts: {escalation: [{after: 1h, receivers: [console]}, {after: 9m, receivers: [x]}]}",
        "alerts.escalation.1.after",
        "longer than that of the step before",
        "15m, 1h",
    ),
    (
        "alerts: {escalation: [{after: 0s, receivers: [console]}]}",
        "alerts.escalation.0.after",
        "longer than zero",
        "",
    ),
    ("records: here.db", "records", "not a database URL", "sqlite:///"),
    ("records: 'postgresql://u:hunter2@h/d'", "records", "holds a password", "records_env"),
    ("records_env: 'not a name'", "records_env", "not the name of an env", "environment"),
    ("receivers: {x: {type: fax}}", "receivers.x", "'fax' is not known", "'webhook'"),
    ("receivers: {x: {url: 'http://a'}}", "receivers.x", "has no type", "type: console"),
    ("receivers: {x: {type: webhook}}", "receivers.x", "exactly one of url, url_env", ""),
    ("receivers: {x: {type: webhook, url: 'ftp://a'}}", "receivers.x.url", "http", "https://"),
    ("receivers: {x: {type: webhook, url: 'http://[a'}}", "receivers.x.url", "not a URL", ""),
    ("receivers: {x: {type: webhook, url: 'http://u:p@h'}}", "receivers.x.url", "password", ""),
    ("receivers: {x: {type: console, ur: 1}}", "receivers.x.ur", "no setting", "known: type"),
]


def only_error(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert [str(error) for error in problems(path)] == [str(caught.value)]
    return caught.value


def check_error(error: ConfigError, line: int, field: str, problem: str, remedy: str) -> None:
    assert (error.line, error.field) == (line, field)
    assert problem in error.problem
    assert remedy in error.remedy
    assert "hunter2" not in str(error)


@pytest.mark.parametrize(("old", "new", "line", "field", "problem", "remedy"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_remedy(
    tmp_path: Path, old: str, new: str, line: int, field: str, problem: str, remedy: str
) -> None:
    path = write(tmp_path, MINIMAL.replace(old, new))
    error = next(error for error in problems(path) if error.field == field)
    check_error(error, line, field, problem, remedy)


@pytest.mark.parametrize(("text", "field", "problem", "remedy"), AT_MODEL)
def test_a_mistake_in_a_model(
    tmp_path: Path, text: str, field: str, problem: str, remedy: str
) -> None:
    error = only_error(write(tmp_path, f"{MINIMAL}    {text}\n"))
    check_error(error, 8, field, problem, remedy)


@pytest.mark.parametrize(("text", "field", "problem", "remedy"), AT_TOP)
def test_a_mistake_at_the_top(
    tmp_path: Path, text: str, field: str, problem: str, remedy: str
) -> None:
    error = only_error(write(tmp_path, f"{MINIMAL}{text}\n"))
    check_error(error, 8, field, problem, remedy)


def test_records_stands_alone(tmp_path: Path) -> None:
    path = write(tmp_path, f"{MINIMAL}records: sqlite:///x\nrecords_env: X\n")
    check_error(only_error(path), 9, "records_env", "beside records", "one of the two")


def test_tasks_and_classes(tmp_path: Path) -> None:
    multi = MINIMAL.replace("binary", "multiclass")
    check_error(only_error(write(tmp_path, multi)), 2, "models.0.classes", "at least two", "order")
    number = MINIMAL.replace("binary", "regression") + "    classes: [a, b]\n"
    check_error(only_error(write(tmp_path, number)), 8, "models.0.classes", "no classes", "remove")


def test_an_audit_column_is_boolean(tmp_path: Path) -> None:
    text = MINIMAL.replace("60d}", "60d, audit: {column: amount, maturity: 2d}}")
    field = "models.0.labels.audit.column"
    check_error(only_error(write(tmp_path, text)), 7, field, "numeric feature 'amount'", "boolean")
    spec = load(write(tmp_path, text.replace("column: amount", "column: audited"))).specs[0]
    assert spec.labels.audit is not None
    assert spec.labels.audit.maturity == timedelta(days=2)


def test_two_models_of_one_name(tmp_path: Path) -> None:
    second = MINIMAL.partition("\n")[2]
    error = only_error(write(tmp_path, MINIMAL + second))
    check_error(error, 8, "models.1.name", "also the name of models.0", "rename")


def test_all_problems_come_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, "server: {prt: 1}\nmodels:\n  - name: 7\n    task: x\ndat: 1\n")
    found = problems(path)
    with pytest.raises(ConfigError, match=r"server\.prt"):
        load(path)
    lines = [error.line for error in found]
    assert lines == sorted(lines, key=lambda line: line or 0)
    assert {"server.prt", "dat", "models.0.name", "models.0.labels"} <= {e.field for e in found}


def test_a_file_without_problems_has_none(tmp_path: Path) -> None:
    assert problems(write(tmp_path, MINIMAL)) == ()


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    (error,) = problems(tmp_path / "none.yaml")
    assert "no such file" in error.problem
