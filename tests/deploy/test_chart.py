"""The Helm chart, rendered by Helm itself and held to Kubernetes' own schemas."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from homeostat.entrypoints.settings import load

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/helm/homeostat"
HELM = Path(sys.executable).with_name("helm")
MODEL = {"name": "m", "task": "binary", "features": {"a": "numeric"}, "labels": {"maturity": "1d"}}
SMALL: dict[str, Any] = {"existingSecret": "hs", "config": {"models": [MODEL]}}
LARGE: dict[str, Any] = {
    "existingSecret": "hs",
    "config": {
        "models": [MODEL],
        "records_env": "HOMEOSTAT_RECORDS",
        "server": {"host": "127.0.0.1", "tick": "30s"},
        "gateway": {"deadline": "100ms"},
    },
    "controlPlane": {"replicas": 2, "nodeSelector": {"disk": "fast"}},
    "gateway": {"enabled": True, "autoscaling": {"enabled": True}},
    "ingress": {"enabled": True, "className": "nginx", "annotations": {"a": "b"}},
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "networkPolicy": {"enabled": True},
    "imagePullSecrets": [{"name": "registry"}],
}
Values = dict[str, Any]


def helm(folder: Path, values: Values, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    command = [str(HELM), *arguments, str(CHART), "-f", str(folder / "values.yaml")]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)


def rendered(folder: Path, values: Values) -> list[dict[str, Any]]:
    done = helm(folder, values, "template", "watch")
    assert done.returncode == 0, done.stderr
    return [part for part in yaml.safe_load_all(done.stdout) if part]


@pytest.mark.parametrize("values", [SMALL, LARGE], ids=["small", "large"])
def test_it_is_what_kubernetes_takes(tmp_path: Path, values: Values) -> None:
    assert helm(tmp_path, values, "lint", "--strict").returncode == 0
    for part in rendered(tmp_path, values):
        if part["kind"] != "ServiceMonitor":  # of the Prometheus operator
            kubernetes_validate.validate(part, "1.30", strict=True)


@pytest.mark.parametrize("values", [SMALL, LARGE], ids=["small", "large"])
def test_its_configuration_is_what_homeostat_takes(tmp_path: Path, values: Values) -> None:
    (made,) = [p for p in rendered(tmp_path, values) if p["kind"] == "ConfigMap"]
    file = tmp_path / "homeostat.yaml"
    file.write_text(made["data"]["homeostat.yaml"])
    settings = load(file)
    assert settings.data == "/var/lib/homeostat"
    assert (settings.server.host, settings.gateway.host) == ("0.0.0.0", "0.0.0.0")
    assert settings.gateway.log == "http://watch:8420"
    assert [model.name for model in settings.models] == ["m"]


def test_what_the_owner_set_stays(tmp_path: Path) -> None:
    (made,) = [p for p in rendered(tmp_path, LARGE) if p["kind"] == "ConfigMap"]
    told = yaml.safe_load(made["data"]["homeostat.yaml"])
    assert told["server"]["tick"] == "30s"
    assert told["gateway"]["deadline"] == "100ms"


@pytest.mark.parametrize("values", [SMALL, LARGE], ids=["small", "large"])
def test_no_container_has_rights_that_it_does_not_need(tmp_path: Path, values: Values) -> None:
    pods = [
        p["spec"]["template"]["spec"]
        for p in rendered(tmp_path, values)
        if "replicas" in p.get("spec", {}) or p["kind"] == "Deployment"
    ]
    assert pods
    for pod in pods:
        assert pod["automountServiceAccountToken"] is False
        assert pod["securityContext"]["runAsNonRoot"] is True
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"existingSecret": ""}, "existingSecret is needed"),
        ({"controlPlane": {"replicas": 2}}, "needs PostgreSQL: set config.records_env"),
        ({"gateway": {"enabled": True}}, "reads its routes from PostgreSQL"),
        (
            {"gateway": {"enabled": True}, "config": {"records_env": "X", "models": [MODEL]}},
            "reads models from a volume",
        ),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, change: Values, words: str) -> None:
    done = helm(tmp_path, SMALL | change, "template", "watch")
    assert done.returncode != 0
    assert words in done.stderr
