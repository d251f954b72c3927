"""What alert rules did over a stretch of time, held to what was really wrong in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from homeostat.alerting.delivery import Manners
from homeostat.domain.decision import Severity
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.window import Window

WEEK = timedelta(days=7)
STEP = timedelta(minutes=1)
FARTHEST = timedelta(days=8)
"""How far ahead the end of quiet hours is looked for from where no silence holds any more: they
come again within a week."""


@dataclass(frozen=True, slots=True)
class Episode:
    """One incident from when it fired to when it resolved.

    Attributes
    ----------
    model, rule : str
    severity : Severity
    began : datetime
        When it fired, after its hold duration.
    ended : datetime or None
        None: it goes on at the end of the history.
    reason : str
    subjects : tuple of str
    receivers : tuple of str
        Whom the routes of that hour name.
    flap : bool
        Whether it fired soon after the one before had resolved.
    """

    model: str
    rule: str
    severity: Severity
    began: datetime
    ended: datetime | None = None
    reason: str = ""
    subjects: tuple[str, ...] = ()
    receivers: tuple[str, ...] = ()
    flap: bool = False

    def length(self, until: datetime) -> timedelta:
        """How long it fired, up to a moment if it goes on."""
        return (self.ended or until) - self.began


@dataclass(frozen=True, slots=True)
class Trouble:
    """A time in which a model was really in trouble, as its owner knows afterwards.

    ``kind`` is the alert rule that should tell; empty: any of them.
    """

    model: str
    start: datetime
    end: datetime
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Detection:
    """A trouble that was told, by what, and how long after its begin."""

    trouble: Trouble
    episode: Episode
    delay: timedelta


@dataclass(frozen=True, slots=True)
class Score:
    """Episodes held to the truth.

    ``outside`` are troubles of which the history holds nothing; they count neither way.
    ``false_time`` is how long episodes fired, all together, outside of the troubles of their model
    and the grace after these.
    """

    found: tuple[Detection, ...]
    missed: tuple[Trouble, ...]
    false: tuple[Episode, ...]
    outside: tuple[Trouble, ...]
    false_time: timedelta = timedelta(0)

    @property
    def delay(self) -> timedelta | None:
        """Median delay of those found (the later of two in the middle); None if there is none."""
        delays = sorted(each.delay for each in self.found)
        return delays[len(delays) // 2] if delays else None


def score(
    episodes: Sequence[Episode],
    troubles: Iterable[Trouble],
    span: Window,
    grace: Mapping[str, timedelta],
) -> Score:
    """Hold episodes to what was really wrong.

    A trouble is found by the first episode of its kind, on its model, that begins to fire while it
    lasts or within the model's grace after it. What fired before tells nobody that there is
    something new. An episode is false if it begins near no trouble of its model, and all of its
    time outside of them is false time: what is always on finds nothing.

    Parameters
    ----------
    episodes : sequence of Episode
        By time.
    troubles : iterable of Trouble
    span : Window
        The history.
    grace : mapping of model to timedelta
        How long after its end a trouble may still come to light: labels come late.

    Examples
    --------
    >>> from datetime import UTC
    >>> day = [datetime(2024, 1, n, tzinfo=UTC) for n in range(1, 31)]
    >>> fired = [Episode("fraud", "data_drift", Severity.WARNING, day[n], day[n + 1])
    ...          for n in (3, 20)]
    >>> truth = [Trouble("fraud", day[2], day[5]), Trouble("fraud", day[9], day[10])]
    >>> found = score(fired, truth, Window(day[0], day[29]), {"fraud": timedelta(days=1)})
    >>> found.delay.days, len(found.missed), [each.began.day for each in found.false]
    (1, 1, [21])
    >>> found.false_time.days
    1
    """
    found: list[Detection] = []
    missed: list[Trouble] = []
    outside: list[Trouble] = []
    near: dict[str, list[Window]] = {}
    for trouble in sorted(troubles, key=lambda t: (t.start, t.end, t.model, t.kind)):
        late = Window(trouble.start, trouble.end + grace.get(trouble.model, timedelta(0)))
        near.setdefault(trouble.model, []).append(late)
        if trouble.end <= span.start or trouble.start >= span.end:
            outside.append(trouble)
            continue
        telling = (e for e in episodes if e.model == trouble.model and e.began in late)
        first = next((e for e in telling if trouble.kind in {"", e.rule}), None)
        if first is None:
            missed.append(trouble)
        else:
            found.append(Detection(trouble, first, first.began - trouble.start))
    false = tuple(e for e in episodes if not any(e.began in w for w in near.get(e.model, ())))
    outside_of = (_beyond(e, near.get(e.model, ()), span) for e in episodes)
    return Score(tuple(found), tuple(missed), false, tuple(outside), sum(outside_of, timedelta(0)))


def _beyond(episode: Episode, near: Iterable[Window], span: Window) -> timedelta:
    """Return how long an episode fired outside of some windows, which are in order."""
    reached, end, total = episode.began, episode.ended or span.end, timedelta(0)
    for window in near:
        if window.start > reached:
            total += max(min(window.start, end) - reached, timedelta(0))
        reached = max(reached, window.end)
    return total + max(end - reached, timedelta(0))


def weekly(episodes: Iterable[Episode], span: Window) -> tuple[int, ...]:
    """Return how many episodes began in each week from the start of the span; the last is cut.

    Examples
    --------
    >>> from datetime import UTC
    >>> start = datetime(2024, 1, 1, tzinfo=UTC)
    >>> fired = [Episode("fraud", "data_drift", Severity.WARNING, start + timedelta(days=n))
    ...          for n in (0, 6, 7, 20)]
    >>> weekly(fired, Window(start, start + timedelta(days=21)))
    (2, 1, 1)
    """
    counts = [0] * -(-span.length // WEEK)
    for episode in episodes:
        if episode.began in span:
            counts[(episode.began - span.start) // WEEK] += 1
    return tuple(counts)


def told(
    episode: Episode, manners: Mapping[str, Manners], silences: Iterable[Window] = ()
) -> dict[str, datetime | None]:
    """Return when each receiver hears of an episode; None: never, it was over before.

    Quiet hours hold back what is not critical, a silence whatever it covers; limits, which fold
    many notices into one, are left out of account.

    Parameters
    ----------
    episode : Episode
    manners : mapping of receiver to Manners
    silences : iterable of Window
        In which nobody is to be told of this incident.
    """
    muted = tuple(silences)
    return {name: _heard(episode, manners.get(name), muted, name) for name in episode.receivers}


def _heard(
    episode: Episode, manners: Manners | None, muted: tuple[Window, ...], receiver: str
) -> datetime | None:
    moment = limit = episode.began
    notice = Notify(
        "", NotifyAction.TRIGGER, receiver, episode.severity, episode.model, "", "", "", moment
    )
    while moment - limit < FARTHEST:
        silent = [window.end for window in muted if moment in window]
        quiet = manners is not None and manners.silent(notice, moment)
        if not silent and not quiet:
            over = moment > episode.began and episode.ended is not None and episode.ended <= moment
            return None if over else moment
        moment = max(silent) if silent else moment + STEP
        limit = moment if silent else limit
    return None
