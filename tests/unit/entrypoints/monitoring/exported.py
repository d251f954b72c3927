"""What is written for the example, and which metrics there are to ask for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from homeostat.entrypoints.exposition import Kind
from homeostat.entrypoints.monitoring.definitions import DEFINITIONS
from homeostat.entrypoints.monitoring.export import monitoring_files
from homeostat.entrypoints.monitoring.served import SERVED
from homeostat.entrypoints.settings import load
from unit.entrypoints.monitoring.promql import flat

ROOT = Path(__file__).parents[4]
MONITORING = ROOT / "monitoring"
FRAUD = ROOT / "examples" / "fraud" / "homeostat.yaml"
RUNBOOKS = ROOT / "runbooks"
NAME = re.compile(r"\b(?:homeostat|process)(?:_[a-z0-9]+)+\b|\bhomeostat:[a-z0-9_:]+")
TIMED = ("homeostat_request_duration_seconds", "homeostat_tier_duration_seconds")
ENDINGS = {
    Kind.COUNTER: ("_total",),
    Kind.GAUGE: ("",),
    Kind.INFO: ("_info",),
    Kind.SUMMARY: ("_sum", "_count"),
}


@dataclass(frozen=True)
class Asked:
    """A rule, and the file that it is in."""

    file: str
    rule: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.rule.get("alert") or self.rule["record"])

    @property
    def expr(self) -> str:
        told: str = flat(str(self.rule["expr"]))
        return told


def rules(files: dict[str, str]) -> Iterator[Asked]:
    for name, text in files.items():
        if name.startswith("prometheus/rules/"):
            for group in yaml.safe_load(text)["groups"]:
                yield from (Asked(name, rule) for rule in group["rules"])


FILES = monitoring_files(load(FRAUD))
RULES = tuple(rules(FILES))
ALERTING = tuple(asked for asked in RULES if "alert" in asked.rule)


def names(expr: str) -> set[str]:
    """Return the metrics that a query asks for."""
    return set(NAME.findall(re.sub(r'"[^"]*"', '""', expr)))


def known() -> set[str]:
    """Return what can be asked for: exported by control plane or gateway, or recorded."""
    found = {name + end for name, d in DEFINITIONS.items() for end in ENDINGS[d.kind]}
    found |= set(SERVED) | {f"{name}_{end}" for name in TIMED for end in ("sum", "count", "bucket")}
    return found | {asked.name for asked in RULES if "record" in asked.rule}
