"""Finds that what a version was trained on was broken, when that comes out after its training."""

from __future__ import annotations

from datetime import datetime

from homeostat.domain.errors import HomeostatError
from homeostat.domain.manifest import LOG, TrainingManifest
from homeostat.domain.window import Window
from homeostat.engine.ports import Registry
from homeostat.engine.watch import Fault


def spoilt(
    model: str, version: str, faults: tuple[Fault, ...], registry: Registry, now: datetime
) -> str:
    """Say which fault covers rows that a version was trained on; empty if none is known to.

    A fault is found when its window closes, and a training takes rows up to that moment: its
    version may have passed the gate by then. A registry that is away, or a version without a
    manifest of the log, tells nothing: the former is asked again at the next tick.

    Parameters
    ----------
    model, version : str
    faults : tuple of Fault
        All that are known of the model.
    registry : Registry
    now : datetime
        End of a fault that lasts.
    """
    if not faults:
        return ""
    try:
        manifest = registry.get(model, version).manifest
    except HomeostatError:
        return ""
    if manifest is None or manifest.origin != LOG:
        return ""
    for fault in faults:
        if _used(manifest, fault.window(now)):
            since = f"{fault.start:%Y-%m-%d %H:%M}"
            return (
                f"trained on rows of {manifest.window} that a data fault found since then covers: "
                f"{fault.column} from {since} on ({fault.reason or 'data fault'})"
            )
    return ""


def _used(manifest: TrainingManifest, fault: Window) -> bool:
    """Whether rows of the fault were trained on: in the window, and not left out."""
    start = max(fault.start, manifest.window.start)
    end = min(fault.end, manifest.window.end)
    for left_out in sorted(each.window for each in manifest.excluded):
        if left_out.start <= start:
            start = max(start, left_out.end)
    return start < end
