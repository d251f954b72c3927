"""What a version was trained on, exactly enough to rebuild the rows and to prove that.

A manifest is written before each training begins, and is part of the version's card.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime

from homeostat.domain.choice import RowChoice
from homeostat.domain.window import Window

LOG, HISTORY = "log", "history"


@dataclass(frozen=True, slots=True)
class Exclusion:
    """A window that was left out of the training, and why."""

    window: Window
    why: str


@dataclass(frozen=True, slots=True)
class TrainingManifest:
    """One training's data, code and seed.

    Attributes
    ----------
    model, run_id : str
    window : Window
        Of the predictions' times.
    as_of : datetime
        Only labels that were known then.
    excluded : tuple of Exclusion
    rows : int
        Those trained on.
    answered, labelled : int
        Requests in the window outside of what is excluded, and those of them that had a label.
    content : str
        `homeostat.domain.content.content_hash` of the rows.
    schema : str
        `homeostat.domain.content.schema_hash` of the model's features.
    seed : int
        What the trainer's generators began with.
    code : str
        Reference to the code, as exact as the trainer knows it.
    parent : str
        The champion at that time; empty of a first version.
    choice : RowChoice
        Which of the rows were taken, and how much they counted.
    guide : str
        Version that said what labels would be that had not come; empty: there were no young rows.
    kinds : tuple of str
        Features by which it said so.
    origin : str
        ``log``: the prediction log, from which the rows can be read again; ``history``: a file that
        was handed in.
    """

    model: str
    run_id: str
    window: Window
    as_of: datetime
    rows: int
    content: str
    schema: str
    seed: int
    code: str = ""
    parent: str = ""
    excluded: tuple[Exclusion, ...] = ()
    answered: int = 0
    labelled: int = 0
    choice: RowChoice = RowChoice()  # noqa: RUF009 - a frozen value
    guide: str = ""
    kinds: tuple[str, ...] = ()
    origin: str = LOG

    @property
    def coverage(self) -> float | None:
        """Share of the requests that had a label; None if there were none."""
        return self.labelled / self.answered if self.answered else None


def manifest_key(model: str, run_id: str) -> str:
    """Return the state key under which a run's manifest is kept."""
    return f"manifest:{model}:{run_id}"


def seed_of(run_id: str) -> int:
    """Return a run's seed, in [0, 2**32): a repeated run draws the same.

    Examples
    --------
    >>> seed_of("fraud-0004") == seed_of("fraud-0004") != seed_of("fraud-0005")
    True
    """
    return int.from_bytes(hashlib.sha256(run_id.encode()).digest()[:4], "big")
