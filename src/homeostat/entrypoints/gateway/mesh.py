"""The same split and breaking for those who split traffic in Envoy, Istio or KServe.

Proxies eject a host after faults in a row; they know no half-open probes, no fallback and no
entities. What they cannot express is said in comments above each document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias
from urllib.parse import urlsplit

import yaml

from homeostat.domain.errors import ConfigError
from homeostat.domain.route import Route
from homeostat.serving.breaker import BreakerConfig

Tree: TypeAlias = dict[str, object]
PARTS = 10_000  # of a weight in Envoy
HUNDRED = 100


class Mesh(StrEnum):
    """What the configuration is for."""

    ENVOY = "envoy"
    ISTIO = "istio"
    KSERVE = "kserve"


@dataclass(frozen=True, slots=True)
class Split:
    """One model's traffic as it is meant.

    Attributes
    ----------
    route : Route
    breaker : BreakerConfig
    deadline : float
        Seconds.
    at : str
        Where a version is found, with ``{model}`` and ``{version}``: an address for Envoy, a host
        for Istio, a storage address for KServe; empty: `PLACES`.
    """

    route: Route
    breaker: BreakerConfig
    deadline: float
    at: str = ""


PLACES = {
    Mesh.ENVOY: "http://{model}-{version}:8080",
    Mesh.ISTIO: "{model}",
    Mesh.KSERVE: "s3://models/{model}/{version}",
}
SAID = {
    Mesh.ENVOY: (
        "Envoy ejects a host after faults in a row and lets it back after a time that grows: no\n"
        "probes, no share of the calls over a window, and no fallback. The split is by entity if\n"
        "requests have it in the header x-homeostat-entity, else by request; which entities move\n"
        "is Envoy's choice, and not the gateway's."
    ),
    Mesh.ISTIO: (
        "The pods of each version need the label version. Istio ejects a host after errors in a\n"
        "row: no probes, no share of the calls over a window, and no fallback. The split is by\n"
        "request."
    ),
    Mesh.KSERVE: (
        "Without the annotation below KServe may run without Knative, and then it ignores\n"
        "canaryTrafficPercent without a word: the new version gets everything. It also needs an\n"
        "earlier revision that is ready. KServe has neither breaker nor shadows nor fallback."
    ),
}


def render(mesh: Mesh, splits: Sequence[Split]) -> str:
    """Return the configuration as YAML documents.

    Raises
    ------
    ConfigError
        If a model has no champion yet, or a place is no address.
    """
    made: list[str] = []
    comment = "".join(f"# {line}\n" for line in SAID[mesh].splitlines())
    for split in splits:
        comment += _left_out(mesh, split.route)
        if not split.route.champion:
            problem = f"{split.route.model} has no champion yet"
            raise ConfigError(problem, "adopt one: homeostat adopt HISTORY")
        made += [yaml.safe_dump(tree, sort_keys=False) for tree in MAKERS[mesh](split)]
    return comment + "---\n".join(made)


def percent(weight: float, whole: int = HUNDRED) -> int:
    """Return a share in whole parts; a share that is neither nothing nor all stays so.

    Examples
    --------
    >>> percent(0.001), percent(0.25), percent(0.9999), percent(0.0), percent(1.0)
    (1, 25, 99, 0, 100)
    """
    if weight in {0.0, 1.0}:
        return round(weight * whole)
    return min(max(round(weight * whole), 1), whole - 1)


def name_of(*parts: str) -> str:
    """Return a name that Kubernetes takes.

    Examples
    --------
    >>> name_of("Fraud_model", "v1.2")
    'fraud-model-v1-2'
    """
    text = "-".join(parts).lower()
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text)


def _seconds(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".") + "s"


def _shares(route: Route, whole: int) -> list[tuple[str, int]]:
    """Return each version's share in whole parts, together `whole`; none that has one has none."""
    shares = route.shares
    parts = {v: max(int(share * whole), 1) if share > 0 else 0 for v, share in shares.items()}
    while (missing := whole - sum(parts.values())) > 0:
        parts[max(parts, key=lambda version: shares[version] * whole - parts[version])] += 1
    for _ in range(-missing):
        parts[max(parts, key=lambda version: parts[version])] -= 1
    return list(parts.items())


def _left_out(mesh: Mesh, route: Route) -> str:
    """Return a comment on what a mesh cannot express of a route."""
    if mesh is not Mesh.KSERVE or not route.arms:
        return ""
    arms = ", ".join(f"{arm.version!a} ({arm.share:.2%})" for arm in route.arms if arm.slots)
    return f"# {route.model!a}: KServe knows two versions and no arms; left out: {arms}\n"


def _in_a_row(breaker: BreakerConfig) -> int:
    return breaker.run or breaker.faults


