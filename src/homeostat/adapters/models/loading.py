"""Chooses the runtime of an artifact by its flavour, and what an artifact may do."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from homeostat.adapters.models.boosted import load_lightgbm
from homeostat.adapters.models.elsewhere import ELSEWHERE, refuse_elsewhere
from homeostat.adapters.models.linear import load_linear
from homeostat.adapters.models.onnx import load_onnx
from homeostat.adapters.models.predictor import Predictor
from homeostat.adapters.models.remote import load_remote
from homeostat.adapters.models.sklearn import load_joblib, load_skops
from homeostat.adapters.models.xgboost import is_xgboost, load_xgboost
from homeostat.domain.errors import ArtifactError
from homeostat.serving.breaker import BreakerConfig


@dataclass(frozen=True, slots=True)
class Loader:
    """Loads artifacts; by default none that could run code or call other machines.

    Attributes
    ----------
    trusted_types : frozenset of str
        Types that a ``skops`` artifact may hold besides those that skops trusts.
    allow_pickle : frozenset of str
        SHA-256 of the ``model.joblib`` files that may be loaded.
    hosts : frozenset of str
        ``host`` or ``host:port`` that a ``remote`` artifact may name.
    environ : mapping
        Where the values of a remote artifact's headers come from.
    breaker : BreakerConfig
        Of each endpoint of a remote artifact.
    """

    trusted_types: frozenset[str] = frozenset()
    allow_pickle: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False)
    breaker: BreakerConfig = BreakerConfig()

    def __call__(self, path: Path, flavour: str) -> Predictor:
        """Load an artifact folder.

        Raises
        ------
        ArtifactError
            If the flavour is unknown, or the artifact is not what it should be, or may not do what
            it would, or the version is served elsewhere.
        """
        if flavour == ELSEWHERE:
            refuse_elsewhere(path)
        if flavour not in FLAVOURS:
            known = ", ".join(sorted(FLAVOURS))
            raise ArtifactError(f"{path}: no runtime for flavour {flavour!r}; there are {known}")
        return FLAVOURS[flavour](path, self)


FLAVOURS: Mapping[str, Callable[[Path, Loader], Predictor]] = MappingProxyType(
    {
        "joblib": lambda path, loader: load_joblib(path, loader.allow_pickle),
        "lightgbm": lambda path, _: load_lightgbm(path),
        "linear": lambda path, _: load_linear(path),
        "onnx": lambda path, _: load_onnx(path),
        "remote": lambda path, loader: load_remote(
            path, loader.hosts, loader.environ, loader.breaker
        ),
        "skops": lambda path, loader: load_skops(path, loader.trusted_types),
        "xgboost": lambda path, _: load_xgboost(path),
    }
)
FILES: Mapping[str, str] = MappingProxyType(
    {
        "model.txt": "lightgbm",
        "model.json": "linear",
        "model.onnx": "onnx",
        "model.skops": "skops",
        "model.joblib": "joblib",
        "upstream.json": "remote",
    }
)


def load_predictor(path: Path, flavour: str) -> Predictor:
    """Load an artifact folder that needs no leave; raises ArtifactError as `Loader`."""
    return Loader()(path, flavour)


def flavour_of(path: Path) -> str:
    """Return the flavour of an artifact folder by the files in it; empty if it is none we know."""
    if is_xgboost(path):
        return "xgboost"
    return next((flavour for name, flavour in FILES.items() if (path / name).is_file()), "")
