"""Configuration for proxies: names of fields as the published definitions have them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from homeostat.domain.errors import ConfigError
from homeostat.domain.route import Route
from homeostat.entrypoints.gateway.mesh import Mesh, Split, render
from homeostat.serving.breaker import BreakerConfig

CANARY = Route("Fraud_1", "v1", "v2", 0.126, ("v3",))
CONFIG = BreakerConfig(faults=7, cooldown=45.0, share=0.4)

FIELDS: dict[str, list[str]] = json.loads(Path(__file__).with_name("mesh_fields.json").read_text())
"""The fields that there are, by document and path: benchmarks/gateway/mesh_reference.py."""


def documents(mesh: Mesh, route: Route = CANARY, at: str = "") -> list[Any]:
    return list(yaml.safe_load_all(render(mesh, [Split(route, CONFIG, 0.2, at)])))


def strange(tree: object, at: str) -> Iterator[str]:
    """Yield fields that are not defined; below what has free keys, such as labels, any are."""
    if isinstance(tree, list):
        for part in tree:
            yield from strange(part, at)
    elif isinstance(tree, dict) and at in FIELDS:
        yield from (f"{at}.{name}" for name in tree if name not in FIELDS[at])
        for name, part in tree.items():
            yield from strange(part, f"{at}.{name}")


@pytest.mark.parametrize("route", [CANARY, Route("m", "v1")], ids=["canary", "champion"])
@pytest.mark.parametrize("mesh", Mesh)
def test_every_field_is_one_that_the_published_definitions_have(mesh: Mesh, route: Route) -> None:
    for document in documents(mesh, route):
        if mesh is Mesh.ENVOY:
            clusters = document.pop("clusters")
            parts = {"config.route.v3.RouteConfiguration": document}
            parts["config.cluster.v3.Cluster"] = clusters
            roots = {f"envoy.{name}": part for name, part in parts.items()}
        else:
            roots = {f"{document['apiVersion']} {document['kind']}.spec": document["spec"]}
        assert roots.keys() <= FIELDS.keys()
        assert [name for at, tree in roots.items() for name in strange(tree, at)] == []


def test_envoy_splits_mirrors_and_ejects() -> None:
    (found,) = documents(Mesh.ENVOY)
    (rule,) = found["virtual_hosts"][0]["routes"]
    action = rule["route"]
    assert action["weighted_clusters"]["clusters"] == [
        {"name": "fraud-1-v1", "weight": 8740},
        {"name": "fraud-1-v2", "weight": 1260},
    ]
    assert action["weighted_clusters"]["use_hash_policy"] is True
    (policy,) = action["hash_policy"]
    assert policy == {"header": {"header_name": "x-homeostat-entity"}}
    assert action["request_mirror_policies"] == [{"cluster": "fraud-1-v3"}]
    assert action["timeout"] == "0.2s"
    assert [cluster["name"] for cluster in found["clusters"]] == [
        "fraud-1-v1", "fraud-1-v2", "fraud-1-v3",
    ]  # fmt: skip
    cluster = found["clusters"][0]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    assert endpoint["endpoint"]["address"]["socket_address"] == {
        "address": "fraud_1-v1",
        "port_value": 8080,
    }
    outliers = cluster["outlier_detection"]
    assert (outliers["consecutive_5xx"], outliers["base_ejection_time"]) == (7, "45s")
    assert outliers["failure_percentage_threshold"] == 40


def test_istio_splits_mirrors_and_ejects() -> None:
    rule, service = documents(Mesh.ISTIO, at="fraud.models.svc.cluster.local")
    assert [each["kind"] for each in (rule, service)] == ["DestinationRule", "VirtualService"]
    assert {each["apiVersion"] for each in (rule, service)} == {"networking.istio.io/v1"}
    outliers = rule["spec"]["trafficPolicy"]["outlierDetection"]
    assert outliers["consecutive5xxErrors"] == 7
    assert rule["spec"]["subsets"][1] == {"name": "v2", "labels": {"version": "v2"}}
    (http,) = service["spec"]["http"]
    assert [part["weight"] for part in http["route"]] == [87, 13]
    assert {part["destination"]["host"] for part in http["route"]} == {
        "fraud.models.svc.cluster.local"
    }
    assert http["mirrors"][0]["destination"]["subset"] == "v3"


def test_trap_canary_traffic_percent_is_ignored_without_knative() -> None:
    (found,) = documents(Mesh.KSERVE)
    assert found["metadata"]["annotations"] == {"serving.kserve.io/deploymentMode": "Serverless"}
    predictor = found["spec"]["predictor"]
    assert predictor["canaryTrafficPercent"] == 13
    assert predictor["model"]["storageUri"] == "s3://models/Fraud_1/v2"
    assert "canaryTrafficPercent without a word" in render(
        Mesh.KSERVE, [Split(CANARY, CONFIG, 0.2)]
    )


@pytest.mark.parametrize("mesh", Mesh)
def test_a_champion_alone_gets_everything(mesh: Mesh) -> None:
    text = render(mesh, [Split(Route("m", "v1"), CONFIG, 1.0)] * 2)
    parts = list(yaml.safe_load_all(text))
    assert len(parts) == (4 if mesh is Mesh.ISTIO else 2)
    weights = [number for part in parts for number in found(part, "weight")]
    assert weights in ([], [100, 100], [10_000, 10_000])
    assert "canaryTrafficPercent:" not in text


def found(tree: object, key: str) -> Iterator[Any]:
    if isinstance(tree, dict):
        for name, value in tree.items():
            if name == key:
                yield value
            yield from found(value, key)
    elif isinstance(tree, list):
        for value in tree:
            yield from found(value, key)


@pytest.mark.parametrize(
    ("shares", "weights"),
    [
        ({"v2": 0.5, "v3": 0.5}, [0, 50, 50]),
        ({"v2": 0.3333, "v3": 0.3333, "v4": 0.3334}, [0, 33, 33, 34]),
        ({"v2": 0.0001, "v3": 0.0001, "v4": 0.1}, [88, 1, 1, 10]),
        ({"v2": 0.9997, "v3": 0.0001, "v4": 0.0001}, [1, 97, 1, 1]),
    ],
    ids=["halves", "thirds", "tiny", "nearly-all"],
)
def test_arms_have_their_shares(shares: dict[str, float], weights: list[int]) -> None:
    route = Route("m", "v1").with_arms(shares, "prices")
    rule, service = documents(Mesh.ISTIO, route)
    parts = service["spec"]["http"][0]["route"]
    versions = [part["destination"]["subset"] for part in parts]
    assert versions == ["v1", *shares]
    assert [part["weight"] for part in parts] == weights
    assert [each["name"] for each in rule["spec"]["subsets"]] == versions
    (envoy,) = documents(Mesh.ENVOY, route)
    assert sum(found(envoy, "weight")) == 10_000
    assert [cluster["name"] for cluster in envoy["clusters"]] == [f"m-{v}" for v in versions]


def test_arms_share_with_a_challenger() -> None:
    route = Route("m", "v1", "v2", 0.25).with_arms({"v3": 0.2}, "prices")
    assert list(found(documents(Mesh.ISTIO, route), "weight")) == [60, 20, 20]


def test_kserve_says_that_it_knows_no_arms() -> None:
    route = Route("m", "v1").with_arms({"v2": 0.25, "v3": 0.0}, "prices")
    text = render(Mesh.KSERVE, [Split(route, CONFIG, 0.2)])
    assert "# 'm': KServe knows two versions and no arms; left out: 'v2' (25.00%)\n" in text
    assert len(list(yaml.safe_load_all(text))) == 1
    assert "left out" not in render(Mesh.KSERVE, [Split(Route("m", "v1"), CONFIG, 0.2)])


@pytest.mark.parametrize(
    "place",
    ["{nothing}", "{", "not an address", "http://h:x"],
    ids=["name", "brace", "url", "port"],
)
def test_a_place_that_is_none_is_told(place: str) -> None:
    with pytest.raises(ConfigError, match="--at"):
        documents(Mesh.ENVOY, at=place)


def test_no_champion_is_told() -> None:
    with pytest.raises(ConfigError, match="m has no champion yet"):
        documents(Mesh.ISTIO, Route("m"))
