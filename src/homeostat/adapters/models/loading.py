"""Chooses the runtime of an artifact by its flavour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from homeostat.adapters.models.boosted import load_lightgbm
from homeostat.adapters.models.linear import load_linear
from homeostat.adapters.models.onnx import load_onnx
from homeostat.adapters.models.predictor import Predictor
from homeostat.domain.errors import ArtifactError

FLAVOURS: Mapping[str, Callable[[Path], Predictor]] = MappingProxyType(
    {
        "lightgbm": load_lightgbm,
        "linear": load_linear,
        "onnx": load_onnx,
    }
)


def load_predictor(path: Path, flavour: str) -> Predictor:
    """Load an artifact folder.

    Raises
    ------
    ArtifactError
        If the flavour is unknown or the artifact is not what it should be.
    """
    if flavour not in FLAVOURS:
        known = ", ".join(sorted(FLAVOURS))
        raise ArtifactError(f"{path}: no runtime for flavour {flavour!r}; there are {known}")
    return FLAVOURS[flavour](path)


def flavour_of(path: Path) -> str:
    """Return the flavour of an artifact folder by the files in it; empty if it is none we know."""
    files = {"model.txt": "lightgbm", "model.json": "linear", "model.onnx": "onnx"}
    return next((flavour for name, flavour in files.items() if (path / name).is_file()), "")