def _place(mesh: Mesh, split: Split, version: str) -> str:
    text = split.at or PLACES[mesh]
    try:
        return text.format(model=split.route.model, version=version)
    except (LookupError, ValueError) as error:
        problem = f"{text!r} is no place"
        raise ConfigError(problem, "use {model} and {version} alone in --at") from error


def _envoy(split: Split) -> list[Tree]:
    route = split.route
    clusters = [
        {"name": name_of(route.model, version), "weight": weight}
        for version, weight in _shares(route, PARTS)
    ]
    action: Tree = {
        # Without use_hash_policy Envoy picks clusters at random, whatever the header says.
        "weighted_clusters": {"clusters": clusters, "use_hash_policy": True},
        "timeout": _seconds(split.deadline),
        "hash_policy": [{"header": {"header_name": "x-homeostat-entity"}}],
    }
    if route.shadows:
        action["request_mirror_policies"] = [
            {"cluster": name_of(route.model, version)} for version in route.shadows
        ]
    host: Tree = {
        "name": name_of(route.model),
        "domains": ["*"],
        "routes": [{"match": {"prefix": f"/v1/models/{route.model}/"}, "route": action}],
    }
    made = [_cluster(split, version) for version in route.versions]
    return [{"virtual_hosts": [host], "clusters": made}]


def _cluster(split: Split, version: str) -> Tree:
    name, place = name_of(split.route.model, version), _place(Mesh.ENVOY, split, version)
    try:
        parts = urlsplit(place)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host:
        problem = f"{place!r} is not an address"
        raise ConfigError(problem, "give one such as --at 'http://{model}-{version}:8080'")
    socket = {"address": host, "port_value": port or (443 if parts.scheme == "https" else 80)}
    endpoint = {"endpoint": {"address": {"socket_address": socket}}}
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": _seconds(split.deadline),
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
        "outlier_detection": {
            "consecutive_5xx": _in_a_row(split.breaker),
            "enforcing_consecutive_5xx": HUNDRED,
            "interval": "1s",
            "base_ejection_time": _seconds(max(split.breaker.cooldown, 1.0)),
            # Envoy ejects a tenth of the hosts at most unless it is told otherwise.
            "max_ejection_percent": HUNDRED,
            "failure_percentage_threshold": percent(split.breaker.share),
            "enforcing_failure_percentage": HUNDRED,
            "failure_percentage_minimum_hosts": 1,
            "failure_percentage_request_volume": max(split.breaker.minimum, split.breaker.faults),
        },
    }


def _istio(split: Split) -> list[Tree]:
    route, host = split.route, _place(Mesh.ISTIO, split, split.route.champion)
    name = name_of(route.model)

    def destination(version: str) -> Tree:
        return {"host": host, "subset": name_of(version)}

    rule: Tree = {
        "route": [
            {"destination": destination(version), "weight": weight}
            for version, weight in _shares(route, HUNDRED)
        ],
        "timeout": _seconds(split.deadline),
        "retries": {"attempts": 0},  # Istio repeats twice by itself, also what is just too slow
    }
    if route.shadows:
        rule["mirrors"] = [
            {"destination": destination(version), "percentage": {"value": 100.0}}
            for version in route.shadows
        ]
    subsets = [
        {"name": name_of(version), "labels": {"version": version}} for version in route.versions
    ]
    outliers: Tree = {
        "consecutive5xxErrors": _in_a_row(split.breaker),
        "interval": "1s",
        "baseEjectionTime": _seconds(max(split.breaker.cooldown, 1.0)),
        "maxEjectionPercent": HUNDRED,
    }
    policy: Tree = {
        "host": host,
        "trafficPolicy": {"outlierDetection": outliers},
        "subsets": subsets,
    }
    service: Tree = {"hosts": [host], "http": [rule]}
    version = "networking.istio.io/v1"
    return [
        _resource(version, "DestinationRule", name, policy),
        _resource(version, "VirtualService", name, service),
    ]


def _kserve(split: Split) -> list[Tree]:
    route = split.route
    newest = route.challenger or route.champion
    predictor: Tree = {}
    if route.challenger:
        predictor["canaryTrafficPercent"] = percent(route.weight)
    predictor["timeout"] = max(round(split.deadline), 1)
    predictor["model"] = {
        "modelFormat": {"name": "custom"},
        "storageUri": _place(Mesh.KSERVE, split, newest),
    }
    spec: Tree = {"predictor": predictor}
    made = _resource("serving.kserve.io/v1beta1", "InferenceService", name_of(route.model), spec)
    made["metadata"] = {
        "name": name_of(route.model),
        # Its name is Knative since 0.16, which still takes the old one.
        "annotations": {"serving.kserve.io/deploymentMode": "Serverless"},
    }
    return [made]


def _resource(version: str, kind: str, name: str, spec: Tree) -> Tree:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}


MAKERS: dict[Mesh, Callable[[Split], list[Tree]]] = {
    Mesh.ENVOY: _envoy,
    Mesh.ISTIO: _istio,
    Mesh.KSERVE: _kserve,
}
