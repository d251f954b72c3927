"""What a version's reference is too thin for, and which setting changes it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from homeostat.domain.window import Window
from homeostat.engine.plan import ModelPlan
from homeostat.entrypoints.settings.values import format_duration
from homeostat.profiles.profile import Profile

MARGIN = 1.5  # rows expected in a window, times those needed: traffic is not even
LONGEST = timedelta(days=28)


def unmonitored(plan: ModelPlan, windows: Sequence[tuple[Window, Profile]]) -> str:
    """Say why drift cannot be judged; empty if it can.

    The windows of the reference are no longer than those that it says to judge instead.

    Parameters
    ----------
    plan : ModelPlan
    windows : sequence of (Window, Profile)
        The version's reference.
    """
    rows = sum(profile.rows for _, profile in windows)
    every, needed = plan.drift.every, plan.drift.min_rows
    if not rows:
        return (
            "no reference: drift is not monitored, and quality only for what the schema states: "
            f"no stretch of the history has the {needed} rows that drift needs"
        )
    if 2 * sum(profile.rows for window, profile in windows if window.length <= every) >= rows:
        return ""
    rate = rows / (sum((window.length for window, _ in windows), timedelta(0)) / every)
    known = max(window.length for window, _ in windows)
    wanted = every
    while wanted < known or (rate * (wanted / every) < MARGIN * needed and wanted < LONGEST):
        wanted *= 2
    return (
        f"no reference for drift: not monitored while {format_duration(every)} holds about "
        f"{rate:.0f} rows; drift needs {needed}: "
        f"widen monitors.drift.window to {format_duration(wanted)}"
    )
