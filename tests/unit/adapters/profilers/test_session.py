"""Spark's failures in plain words, without Spark."""

import sys

import pytest

from homeostat.adapters.profilers.session import explained, spark_session
from homeostat.domain.errors import DataError, NotFoundError, UserError


class SparkError(Exception):
    """Stands for any of pyspark's errors."""


SparkError.__module__ = "pyspark.errors.exceptions.captured"


AnalysisException = type("AnalysisException", (SparkError,), {"__module__": SparkError.__module__})

JAVA = """An error occurred while calling o71.collectToPython.
: org.apache.spark.SparkException: Job aborted due to stage failure: Task 0 failed 1 times
\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:1)
Caused by: java.io.IOException: disk \x1b[31mfull
\t... 200 more"""


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (SparkError(JAVA), UserError, "java.io.IOException: disk  [31mfull"),
        (SparkError("[CAST_INVALID_INPUT] no int\nJVM stacktrace:\nX"), UserError, "no int"),
        (SparkError("[JAVA_GATEWAY_EXITED] gone"), UserError, "install a Java runtime"),
        (SparkError("[PACKAGE_NOT_INSTALLED] pandas"), UserError, "homeostat[spark]"),
        (SparkError("E: No module named 'homeostat'"), UserError, "executors lack homeostat"),
        (AnalysisException("[PATH_NOT_FOUND] Path /x"), NotFoundError, "Path /x"),
        (AnalysisException("[UNRESOLVED] z"), DataError, "z"),
        (SparkError("y" * 999), UserError, "y..."),
        (SparkError(""), UserError, "Spark's job failed"),
    ],
)
def test_failures_are_told_in_one_line(
    error: Exception, kind: type[UserError], message: str
) -> None:
    with pytest.raises(UserError) as caught, explained():
        raise error
    assert type(caught.value) is kind
    assert message in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_other_errors_pass() -> None:
    with pytest.raises(ZeroDivisionError), explained():
        raise ZeroDivisionError


def test_a_foreign_setting_is_refused() -> None:
    with (
        pytest.raises(UserError, match="'master' is no setting of Spark"),
        spark_session({"master": "local[2]"}),
    ):
        pass


def test_without_pyspark_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(UserError, match=r"homeostat\[spark\]"), spark_session({}):
        pass
