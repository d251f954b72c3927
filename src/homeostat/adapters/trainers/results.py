"""What a training left in its folder; nothing in it is trusted."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

from homeostat.adapters.models.loading import FILES, flavour_of
from homeostat.adapters.trainers.child import ARTIFACT, LONGEST_PROBLEM, RESULT
from homeostat.domain.text import printable
from homeostat.engine.ports import Training

SHA256 = re.compile("[0-9a-f]{64}")


def result_of(folder: Path) -> Training:
    """Return what ``result.json`` and the artifact say.

    An object with ``problem`` has failed. Else ``metrics`` are numbers by name, and ``sha256``,
    where there is one, is what the registry will find, or refuse the artifact.
    """
    found = _read(folder / RESULT)
    if "problem" in found:
        return failed(str(found["problem"]))
    flavour = flavour_of(folder / ARTIFACT)
    if not flavour:
        known = ", ".join(f"{name} ({kind})" for name, kind in FILES.items())
        return failed(f"the artifact is of no known kind: it needs one of {known}")
    digest = found.get("sha256", "")
    if not isinstance(digest, str) or not SHA256.fullmatch(digest or "0" * 64):
        return failed("the result's sha256 is not one")
    metrics = found.get("metrics")
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    kept = sorted((str(name), float(v)) for name, v in numbers if _is_number(v))
    return Training(
        done=True,
        artifact=folder / ARTIFACT,
        flavour=flavour,
        metrics=tuple(kept),
        sha256=digest,
    )


def _read(file: Path) -> dict[str, object]:
    try:
        found: object = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {"problem": "the training ended without a result.json"}
    except (OSError, ValueError, RecursionError) as error:
        return {"problem": f"the result of the training is unreadable: {error}"}
    return found if isinstance(found, dict) else {"problem": "result.json is no object"}


def failed(problem: str) -> Training:
    """Return a run that ended with a problem, told in bounded, harmless words."""
    return Training(done=True, problem=printable(problem[:LONGEST_PROBLEM]))


def share(text: object) -> float | None:
    """Return a progress in [0, 1]; None of what is none.

    Examples
    --------
    >>> share("0.25"), share(2), share("nan"), share("soon")
    (0.25, 1.0, None, None)
    """
    try:
        value = float(text) if isinstance(text, str | int | float) else math.nan
    except (ValueError, OverflowError):
        return None
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else None


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False
