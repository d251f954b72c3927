"""Versions of models that are served elsewhere: only what they answered is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

from homeostat.domain.errors import ArtifactError

ELSEWHERE = "elsewhere"
"""Their flavour."""


def save_elsewhere(folder: Path) -> None:
    """Write the artifact folder that stands for such a version."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "elsewhere.json").write_text(json.dumps({"served": ELSEWHERE}), encoding="utf-8")


def refuse_elsewhere(path: Path) -> NoReturn:
    """Say that such a version cannot be asked; raises ArtifactError always."""
    raise ArtifactError(
        f"{path}: this version is served elsewhere, Homeostat has no model to ask; "
        "register its artifact as another version: homeostat register"
    )
