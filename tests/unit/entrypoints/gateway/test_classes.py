"""Models of several classes behind the gateway."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from homeostat.adapters.models import Term, save_softmax
from homeostat.domain.model import Task
from homeostat.domain.route import Route
from homeostat.serving.fallback import Fallback, parse_rules
from unit.entrypoints.gateway.gateway_world import World
from unit.entrypoints.gateway.test_app import PREDICT, talk

CLASSES = ("low", "middle", "high")


@pytest.fixture
def tone(world: World) -> World:
    world.spec = replace(world.spec, task=Task.MULTICLASS, classes=CLASSES)
    for version, weight in (("soft", 0.1), ("softer", 0.01)):
        save_softmax(
            world.root / version,
            [(0.0, [Term("amount", place * weight, mean=20.0)]) for place in range(3)],
        )
        world.register(version)
    return world


def chances(table: pa.Table) -> list[list[float] | None]:
    return table["probabilities"].to_pylist()


def test_probabilities_are_answered_and_logged(tone: World, rows: pa.Table) -> None:
    gateway = tone.gateway()
    gateway.routes.publish(Route("fraud", "soft", shadows=("softer",)))
    got = gateway.predict("fraud", rows)
    assert got["score"].to_pylist() == got["prediction"].to_pylist() == [0.0, 0.0, 2.0, 2.0]
    expected = np.exp(np.outer(rows["amount"].to_numpy() - 20.0, [0.0, 0.1, 0.2]))
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(np.array(chances(got)), expected)
    gateway.flush()
    logged = tone.logged().sort_by([("version", "ascending"), ("timestamp", "ascending")])
    assert logged["version"].to_pylist() == ["soft"] * 4 + ["softer"] * 4
    by_id = dict(zip(logged["prediction_id"].to_pylist()[:4], chances(logged)[:4], strict=True))
    assert [by_id[name] for name in got["prediction_id"].to_pylist()] == chances(got)
    assert all(row is not None and sum(row) == pytest.approx(1) for row in chances(logged))


def test_a_fallback_has_no_probabilities(tone: World, rows: pa.Table) -> None:
    rules = parse_rules([("amount > 25", 2.0)], tone.spec.schema)
    gateway = tone.gateway(Fallback((rules,), default=1.0))
    gateway.routes.publish(Route("fraud", "soft"))
    tone.backend.answers["soft"] = np.array([[0.1, 0.2, 0.7], [np.nan] * 3, [0.9] * 3, [0.6] * 3])
    got = gateway.predict("fraud", rows)
    assert got["score"].to_pylist() == [2.0, 1.0, 2.0, 2.0]
    assert got["tier"].to_pylist() == ["model", "default", "rules", "rules"]
    assert chances(got) == [[0.1, 0.2, 0.7], None, None, None]
    tone.backend.answers["soft"] = np.full((4, 2), 0.5)
    got = gateway.predict("fraud", rows)
    assert got["reason"].to_pylist() == ["error"] * 4
    assert chances(got) == [None] * 4


def test_a_version_may_give_classes_only(tone: World, rows: pa.Table) -> None:
    gateway = tone.gateway()
    gateway.routes.publish(Route("fraud", "soft"))
    tone.backend.answers["soft"] = np.array([0.0, 1.0, 2.0, 0.0])
    got = gateway.predict("fraud", rows)
    assert got["score"].to_pylist() == [0.0, 1.0, 2.0, 0.0]
    assert chances(got) == [None] * 4


def test_over_http(tone: World) -> None:
    gateway = tone.gateway()
    gateway.routes.publish(Route("fraud", "soft"))
    content = {"rows": [{"amount": 20.0}]}
    response = talk(gateway, lambda client: client.post(PREDICT, json=content))
    (first,) = response.json()["predictions"]
    assert first["probabilities"] == pytest.approx([1 / 3] * 3)
