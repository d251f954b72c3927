"""What the DAGs of this folder do, as plain functions over Homeostat's HTTP API.

Standard library only, no Airflow: a task is one call of a function here. The engine of the control
plane decides; these functions ask, wait and tell. The environment says where it is:

``HOMEOSTAT_URL``
    Of the control plane, such as ``https://homeostat.example.org``.
``HOMEOSTAT_TOKEN``
    A token with the scopes ``read`` and ``operate`` (``homeostat token create``).
``HOMEOSTAT_MODELS``
    Names of models, with commas between them; each has DAGs of its own.
``HOMEOSTAT_REPORTS``
    Folder for reports.
"""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

RESTING = frozenset({"idle", "accepted", "rejected", "refused", "failed", "cancelled"})
CHANGED = frozenset({"data_drift", "prediction_drift", "performance", "calibration"})
ON_LABELS = frozenset({"performance", "calibration"})
PROVING = frozenset({"candidate", "shadow"})
MOST = 10_000
TIMEOUT = 30.0


class TaskError(Exception):
    """A task cannot go on; the message says why and what to do."""


class _Stay(urllib.request.HTTPRedirectHandler):
    """A token must not follow a redirect to somewhere else."""

    def redirect_request(self, *_: object) -> None:
        return None


@dataclass(frozen=True)
class Homeostat:
    """One control plane."""

    url: str
    token: str = field(default="", repr=False)

    @classmethod
    def of_environment(cls, environ: Mapping[str, str] = os.environ) -> Homeostat:
        """Return the one that the environment names; raises TaskError."""
        url = environ.get("HOMEOSTAT_URL", "")
        if not url.startswith(("http://", "https://")):
            raise TaskError("HOMEOSTAT_URL is not set to an http or https address")
        return cls(url.rstrip("/"), environ.get("HOMEOSTAT_TOKEN", ""))

    def get(self, path: str, **query: str | int) -> dict[str, Any]:
        """Return what is at a path of the API; raises TaskError."""
        asked = f"?{urlencode(query)}" if query else ""
        return self._call("GET", f"{path}{asked}", None)

    def report(self, kind: str, model: str, as_of: datetime) -> str:
        """Return a report as `homeostat report -o x.html` writes it; raises TaskError."""
        query = urlencode({"as_of": as_of.isoformat(), "format": "html"})
        return self._read("GET", f"/reports/{kind}/{quote(model, safe='')}?{query}", None)

    def ask(self, model: str, request: str, reason: str, subject: str = "") -> None:
        """Put a command into the model's inbox; raises TaskError."""
        body = {"request": request, "subject": subject, "reason": reason}
        self._call("POST", f"/models/{quote(model, safe='')}/commands", body)

    def model(self, model: str) -> dict[str, Any]:
        """Return where a model stands; raises TaskError."""
        return self.get(f"/models/{quote(model, safe='')}")

    def of(self, model: str, what: str, **query: str | int) -> list[dict[str, Any]]:
        """Return a listing about a model, such as its verdicts; raises TaskError."""
        found = self.get(f"/models/{quote(model, safe='')}/{what}", **query)[what]
        return list(found)

    def _call(self, method: str, path: str, body: object) -> dict[str, Any]:
        try:
            return dict(json.loads(self._read(method, path, body)))
        except ValueError as error:
            raise TaskError(f"{self.url} cannot be asked: {error}; is it up?") from error

    def _read(self, method: str, path: str, body: object) -> str:
        headers = {"Accept": "application/json", "User-Agent": "homeostat-dags"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        url = f"{self.url}/api/v1{path}"
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - checked
        try:
            with urllib.request.build_opener(_Stay).open(request, timeout=TIMEOUT) as answer:
                found: str = answer.read().decode()
        except urllib.error.HTTPError as error:
            said = error.read(500).decode(errors="replace")
            raise TaskError(f"{method} {path} was answered {error.code}: {said}") from error
        except (OSError, ValueError) as error:
            raise TaskError(f"{self.url} cannot be asked: {error}; is it up?") from error
        return found


def models(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the models that have DAGs.

    Examples
    --------
    >>> models({"HOMEOSTAT_MODELS": "fraud, churn,"})
    ['fraud', 'churn']
    """
    return [
        name for part in environ.get("HOMEOSTAT_MODELS", "").split(",") if (name := part.strip())
    ]


def dag_id(kind: str, model: str) -> str:
    """Return the id of a model's DAG.

    Examples
    --------
    >>> dag_id("weekly_report", "fraud eu")
    'homeostat_weekly_report.fraud_eu'
    """
    return f"homeostat_{kind}.{re.sub('[^A-Za-z0-9_.-]', '_', model)}"


def check_drift(api: Homeostat, model: str, since: datetime) -> dict[str, Any]:
    """Say whether to train: something has changed since, and may be learnt from.

    Returns
    -------
    dict
        ``train``, ``why``, and ``follow``: whether a run goes already and is to be followed.

    Raises
    ------
    TaskError
        If there is no version yet, or Homeostat cannot be asked.
    """
    stands = api.model(model)
    rollout, run = stands["rollout"], stands["retraining"] or {"stage": "idle"}
    if not rollout["champion"]:
        raise TaskError(f"{model} has no version yet: homeostat adopt HISTORY makes the first")
    if rollout["challenger"]:
        why = f"version {rollout['challenger']} is in stage {rollout['stage']} already"
        return {"train": False, "follow": False, "why": why}
    if run["stage"] not in RESTING:
        return {"train": True, "follow": True, "why": f"a run is in stage {run['stage']} already"}
    found = api.get(f"/models/{quote(model, safe='')}/diagnosis")["diagnosis"]
    if found and found["cause"] in {"data_fault", "model_down", "bad_version"}:
        return {"train": False, "follow": False, "why": f"{found['cause']}: {found['advice']}"}
    verdicts = api.of(model, "verdicts", since=since.isoformat(), limit=MOST)
    changed = [v for v in verdicts if v["status"] == "drift" and v["monitor"] in CHANGED]
    if not changed:
        return {"train": False, "follow": False, "why": "no monitor found a change"}
    return {"train": True, "follow": False, "why": str(changed[-1]["reason"])}


def train(api: Homeostat, model: str, checked: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a training unless one goes already; return what to tell the run apart by.

    A repeated call finds the run of the first one, or is refused by the engine.
    """
    run = api.model(model)["retraining"] or {}
    if checked["follow"] or run.get("stage", "idle") not in RESTING:
        return {"before": None}
    api.ask(model, "retrain", f"daily check: {checked['why']}")
    return {"before": _mark(run)}


def trained(api: Homeostat, model: str, asked: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return how the run ended, None while it goes: ``accepted``, ``candidate`` and ``why``."""
    run = api.model(model)["retraining"] or {}
    going = run.get("stage", "idle") not in RESTING
    if going or asked["before"] == _mark(run):
        return None
    accepted = run["stage"] == "accepted"
    why = f"{run['stage']}: {run['reason']}"
    return {"accepted": accepted, "candidate": run["candidate"] if accepted else "", "why": why}


def shadowed(api: Homeostat, model: str, candidate: str) -> str | None:
    """Return what a candidate's shadow came to: ``passed`` or ``aborted``; None while it lasts."""
    rollout = api.model(model)["rollout"]
    if candidate in rollout["aborted"]:
        return "aborted"
    if rollout["challenger"] == candidate:
        return None if rollout["stage"] in PROVING else "passed"
    return "passed" if candidate in {rollout["champion"], *rollout["lineage"]} else "aborted"


def promoted(api: Homeostat, model: str, candidate: str) -> bool | None:
    """Return whether a candidate became champion; None while its rollout goes.

    Nobody is hurried: the engine promotes on evidence, and where a person has to approve, that
    person does.
    """
    rollout = api.model(model)["rollout"]
    if rollout["challenger"] == candidate:
        return None
    return candidate in {rollout["champion"], *rollout["lineage"]}


def accuracy(api: Homeostat, model: str, start: datetime, end: datetime) -> dict[str, Any]:
    """Return each realized metric of all rows in a period, and what its monitors found.

    Returns
    -------
    dict
        ``metrics``: by name ``mean`` (by rows), ``lowest``, ``highest``, ``n``, ``windows``;
        ``worse``: reasons of verdicts that performance or calibration changed.
    """
    period: dict[str, str | int] = {
        "since": start.isoformat(), "until": end.isoformat(), "limit": MOST,
    }  # fmt: skip
    by_name: dict[str, list[dict[str, Any]]] = {}
    for point in api.of(model, "metrics", **period):
        if point["cohort"] == "matured" and point["n"]:
            by_name.setdefault(point["name"], []).append(point)
    found = api.of(model, "verdicts", **period)
    worse = [
        str(v["reason"]) for v in found if v["status"] == "drift" and v["monitor"] in ON_LABELS
    ]
    return {
        "metrics": {name: _summary(points) for name, points in sorted(by_name.items())},
        "worse": list(dict.fromkeys(worse)),
    }


def must_be_well(model: str, found: Mapping[str, Any]) -> None:
    """Raise TaskError if performance changed, so that Airflow tells whom it tells of failures."""
    if found["worse"]:
        raise TaskError(f"{model} became worse: {'; '.join(found['worse'][:5])}")


def write_report(text: str, kind: str, model: str, end: datetime, folder: Path) -> str:
    """Write a report in one step; writing it again replaces it. Returns its path."""
    path = folder / f"{dag_id(kind, model)}.{end:%Y-%m-%d}.html"
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
    return str(path)


def reports_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Return where reports go; raises TaskError if the environment does not say."""
    folder = environ.get("HOMEOSTAT_REPORTS", "")
    if not folder:
        raise TaskError("HOMEOSTAT_REPORTS does not name a folder for reports")
    return Path(folder)


def last(days: int, end: datetime) -> tuple[datetime, datetime]:
    """Return the period of so many days before a time."""
    return end - timedelta(days=days), end


def _mark(run: Mapping[str, Any]) -> list[Any]:
    return [run.get(name) for name in ("number", "requested_at", "asked_at")]


def _summary(points: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    rows = sum(point["n"] for point in points)
    return {
        "mean": sum(point["value"] * point["n"] for point in points) / rows,
        "lowest": min(point["value"] for point in points),
        "highest": max(point["value"] for point in points),
        "n": rows,
        "windows": len(points),
    }
