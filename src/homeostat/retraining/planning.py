"""What a run trains on, and the later hold-out on which its candidate is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from homeostat.domain.effect import StartTraining
from homeostat.domain.window import Window
from homeostat.retraining.policy import RetrainingPolicy
from homeostat.retraining.rows import DataPolicy


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run trains on, and the later hold-out on which the gate compares.

    ``refit`` is what a candidate that has passed is trained on once more; None: it serves as it is.
    ``reasons`` says of each excluded window why it is.
    """

    parent: str
    training: Window
    holdout: Window
    as_of: datetime
    excluded: tuple[Window, ...] = ()
    refit: Window | None = None
    data: DataPolicy = DataPolicy()  # noqa: RUF009 - a frozen value
    reasons: tuple[str, ...] = ()

    def tainted(self, faults: Sequence[Window], *, refit: bool) -> Window | None:
        """Return a fault that touches what is used and was not known at the start, if any."""
        used = [self.training, self.holdout]
        if refit and self.refit is not None:
            used.append(self.refit)
        news = (fault for fault in faults if fault not in self.excluded)
        return next((f for f in news if any(overlap(f, window) for window in used)), None)

    def request(self, run_id: str, model: str) -> StartTraining:
        """Return the training of the candidate."""
        return StartTraining(
            run_id, model, self.parent, self.training, self.as_of, self.excluded,
            choice=self.data.choice, reasons=self.reasons,
        )  # fmt: skip

    def request_refit(self, run_id: str, model: str, judged: str) -> StartTraining:
        """Return the training of what is to serve in the place of the version that was judged.

        Raises
        ------
        ValueError
            If no refit was planned.
        """
        if self.refit is None:
            raise ValueError(f"run {run_id}: its plan has no refit")
        first = self.request(run_id, model)
        guide, kinds = (judged, self.data.kinds) if self.data.early else ("", ())
        return replace(first, window=self.refit, guide=guide, kinds=kinds)


def plan(
    policy: RetrainingPolicy,
    parent: str,
    matured_until: datetime,
    now: datetime,
    faults: tuple[Window, ...] = (),
    onset: datetime | None = None,
) -> Plan:
    """Return the windows of a run that starts now.

    Parameters
    ----------
    policy : RetrainingPolicy
    parent : str
        The champion.
    matured_until : datetime
        Predictions before it have complete labels.
    now : datetime
        Labels known by now may be used, and no later ones. A refit with early labels reaches up to
        it, any other one to the end of the hold-out.
    faults : tuple of Window
        Times that a data fault covers; those that touch the run's data are excluded from it.
    onset : datetime, optional
        When the change began. At least two thirds of what matured since are trained on, even if
        that shortens the hold-out: a candidate must have seen the new world.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> matured = datetime(2024, 3, 1, tzinfo=UTC)
    >>> made = plan(RetrainingPolicy(), "v1", matured, datetime(2024, 3, 31, tzinfo=UTC))
    >>> str(made.training), str(made.holdout)
    ('2023-12-25T00:00/2024-02-23T00:00', '2024-02-23T00:00/2024-03-01T00:00')
    """
    length = policy.holdout
    if onset is not None and onset < matured_until:
        length = min(length, (matured_until - onset) / 3)
    split = matured_until - length
    until = now if policy.data.early else matured_until
    whole = Window(split - policy.window, until)
    return Plan(
        parent=parent,
        training=Window(split - policy.window, split),
        holdout=Window(split, matured_until),
        as_of=now,
        excluded=tuple(sorted(fault for fault in faults if overlap(fault, whole))),
        refit=Window(until - policy.window, until) if policy.data.refit else None,
        data=policy.data,
    )


def overlap(one: Window, other: Window) -> bool:
    """Whether two windows share a moment."""
    return one.start < other.end and other.start < one.end
