"""Writes the files of other monitoring tools for a deployment's own models."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path, PurePosixPath

import yaml

from homeostat.domain.errors import StorageError
from homeostat.entrypoints.http.auth import is_loopback
from homeostat.entrypoints.http.runbooks import is_address
from homeostat.entrypoints.monitoring.dashboards import dashboards, place_of
from homeostat.entrypoints.monitoring.limits import limits
from homeostat.entrypoints.monitoring.owned import Owners
from homeostat.entrypoints.monitoring.owned_tests import owned_tests
from homeostat.entrypoints.settings.deployment import Settings

MADE = "# Made by: homeostat monitoring export. Changes are lost when it is run again.\n"
RUNBOOKS, PANEL = "RUNBOOKS", "PANEL"
GATEWAY_JOB, CONTROL_JOB = "homeostat-gateway", "homeostat"
RULES = ("models.yml", "platform.yml")
SERVING = "serving.yml"
OWN = "own.yml"
TOKEN = "/etc/prometheus/homeostat_token"  # noqa: S105 - where it is, not what
"""File of the token of scope read that a scrape from another machine needs."""


def monitoring_files(settings: Settings, *, gateway: bool = True) -> dict[str, str]:
    """Return every file by its path below the folder of monitoring.

    Parameters
    ----------
    settings : Settings
    gateway : bool
        False leaves out what gateways are watched by, where the models are served by others.
    """
    rules = (*RULES, SERVING) if gateway else RULES
    found = {
        "prometheus/prometheus.yml": MADE + _yaml(_prometheus(settings, gateway=gateway)),
        "prometheus/rules/limits.yml": MADE + _yaml(limits(settings, gateway=gateway)),
    }
    base = runbook_base(settings)
    for name in rules:
        found[f"prometheus/rules/{name}"] = MADE + _template(name).replace(RUNBOOKS, base)
    found |= _owned(Owners(settings, gateway, base))
    found["alertmanager/alertmanager.yml"] = MADE + _template("alertmanager.yml")
    for name in ("datasources", "dashboards"):
        found[f"grafana/provisioning/{name}/homeostat.yml"] = MADE + _template(f"{name}.yml")
    for name in ("contacts", "policies"):
        found[f"grafana/paging/homeostat-{name}.yml"] = MADE + _template(f"grafana_{name}.yml")
    drawn = dashboards(gateway=gateway)
    alerts = _template("grafana_alerts.yml").replace(RUNBOOKS, base)
    alerts = alerts.replace(PANEL, str(place_of(drawn, "homeostat-model", "$metric")))
    found["grafana/provisioning/alerting/homeostat.yml"] = MADE + alerts
    for dashboard in drawn:
        text = json.dumps(dashboard, indent=2, ensure_ascii=False) + "\n"
        found[f"grafana/dashboards/{dashboard['uid']}.json"] = text
    return found


def _owned(owners: Owners) -> dict[str, str]:
    """Return the owner's rules and their tests, which ask for nothing but what models record."""
    if not owners.rules:
        return {}
    tree = owners.tree()
    found = {f"prometheus/rules/{OWN}": MADE + owners.head() + _yaml(tree)}
    beside = [f"../rules/{name}" for name in (RULES[0], OWN)]
    groups = [*_groups(yaml.safe_load(_template(RULES[0]))), *_groups(tree)]
    for name, test in owned_tests(owners.told, beside, groups).items():
        found[f"prometheus/tests/{name}"] = MADE + _yaml(test)
    return found


def _groups(tree: Mapping[str, Sequence[Mapping[str, object]]]) -> list[str]:
    return [str(group["name"]) for group in tree["groups"]]


def write_monitoring(settings: Settings, folder: Path, *, gateway: bool = True) -> tuple[str, ...]:
    """Write them below a folder and return their paths.

    Rules and their tests that an earlier configuration had are removed: Prometheus would go on to
    evaluate them.

    Raises
    ------
    StorageError
        If the folder cannot be written.
    """
    found = monitoring_files(settings, gateway=gateway)
    for name, text in found.items():
        path = folder / PurePosixPath(name)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            reason = error.strerror or "unknown reason"
            raise StorageError(f"cannot write {path}: {reason}; give another folder") from error
    for path in _left(found, folder / "prometheus"):
        path.unlink(missing_ok=True)
    return tuple(found)


def _left(found: Mapping[str, str], folder: Path) -> list[Path]:
    """Return the files of rules that were made earlier, and are no more."""
    made = {
        PurePosixPath(name).relative_to("prometheus") for name in found if "prometheus/" in name
    }
    return [
        path
        for part in ("rules", "tests")
        for path in (folder / part).glob("*.yml")
        if PurePosixPath(part, path.name) not in made
        and path.read_bytes().startswith(MADE.encode())
    ]


def runbook_base(settings: Settings) -> str:
    """Return the address below which runbooks are found: the configured one, or the web pages."""
    if is_address(settings.runbooks):
        return settings.runbooks.rstrip("/")
    return f"{control_plane(settings)}/runbooks"


def control_plane(settings: Settings) -> str:
    """Return the address of the control plane as its configuration has it."""
    return f"http://{_target(settings.server.host, settings.server.port)}"


def _target(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _prometheus(settings: Settings, *, gateway: bool) -> dict[str, object]:
    return {
        "global": {"scrape_interval": "15s", "evaluation_interval": "30s"},
        "rule_files": ["rules/*.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["127.0.0.1:9093"]}]}]},
        "scrape_configs": list(_jobs(settings, gateway=gateway)),
    }


def _jobs(settings: Settings, *, gateway: bool) -> Iterator[dict[str, object]]:
    server, plane = settings.server, settings.gateway
    jobs: dict[str, tuple[str, int]] = {}
    if server.remote_write is None:  # else it sends its figures itself, as of this job
        jobs[CONTROL_JOB] = server.host, server.port
    if gateway:
        jobs[GATEWAY_JOB] = plane.host, plane.port
    for name, (host, port) in jobs.items():
        job: dict[str, object] = {
            "job_name": name,
            "static_configs": [{"targets": [_target(host, port)]}],
        }
        if not is_loopback(host):
            job["authorization"] = {"credentials_file": TOKEN}
        if name == GATEWAY_JOB and plane.tls is not None:
            job["scheme"] = "https"
        yield job


def _yaml(tree: object) -> str:
    text: str = yaml.safe_dump(tree, sort_keys=False, width=100)
    return text


def _template(name: str) -> str:
    return (files(__package__) / "files" / name).read_text(encoding="utf-8")
