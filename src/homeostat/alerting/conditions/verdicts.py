"""Verdicts of one monitor as a condition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from homeostat.alerting.conditions.signal import Signal
from homeostat.domain.verdict import Monitor, Status, Verdict

NAMED = 3


@dataclass(frozen=True, slots=True)
class Verdicts:
    """That a monitor finds something about some subjects.

    Attributes
    ----------
    monitor : Monitor
    subject : str
        Shell-style pattern over the verdicts' subjects (columns, metrics).
    more_than : int
        It needs findings about more subjects than this.
    min_rows : int
        Findings on fewer rows do not count.

    Raises
    ------
    ValueError
        If a number is negative.
    """

    monitor: Monitor
    subject: str = "*"
    more_than: int = 0
    min_rows: int = 0

    def __post_init__(self) -> None:
        if min(self.more_than, self.min_rows) < 0:
            raise ValueError("more_than and min_rows cannot be negative")

    def tell(self, verdicts: Iterable[Verdict], about: tuple[str, ...] = ()) -> Signal:
        """Return what the latest verdicts say.

        Parameters
        ----------
        verdicts : iterable of Verdict
            Of one model; those of other monitors and subjects are passed over.
        about : tuple of str
            Subjects of the incident that is open. It is clear only once each of them is judged ok,
            or too few are left: a column that vanished from the data has not recovered.

        Examples
        --------
        >>> Verdicts(Monitor.SERVICE).tell(()).active is None
        True
        """
        matched = [v for v in verdicts if v.monitor is self.monitor and self._is_about(v.subject)]
        found = sorted(
            (v for v in matched if v.status is Status.DRIFT and v.n_current >= self.min_rows),
            key=lambda v: (-v.evidence, v.subject),
        )
        subjects = tuple(dict.fromkeys(v.subject for v in found if v.subject))
        enough = len(subjects) > self.more_than if self.more_than else bool(found)
        if enough:
            return Signal(True, self._counted(len(subjects)) + _told(found), subjects)
        fine = {v.subject for v in matched if v.status is Status.OK}
        waiting = sorted(set(about) - fine - set(subjects))
        if not (fine or found) or len({*waiting, *subjects}) > self.more_than:
            unknown = ", ".join(waiting) or "anything"
            return Signal(None, f"no judgement on {unknown}")
        left = f"; {len(subjects)} left of more than {self.more_than}" if found else ""
        return Signal(False, f"back to normal{left}")

    def _is_about(self, subject: str) -> bool:
        return self.subject == "*" or fnmatchcase(subject, self.subject)

    def _counted(self, count: int) -> str:
        return f"{count} subjects, more than {self.more_than}: " if self.more_than else ""


def _told(found: list[Verdict]) -> str:
    reasons = list(dict.fromkeys(v.reason for v in found))
    more = f"; and {len(reasons) - NAMED} more" if len(reasons) > NAMED else ""
    return "; ".join(reasons[:NAMED]) + more
