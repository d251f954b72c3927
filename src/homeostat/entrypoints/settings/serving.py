"""How the gateway serves one model."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, model_validator

from homeostat.entrypoints.settings.part import Part
from homeostat.entrypoints.settings.values import Count, wrong

SHA256 = re.compile(r"[0-9a-f]{64}")


class Serving(Part):
    """How the gateway asks a model, and what its artifacts may do."""

    batch: Count | None = None
    """Joins requests that wait for a thread into calls of up to so many rows: for models that cost
    much a call and little a row, such as most of scikit-learn. Default: each by itself."""
    trusted_types: tuple[str, ...] = ()
    """Full names of types that a skops artifact may hold besides those that skops trusts."""
    allow_pickle: tuple[str, ...] = ()
    """SHA-256 of model.joblib files that may be loaded: loading one can run any code."""

    @model_validator(mode="after")
    def _hashes(self) -> Self:
        for number, digest in enumerate(self.allow_pickle):
            if not SHA256.fullmatch(digest):
                remedy = "write the 64 digits that sha256sum model.joblib prints"
                raise wrong("is no SHA-256", remedy, "allow_pickle", number)
        return self


def _host(value: str) -> str:
    if not value or "/" in value or value != value.lower():
        remedy = "write it as models.internal, or models.internal:8080"
        raise wrong(f"is no host: {value!r}", remedy)
    return value


Host = Annotated[str, AfterValidator(_host)]
"""A host, or host:port, that may be called."""
