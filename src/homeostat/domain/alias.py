"""Names in a model registry that move from version to version."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"


@dataclass(frozen=True, slots=True)
class AliasChange:
    """One move of an alias: what is asked of a registry, and what its history holds.

    Attributes
    ----------
    model, alias : str
    version : str
        Where it points from now on; empty: nowhere.
    before : str
        Where it pointed when the change was decided; if it points elsewhere, the change is refused.
    at : datetime
    actor, reason : str
    """

    model: str
    alias: str
    version: str
    before: str
    at: datetime
    actor: str = ""
    reason: str = ""


def pointing(history: Iterable[AliasChange]) -> dict[str, str]:
    """Return where each alias points after these changes, oldest first.

    Examples
    --------
    >>> from datetime import UTC
    >>> at = datetime(2024, 1, 1, tzinfo=UTC)
    >>> one = AliasChange("fraud", "champion", "1", "", at)
    >>> two = AliasChange("fraud", "previous", "1", "", at)
    >>> pointing([one, two, AliasChange("fraud", "champion", "", "1", at)])
    {'previous': '1'}
    """
    found: dict[str, str] = {}
    for change in history:
        if change.version:
            found[change.alias] = change.version
        else:
            found.pop(change.alias, None)
    return found
