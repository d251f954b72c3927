"""Writes the first homeostat.yaml from a data set: commented, loadable, open about its guesses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from homeostat.domain.errors import ConflictError, DataError
from homeostat.domain.model import Task
from homeostat.entrypoints.files import read_file
from homeostat.entrypoints.settings import load
from homeostat.entrypoints.settings.values import format_duration
from homeostat.entrypoints.sketch import Sketch, quoted, sketch

MOST_ROWS = 500_000


def write_config(
    data: Path,
    output: Path,
    given: Mapping[str, str] = MappingProxyType({}),
    *,
    force: bool = False,
) -> Sketch:
    """Look at a Parquet or CSV file and write a commented homeostat.yaml that loads.

    `given` names the columns that need not be guessed; see `sketch`.

    Raises
    ------
    ConflictError
        If the output exists and `force` is not set.
    NotFoundError, DataError
        If the data are missing, empty, unreadable, or without a usable feature.
    """
    if output.exists() and not force:
        raise ConflictError(
            f"{output} exists; choose another with -o, or overwrite it with --force"
        )
    found = sketch(read_file(data, MOST_ROWS), data, given)
    text = render(found, data)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        reason = error.strerror or "unknown reason"
        raise DataError(f"cannot write {output}: {reason}; choose another place with -o") from error
    load(output)
    return found


def render(found: Sketch, data: Path) -> str:
    """Return the text of homeostat.yaml."""
    history: Mapping[str, str] = {role: name for role, name in found.roles.items() if name}
    lines = [
        "# homeostat.yaml, drafted by: homeostat init " + quoted(data.name),
        f"# It rests on {found.rows:,} rows. Look at what was assumed:",
        *(f"#   - {' '.join(line.split())}" for line in found.assumed),
        "# Every setting: homeostat config schema. Check this file: homeostat config check",
        "",
        "data: ./homeostat-data        # predictions, labels, models and records",
        "",
        "receivers:                    # where alerts go",
        "  console: {type: console}",
        "  # on_call: {type: webhook, url: 'https://example.org/hook', secret_env: HOOK_SECRET}",
        "",
        "models:",
        f"  - name: {quoted(found.name)}",
        f"    task: {found.task}",
    ]
    if found.classes:
        lines.append(f"    classes: [{', '.join(quoted(name) for name in found.classes)}]")
    if found.task is Task.BINARY:
        lines.append("    threshold: 0.5              # score from which the answer is positive")
    if found.entity:
        lines.append(f"    entity: {quoted(found.entity)}")
    if history:
        lines.append("    history:                    # columns of a history file")
    lines += [f"      {role}: {quoted(name)}" for role, name in history.items()]
    lines += [
        "    labels:",
        f"      maturity: {format_duration(found.maturity)}  # age after which labels are complete",
        "    budget: {alarms: 1, per: 90d} # false alarms you accept",
    ]
    lines += _render_monitors(found)
    lines += ["    features:                   # in the order in which the model takes them"]
    lines += [f"      {quoted(name)}: {text}" for name, text in found.features.items()]
    lines += [
        "    fallback:                   # who answers when the model cannot",
        "      - default: {score: 0}",
        "    # retraining:               # let Homeostat retrain it",
        "    #   trainer: train.py:train",
    ]
    return "\n".join(lines) + "\n"


def _render_monitors(found: Sketch) -> list[str]:
    parts = {name: [f"window: {format_duration(step)}"] for name, step in found.windows.items()}
    if found.scale is not None:
        parts.setdefault("performance", []).append(f"scale: {found.scale:g}")
    if not parts:
        return []
    lines = (f"      {name}: {{{', '.join(texts)}}}" for name, texts in parts.items())
    return ["    monitors:", *lines]
