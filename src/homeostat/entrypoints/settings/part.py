"""What all parts of homeostat.yaml have in common: frozen, no unknown keys, no infinities."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from homeostat.entrypoints.settings.values import wrong


class Part(BaseModel):
    """A mapping of homeostat.yaml."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True
    )


def only_one(part: Part, *names: str) -> None:
    """Raise unless exactly one of the named settings is given."""
    given = [name for name in names if getattr(part, name) not in {None, ""}]
    if len(given) != 1:
        said = " and ".join(given) or "none of them"
        raise wrong(f"needs exactly one of {', '.join(names)}; has {said}", "keep one")
